package sock

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// pair returns both ends of a TCP connection on loopback.
func pair(t *testing.T) (a, b *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialed, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialed.Close(); accepted.Close() })
	return dialed.(*net.TCPConn), accepted.(*net.TCPConn)
}

func TestFillTakesABufferOnlyForBytes(t *testing.T) {
	far, near := pair(t)
	pool := &Pool{}
	c := NewConn(near, NewClock(), pool, nil)
	result := make(chan error, 1)
	go func() {
		_, err := c.Fill()
		result <- err
	}()
	for range 100 { // while the reader waits, no buffer may be in use
		if pool.Out() > BufferSize {
			t.Fatal("buffers leak")
		}
	}
	far.Write([]byte("hello"))
	if err := <-result; err != nil || string(c.In.Bytes()) != "hello" || pool.Out() != BufferSize {
		t.Fatalf("%v %d bytes of buffers out", err, pool.Out())
	}
	c.In.Advance(5)
	c.ReleaseIn()
	far.Close()
	if _, err := c.Fill(); err != io.EOF || c.In != nil || pool.Out() != 0 {
		t.Fatalf("%v %d buffers out", err, pool.Out())
	}
}

func TestSendFill(t *testing.T) {
	for _, size := range []int{1, 100_000, 20_000_000} { // the last fills every socket buffer
		far, near := pair(t)
		c := NewConn(near, NewClock(), &Pool{}, nil)
		go func() {
			io.CopyN(io.Discard, far, int64(size))
			far.Write([]byte("answer"))
		}()
		sent, got, err := c.SendFill([]byte(strings.Repeat("x", size)))
		if err != nil || sent != size || got != 6 || string(c.In.Bytes()) != "answer" {
			t.Errorf("%d bytes: sent %d got %d %v", size, sent, got, err)
		}
	}
}

// TestSendFillNeverMissesTheAnswer does many round trips: a lost wake-up would hang it.
func TestSendFillNeverMissesTheAnswer(t *testing.T) {
	far, near := pair(t)
	c := NewConn(near, NewClock(), &Pool{}, nil)
	go io.Copy(far, far)
	for i := range 20_000 {
		if _, got, err := c.SendFill([]byte("ping")); err != nil || got == 0 {
			t.Fatalf("round %d: %d %v", i, got, err)
		}
		c.In.Advance(c.In.Len())
	}
}

func TestLimitReads(t *testing.T) {
	_, near := pair(t)
	clock := NewClock()
	c := NewConn(near, clock, &Pool{}, nil)
	c.LimitReads(clock.Now(), time.Millisecond)
	if _, err := c.Fill(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	now := clock.Now()
	c.LimitReads(now, time.Minute)
	armed := c.readUntil
	c.LimitReads(now+int64(time.Second), time.Minute)
	if c.readUntil != armed {
		t.Error("a deadline that is near enough was set again")
	}
	if c.LimitReads(now, time.Second); c.readUntil == armed {
		t.Error("a shorter limit was not set")
	}
}

func TestPipesWorkToo(t *testing.T) {
	far, near := net.Pipe()
	c := NewConn(near, NewClock(), &Pool{}, nil)
	go func() {
		far.Write([]byte("hello"))
		far.Close()
	}()
	for c.In == nil || c.In.Len() < 5 {
		if _, err := c.Fill(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Fill(); err != io.EOF {
		t.Fatal(err)
	}
}

func TestSendFillDoesNotAllocate(t *testing.T) {
	far, near := pair(t)
	c := NewConn(near, NewClock(), &Pool{}, nil)
	go func() {
		buf := make([]byte, 64)
		for {
			n, err := far.Read(buf)
			if err != nil {
				return
			}
			far.Write(buf[:n])
		}
	}()
	ping := []byte("ping")
	if n := testing.AllocsPerRun(500, func() {
		c.SendFill(ping)
		c.In.Advance(c.In.Len())
		c.ReleaseIn()
	}); n != 0 {
		t.Errorf("%v allocations a round", n)
	}
}
