package sock

import (
	"errors"
	"net"
)

// Carrier moves bytes one way, from one connection to another. Bytes that come
// in masses between two TCP sockets stay in the kernel, where it can do that;
// others pass through a buffer, which is as quick for few of them. While it
// waits for bytes it holds neither buffer nor pipe.
//
// One goroutine uses it, as the reader of From and the writer of To.
type Carrier struct {
	From, To *Conn

	bulk    bool // the last bytes filled the whole buffer
	splicer      // of the system
}

// NewCarrier makes a Carrier. What From has in its buffer goes first.
func NewCarrier(from, to *Conn) *Carrier {
	c := &Carrier{From: from, To: to}
	c.splicer.init(from.plain && to.plain)
	return c
}

// Take waits for bytes and takes some. Errors are those of From.
func (c *Carrier) Take() (int, error) {
	if c.From.In != nil && c.From.In.Len() > 0 {
		return c.From.In.Len(), nil
	}
	if c.bulk {
		if n, err := c.splicer.take(c.From.raw); err != errNoSplice {
			c.bulk = n >= BufferSize/2
			return n, err
		}
	}
	n, err := c.From.Fill()
	for n == 0 && err == nil { // a message of no bytes
		n, err = c.From.Fill()
	}
	c.bulk = n == BufferSize && c.splicer.usable()
	return n, err
}

// Give writes what was taken. Errors are those of To; what was taken is lost
// then.
func (c *Carrier) Give() error {
	if c.splicer.holds() {
		return c.splicer.give(c.To.raw)
	}
	_, err := c.To.Write(c.From.In.Bytes())
	c.From.ReleaseIn()
	return err
}

// Close gives back what the Carrier holds. It does not close the connections.
func (c *Carrier) Close() { c.splicer.drop() }

// errNoSplice has Take use a buffer.
var errNoSplice = errors.New("no splice")

// EndWrites tells the peer that no more will come, and leaves the other
// direction open. A TLS session says so too.
func (c *Conn) EndWrites() error {
	half, ok := c.net.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}

// Reset aborts the connection so that the peer sees an error, and not an end
// in order.
func (c *Conn) Reset() {
	if tcp, ok := c.base.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.Abort()
}
