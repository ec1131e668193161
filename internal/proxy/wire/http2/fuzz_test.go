package http2

import (
	"testing"

	xhttp2 "golang.org/x/net/http2"
)

// FuzzRead gives a Conn whatever comes, in pieces. It must not panic, and what
// it holds must stay bounded.
func FuzzRead(f *testing.F) {
	s := newScript(true)
	s.request(1, false, "cookie", "a", "cookie", "b")
	s.WriteDataPadded(1, false, []byte("x"), make([]byte, 3))
	s.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: s.head("t", "1"), EndStream: true, EndHeaders: true})
	s.WritePing(false, [8]byte{})
	s.WriteWindowUpdate(0, 10)
	s.WriteRSTStream(1, 0)
	f.Add(s.Bytes(), true, 11)
	c := newScript(false)
	c.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: c.head(":status", "103"), EndHeaders: true})
	c.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: c.head(":status", "200"), EndHeaders: true})
	c.WriteData(1, true, []byte("x"))
	c.WriteGoAway(1, 0, nil)
	f.Add(c.Bytes(), false, 1000)
	f.Fuzz(func(t *testing.T, input []byte, server bool, piece int) {
		j := &journal{}
		c := NewConn(testConfig(server), j, 0)
		c.Take(nil)
		if !server {
			s := &Stream{}
			c.NewStream(s)
			c.SendRequest(s, &Request{Method: []byte("GET"), Target: []byte("/")}, headOf("Host", "a"), true)
		}
		feed(c, input, min(max(piece, 1), 1<<16))
		if c.Pending() > 1<<16+len(input) {
			t.Errorf("%d bytes wait for %d that came", c.Pending(), len(input))
		}
		if c.Streams() > int(c.cfg.MaxStreams) {
			t.Errorf("%d streams", c.Streams())
		}
	})
}

// FuzzHead holds what another encoder writes against what our decoder reads.
func FuzzHead(f *testing.F) {
	f.Add("/a?b", "x-name", "value", "cookie", "c=d")
	f.Add("*", "te", "trailers", "content-length", "12")
	f.Fuzz(func(t *testing.T, path, name, value, name2, value2 string) {
		s := newScript(true)
		s.WriteHeaders(xhttp2.HeadersFrameParam{
			StreamID: 1, EndHeaders: true,
			BlockFragment: s.head(":method", "OPTIONS", ":scheme", "https", ":path", path, ":authority", "a", name, value, name2, value2),
		})
		j := &journal{}
		c := NewConn(testConfig(true), j, 0)
		c.Read(s.Bytes(), 0)
		if len(j.streams) == 0 || j.streams[0].Dead || j.streams[0].Fault != nil {
			return
		}
		h := &j.streams[0].Head
		if string(h.Bytes(h.Target)) != path {
			t.Errorf("%q is not %q", h.Bytes(h.Target), path)
		}
		for i := range h.Fields {
			f := &h.Fields[i]
			for _, c := range string(h.Name(f)) + string(h.Value(f)) {
				if c == '\r' || c == '\n' || c == 0 {
					t.Errorf("%q: %q", h.Name(f), h.Value(f))
				}
			}
		}
	})
}
