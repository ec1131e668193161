package http2

import (
	"testing"

	xhttp2 "golang.org/x/net/http2"
)

// FuzzRead passes arbitrary input to a Conn, in pieces. The Conn must not panic, and
// its memory must stay bounded.
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

// FuzzHead compares the output of another encoder with what our decoder reads.
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

// owner is a Handler that responds and releases streams in ways that depend on the
// input. It fails if it gets an event for a stream that it has released.
type owner struct {
	journal
	t     *testing.T
	c     *Conn
	ways  []byte
	leave []*Stream // to be released after the Read
	freed map[*Stream]bool
}

func (o *owner) check(s *Stream) {
	if o.freed[s] {
		o.t.Fatal("something came for a stream that was given up")
	}
}

func (o *owner) way() byte {
	if len(o.ways) == 0 {
		return 0
	}
	way := o.ways[0]
	o.ways = o.ways[1:]
	return way % 4
}

// act does something with a stream: nothing, a response, or releasing it with or
// without a response.
func (o *owner) act(s *Stream) {
	way := o.way()
	if way == 1 || way == 2 {
		h := headOf()
		h.Status = 200
		o.c.SendResponse(s, h, true)
	}
	if way >= 2 {
		o.leave = append(o.leave, s)
	}
}

// giveUp recycles the released streams.
func (o *owner) giveUp() {
	for _, s := range o.leave {
		o.c.Release(s)
		s.Reset()
		o.freed[s] = true
	}
	o.leave = o.leave[:0]
}

func (o *owner) Head(s *Stream)                         { o.check(s); o.act(s) }
func (o *owner) Data(s *Stream, _ []byte)               { o.check(s); o.act(s) }
func (o *owner) End(s *Stream)                          { o.check(s); o.act(s) }
func (o *owner) Reset(s *Stream, _ ErrorCode, _ string) { o.check(s) }
func (o *owner) Window(s *Stream) {
	if s != nil {
		o.check(s)
	}
}

// FuzzOwner releases streams at any moment. No event for them may follow.
func FuzzOwner(f *testing.F) {
	s := newScript(true)
	s.request(1, false)
	s.WriteData(1, false, make([]byte, 100))
	s.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: s.head("t", "1"), EndStream: true})
	s.WriteContinuation(1, true, s.head("u", "2"))
	s.request(3, false)
	s.WriteWindowUpdate(1, 10)
	s.WriteRSTStream(3, 0)
	f.Add(s.Bytes(), []byte{0, 2}, 11)
	f.Add(s.Bytes(), []byte{3}, 30)
	f.Fuzz(func(t *testing.T, input, ways []byte, piece int) {
		o := &owner{t: t, ways: ways, freed: map[*Stream]bool{}}
		o.c = NewConn(testConfig(true), o, 0)
		var held []byte
		for n := min(max(piece, 1), 1<<16); len(input) > 0; input = input[min(n, len(input)):] {
			held = append(held, input[:min(n, len(input))]...)
			used, err := o.c.Read(held, 0)
			if held = held[used:]; err != nil {
				return
			}
			o.giveUp()
		}
	})
}
