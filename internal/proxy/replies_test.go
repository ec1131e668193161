package proxy_test

import (
	"crypto/tls"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"windrose.dev/windrose/internal/proxy"
	"windrose.dev/windrose/internal/proxy/settings"
)

// watched is a listener whose connections tell of their write deadlines.
type watched struct {
	net.Listener
	until *atomic.Int64 // the last one, in Unix nanoseconds
}

func (w watched) Accept() (net.Conn, error) {
	nc, err := w.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return watchedConn{nc, w.until}, nil
}

type watchedConn struct {
	net.Conn
	until *atomic.Int64
}

func (c watchedConn) SetWriteDeadline(at time.Time) error {
	c.until.Store(at.UnixNano())
	return c.Conn.SetWriteDeadline(at)
}

// TestRepliesHaveADeadline: while a request is read, TLS may write: answers to
// key updates, which a client can ask for without end and never read. Such a
// write must not wait longer than a head may take.
func TestRepliesHaveADeadline(t *testing.T) {
	var until atomic.Int64
	b := newBackend(t, always(ok2))
	r := newRig(t, func(cfg *proxy.Config) {
		cfg.Listen = func(address string) (net.Listener, error) {
			l, err := net.Listen("tcp", address)
			return watched{l, &until}, err
		}
	})
	r.applySnapshot(tlsRule(t, b.addr, map[string]keyPair{"a.example": newKeyPair(t, "a.example")}))
	c, session, err := r.shake(&tls.Config{ServerName: "a.example"})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	within := func(what string, limit time.Duration) {
		eventually(t, what+" has a write deadline", func() bool {
			left := time.Until(time.Unix(0, until.Load()))
			return left > 0 && left <= limit*5/4
		})
	}
	limits := settings.DefaultLimits()
	within("the wait for a first request", limits.HeaderTimeout)
	c.send(get("/"))
	c.answer("GET")
	within("the wait for another", limits.HeaderTimeout)
}
