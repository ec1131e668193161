package proxy_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	quichttp3 "github.com/quic-go/quic-go/http3"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy"
	"windrose.dev/windrose/internal/proxy/http3"
	"windrose.dev/windrose/internal/proxy/settings"
	"windrose.dev/windrose/test/port"
)

// newRig3 starts a proxy that serves HTTP/3, too. Its ports are not among those
// that the system gives to clients: a UDP port must be free with each of TCP.
func newRig3(t *testing.T, edit func(*proxy.Config)) *rig {
	t.Helper()
	ports := map[uint16]string{}
	return newRig(t, func(cfg *proxy.Config) {
		cfg.HTTP3 = http3.New
		cfg.Address = func(l model.Listener) string {
			if ports[l.ID.Port] == "" {
				ports[l.ID.Port] = "127.0.0.1:" + port.Free(t)
			}
			return ports[l.ID.Port]
		}
		if edit != nil {
			edit(cfg)
		}
	})
}

// serve3 starts a rig with one rule, behind a certificate for any name, and one
// backend that runs script on each connection.
func serve3(t *testing.T, script func(*peer)) (*rig, *backend) {
	t.Helper()
	b := newBackend(t, script)
	r := newRig3(t, nil)
	r.applySnapshot(tlsRule(t, b.addr, map[string]keyPair{"*": newKeyPair(t, "x")}))
	return r, b
}

// limited is a rig with limits that edit has changed.
func limited(t *testing.T, edit func(*settings.Limits)) *rig {
	t.Helper()
	return newRig3(t, func(cfg *proxy.Config) { edit(&cfg.Limits) })
}

// client3 is quic-go's client of HTTP/3, which connects to port 443 whatever the
// URL says.
type client3 struct {
	*quichttp3.Transport
	t *testing.T
}

func (r *rig) client3(edit func(*tls.Config)) *client3 {
	r.t.Helper()
	cfg := &tls.Config{InsecureSkipVerify: true, ServerName: "a.example"}
	if edit != nil {
		edit(cfg)
	}
	c := &client3{t: r.t, Transport: &quichttp3.Transport{
		TLSClientConfig: cfg, DisableCompression: true, Logger: nil,
		Dial: func(ctx context.Context, _ string, tlsCfg *tls.Config, quicCfg *quic.Config) (*quic.Conn, error) {
			return quic.DialAddr(ctx, r.addr(443), tlsCfg, quicCfg)
		},
	}}
	r.t.Cleanup(func() { c.Close() })
	return c
}

// patientContext ends long after every test that passes.
func patientContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// request makes a request to a.example.
func (c *client3) request(method, path string, body io.Reader) *http.Request {
	c.t.Helper()
	req, err := http.NewRequestWithContext(patientContext(c.t), method, "https://a.example"+path, body)
	if err != nil {
		c.t.Fatal(err)
	}
	return req
}

// answer3 is an answer as text: its status, the fields that are asked for, and
// its body.
func (c *client3) do(req *http.Request) (status int, body string, answer *http.Response) {
	c.t.Helper()
	answer, err := c.RoundTrip(req)
	if err != nil {
		c.t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		c.t.Fatalf("%s %s: %v after %d bytes", req.Method, req.URL, err, len(data))
	}
	return answer.StatusCode, string(data), answer
}

// get returns the status and the body of a GET.
func (c *client3) get(path string) (status int, body string) {
	c.t.Helper()
	status, body, _ = c.do(c.request("GET", path, nil))
	return status, body
}

// raw is a connection of QUIC, on which a test writes what it likes.
type raw struct {
	*quic.Conn
	t *testing.T
}

func (r *rig) raw() *raw {
	r.t.Helper()
	return r.rawAt(r.addr(443))
}

func (r *rig) rawAt(addr string) *raw {
	r.t.Helper()
	conn, err := quic.DialAddr(patientContext(r.t), addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h3"}}, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.CloseWithError(0x100, "") })
	return &raw{conn, r.t}
}

// own opens a stream of the client's own, and writes to it.
func (c *raw) own(data ...byte) *quic.SendStream {
	c.t.Helper()
	s, err := c.OpenUniStream()
	if err != nil {
		c.t.Fatal(err)
	}
	s.Write(data)
	return s
}

// ask opens a request stream, and writes to it; with end it ends there.
func (c *raw) ask(end bool, frames ...[]byte) *quic.Stream {
	c.t.Helper()
	s, err := c.OpenStreamSync(patientContext(c.t))
	if err != nil {
		c.t.Fatal(err)
	}
	s.SetDeadline(time.Now().Add(patience))
	for _, f := range frames {
		s.Write(f)
	}
	if end {
		s.Close()
	}
	return s
}

// streamCode reads until the stream is reset, and returns the code.
func streamCode(t *testing.T, s *quic.Stream) quic.StreamErrorCode {
	t.Helper()
	data, err := io.ReadAll(s)
	var reset *quic.StreamError
	if !errors.As(err, &reset) {
		t.Fatalf("not reset: %v after %q", err, data)
	}
	return reset.ErrorCode
}

// connCode waits until the connection is closed, and returns the code.
func (c *raw) connCode() quic.ApplicationErrorCode {
	c.t.Helper()
	select {
	case <-c.Context().Done():
	case <-time.After(patience):
		c.t.Fatal("the connection stays open")
	}
	var closed *quic.ApplicationError
	if err := context.Cause(c.Context()); !errors.As(err, &closed) {
		c.t.Fatal(err)
	}
	return closed.ErrorCode
}

// frame makes a frame of HTTP/3 that is shorter than 64 bytes.
func frame(kind byte, payload string) []byte {
	if len(payload) > 63 {
		panic("too long for a length of one byte")
	}
	return append([]byte{kind, byte(len(payload))}, payload...)
}

// fields makes a field section of literals (RFC 9204 §4.5.6).
func fields(pairs ...string) []byte {
	var b strings.Builder
	b.WriteString("\x00\x00")
	for i := 0; i < len(pairs); i += 2 {
		for j, s := range pairs[i : i+2] {
			writeLiteral(&b, []byte{0x20, 0}[j], []int{3, 7}[j], s)
		}
	}
	head := []byte{0x01, 0x40 | byte(b.Len()>>8), byte(b.Len())}
	return append(head, b.String()...)
}

func writeLiteral(b *strings.Builder, first byte, bits int, s string) {
	most := 1<<bits - 1
	if len(s) < most {
		b.WriteByte(first | byte(len(s)))
	} else {
		b.WriteByte(first | byte(most))
		rest := len(s) - most
		for ; rest >= 128; rest >>= 7 {
			b.WriteByte(byte(rest) | 0x80)
		}
		b.WriteByte(byte(rest))
	}
	b.WriteString(s)
}

// getFields is the head of a GET, with more fields.
func getFields(more ...string) []byte {
	return fields(append([]string{":method", "GET", ":scheme", "https", ":authority", "a.example", ":path", "/"}, more...)...)
}

// sent is what a script of a backend has been asked, in few words.
func sent(m string) string {
	line, _, _ := strings.Cut(m, "\r\n")
	return fmt.Sprintf("%s, %d bytes", line, len(m)-strings.Index(m, "\r\n\r\n")-4)
}

func freeze(parts model.Parts) *model.Snapshot { return model.Freeze(parts) }

// all is what was logged so far.
func (l *lines) all() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
