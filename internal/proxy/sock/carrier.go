package sock

import (
	"errors"
	"net"
)

// Carrier copies bytes in one direction, from one connection to another. Between two
// TCP sockets, bulk data stays in the kernel (splice) where the system supports it;
// small amounts pass through a buffer, which is as fast for them. While it waits for
// bytes it holds neither a buffer nor a pipe.
//
// One goroutine uses a Carrier, as the reader of From and the writer of To.
type Carrier struct {
	From, To *Conn

	bulk    bool // the last read filled the whole buffer
	splicer      // of the operating system
}

// NewCarrier returns a Carrier. It first moves what From has in its buffer.
func NewCarrier(from, to *Conn) *Carrier {
	c := &Carrier{From: from, To: to}
	c.splicer.init(from.plain && to.plain)
	return c
}

// Take waits for bytes and reads some. Errors are those of From.
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
	for n == 0 && err == nil { // a TLS record without data
		n, err = c.From.Fill()
	}
	c.bulk = n == BufferSize && c.splicer.usable()
	return n, err
}

// Give writes what Take has read. Errors are those of To; the bytes are lost then.
func (c *Carrier) Give() error {
	if c.splicer.holds() {
		return c.splicer.give(c.To.raw)
	}
	_, err := c.To.Write(c.From.In.Bytes())
	c.From.ReleaseIn()
	return err
}

// Close releases what the Carrier holds. It does not close the connections.
func (c *Carrier) Close() { c.splicer.drop() }

// errNoSplice makes Take use a buffer.
var errNoSplice = errors.New("no splice")

// EndWrites half-closes the connection: the peer sees the end of the stream, and the
// other direction stays open. A TLS session sends close_notify too.
func (c *Conn) EndWrites() error {
	half, ok := c.net.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}

// Reset aborts the connection so that the peer sees an error, and not a normal end.
func (c *Conn) Reset() {
	if tcp, ok := c.base.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.Abort()
}
