package sock

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// TestSessionFieldsAreKnown fails if a Go release renames the buffers of crypto/tls.
// Sessions still work then; records says what is lost.
func TestSessionFieldsAreKnown(t *testing.T) {
	if !sessionFields.known {
		t.Error("the buffers of a tls.Conn were not found")
	}
}

func TestQuiet(t *testing.T) {
	far, near := pair(t)
	c := NewConn(near, NewClock(), &Pool{}, nil)
	if !c.Quiet() {
		t.Error("something came out of nothing")
	}
	far.Write([]byte("x"))
	if c.Quiet() {
		t.Error("a byte was not seen")
	}
	if n, err := c.Fill(); n != 1 || err != nil {
		t.Errorf("the byte was taken: %d %v", n, err)
	}
	far.CloseWrite()
	if c.Quiet() {
		t.Error("the end was not seen")
	}
	if n := testing.AllocsPerRun(100, func() { c.Quiet() }); n != 0 {
		t.Errorf("%v allocations a look", n)
	}
}

func TestForgetLimits(t *testing.T) {
	far, near := pair(t)
	clock := NewClock()
	c := NewConn(near, clock, &Pool{}, nil)
	c.LimitReads(clock.Now(), time.Minute)
	c.Interrupt()
	c.ForgetLimits()
	c.LimitReads(clock.Now(), time.Minute)
	far.Write([]byte("x"))
	if _, err := c.Fill(); err != nil {
		t.Errorf("still interrupted: %v", err)
	}
}

// TestHandshakeIsBounded: a client cannot make the session buffer any amount.
func TestHandshakeIsBounded(t *testing.T) {
	c := &lower{Conn: endless{}, left: maxHandshake}
	n, err := io.Copy(io.Discard, c)
	if n != maxHandshake || !errors.Is(err, errHandshakeTooLong) {
		t.Errorf("%d bytes, %v", n, err)
	}
	c.left = -1
	if n, err := c.Read(make([]byte, 10)); n != 10 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// endless is a connection that can always be read.
type endless struct{ net.Conn }

func (endless) Read(p []byte) (int, error) { return len(p), nil }
