package l4

import (
	"io"
	"time"

	"windrose.dev/windrose/internal/proxy/mux"
	"windrose.dev/windrose/internal/proxy/sock"
	"windrose.dev/windrose/internal/proxy/wire/http2"
)

// End is one side of a pipe. What takes longer than limit, counted from now on the
// clock, fails with os.ErrDeadlineExceeded. One goroutine receives, one sends, and
// any may abort.
type End interface {
	// Receive waits for bytes, which stay where they are until Took; io.EOF is the end
	// of them.
	Receive(now int64, limit time.Duration) ([]byte, error)
	Took()
	Send(now int64, limit time.Duration, p []byte) error
	// EndWrites tells the other side that no more comes, and leaves the other
	// direction open.
	EndWrites(now int64, limit time.Duration) error
	// Abort ends both directions at once.
	Abort()
}

// ConnEnd is a connection as the end of a tunnel.
type ConnEnd struct{ *sock.Conn }

// Receive is that of End.
func (c ConnEnd) Receive(now int64, limit time.Duration) ([]byte, error) {
	c.LimitReads(now, limit)
	if _, err := c.Fill(); err != nil {
		return nil, err
	}
	if c.In == nil {
		return nil, nil // a message of no bytes
	}
	return c.In.Bytes(), nil
}

// Took is that of End.
func (c ConnEnd) Took() { c.ReleaseIn() }

// Send is that of End.
func (c ConnEnd) Send(now int64, limit time.Duration, p []byte) error {
	c.LimitWrites(now, limit)
	_, err := c.Write(p)
	return err
}

// EndWrites is that of End.
func (c ConnEnd) EndWrites(now int64, limit time.Duration) error {
	c.LimitWrites(now, limit)
	return c.Conn.EndWrites()
}

// resetEnd is a connection of layer 4, which is aborted such that its peer sees an
// error, and not an end in order.
type resetEnd struct{ ConnEnd }

func (c resetEnd) Abort() { c.Reset() }

// StreamEnd is a stream of HTTP/2 as the end of a tunnel (RFC 8441 §5).
type StreamEnd struct{ *mux.Stream }

// Receive is that of End.
func (s StreamEnd) Receive(now int64, limit time.Duration) ([]byte, error) {
	s.LimitReads(now, limit)
	if err := s.Wait(); err != nil {
		return nil, err
	}
	data, last := s.Data()
	if last && len(data) == 0 {
		return nil, io.EOF
	}
	return data, nil
}

// Took is that of End.
func (s StreamEnd) Took() { s.Stream.Took() }

// Send is that of End.
func (s StreamEnd) Send(now int64, limit time.Duration, p []byte) error {
	s.LimitWrites(now, limit)
	return s.Write(p, false, nil)
}

// EndWrites is that of End.
func (s StreamEnd) EndWrites(now int64, limit time.Duration) error {
	s.LimitWrites(now, limit)
	return s.Write(nil, true, nil)
}

// Abort is that of End.
func (s StreamEnd) Abort() { s.Reset(http2.Cancel) }

// mover moves bytes one way.
type mover interface {
	// take waits for bytes and takes some; give sends them on.
	take(now int64, limit time.Duration) (int, error)
	give(now int64, limit time.Duration) error
	// end passes the end of the bytes on.
	end(now int64, limit time.Duration) error
	// close gives back what is held.
	close()
}

// newMover makes one from an end to another. Connections of layer 4 are spliced.
func newMover(from, to End) mover {
	a, isConn := from.(resetEnd)
	b, areConns := to.(resetEnd)
	if isConn && areConns {
		return splicer{sock.NewCarrier(a.Conn, b.Conn)}
	}
	return &copier{from: from, to: to}
}

// splicer moves bytes between connections.
type splicer struct{ *sock.Carrier }

func (s splicer) take(now int64, limit time.Duration) (int, error) {
	s.From.LimitReads(now, limit)
	return s.Take()
}

func (s splicer) give(now int64, limit time.Duration) error {
	s.To.LimitWrites(now, limit)
	return s.Give()
}

func (s splicer) end(now int64, limit time.Duration) error {
	s.To.LimitWrites(now, limit)
	return s.To.EndWrites()
}

func (s splicer) close() { s.Close() }

// copier moves bytes between any two ends.
type copier struct {
	from, to End
	data     []byte
}

func (c *copier) take(now int64, limit time.Duration) (n int, err error) {
	c.data, err = c.from.Receive(now, limit)
	return len(c.data), err
}

func (c *copier) give(now int64, limit time.Duration) error {
	err := c.to.Send(now, limit, c.data)
	if err == nil {
		c.from.Took()
	}
	return err
}

func (c *copier) end(now int64, limit time.Duration) error { return c.to.EndWrites(now, limit) }

func (c *copier) close() {}
