package http2

import (
	"testing"

	xhttp2 "golang.org/x/net/http2"
)

// What well-behaved peers do is not treated as a flood, however often they do it.
func TestPatience(t *testing.T) {
	const many = 3000
	t.Run("windows for answers that have ended", func(t *testing.T) {
		s := newScript(true)
		s.get(1)
		for range many {
			s.WriteWindowUpdate(1, 4096)
		}
		j := &journal{answer: func(stream *Stream) { stream.SentEnded = true }}
		c := NewConn(testConfig(true), j, 0)
		j.answer = func(stream *Stream) {
			c.SendResponse(stream, headOf(), true)
			c.Release(stream)
		}
		if _, err := c.Read(s.Bytes(), 0); err != nil {
			t.Error(err)
		}
	})
	t.Run("a body that nobody wants", func(t *testing.T) {
		s := newScript(true)
		s.request(1, false)
		for range many {
			s.WriteData(1, false, []byte("some"))
		}
		j := &journal{}
		c := NewConn(testConfig(true), j, 0)
		j.answer = func(stream *Stream) { c.Release(stream) }
		if _, err := c.Read(s.Bytes(), 0); err != nil {
			t.Error(err)
		}
	})
	t.Run("a backend that resets what it is sent", func(t *testing.T) {
		c := NewConn(testConfig(false), &journal{}, 0)
		s := newScript(false)
		c.Read(s.Bytes(), 0)
		for range many {
			stream := &Stream{}
			if !c.NewStream(stream) {
				t.Fatal("no room")
			}
			c.SendRequest(stream, &Request{Method: []byte("GET"), Scheme: []byte("http"), Target: []byte("/")}, headOf("Host", "a"), true)
			c.Take(nil)
			s.Reset()
			s.WriteRSTStream(stream.ID, xhttp2.ErrCodeCancel)
			if _, err := c.Read(s.Bytes(), 0); err != nil {
				t.Fatal(err)
			}
			c.Release(stream)
		}
	})
}

// A stream that both sides have ended no longer counts towards the limit, even if its
// owner still uses it. A stream that was reset counts until its owner releases it.
func TestRoomForStreams(t *testing.T) {
	for _, reset := range []bool{false, true} {
		s := newScript(true)
		j := &journal{}
		cfg := testConfig(true)
		c := NewConn(cfg, j, 0)
		last := uint32(2*cfg.MaxStreams + 1) // one more than the limit
		j.answer = func(stream *Stream) {
			if !reset {
				c.SendResponse(stream, headOf(), true)
			}
		}
		for id := uint32(1); id <= last; id += 2 {
			s.get(id)
			if reset {
				s.WriteRSTStream(id, xhttp2.ErrCodeCancel)
			}
		}
		if _, err := c.Read(s.Bytes(), 0); err != nil {
			t.Fatal(err)
		}
		if refused := uint32(len(j.streams)) == cfg.MaxStreams; refused != reset {
			t.Errorf("reset %v: %d streams were taken, of %d that may be open", reset, len(j.streams), cfg.MaxStreams)
		}
	}
}

// Late frames for a stream that we have reset are ignored, even if many others have
// ended since.
func TestLateFrames(t *testing.T) {
	s := newScript(true)
	s.request(1, false)
	last := uint32(2*keptLately - 1)
	for id := uint32(3); id <= last; id += 2 {
		s.get(id)
	}
	j := &journal{}
	c := NewConn(testConfig(true), j, 0)
	j.answer = func(stream *Stream) {
		if stream.ID > 1 {
			c.SendResponse(stream, headOf(), true)
		}
		c.Release(stream) // this resets the first stream
	}
	if _, err := c.Read(s.Bytes(), 0); err != nil {
		t.Fatal(err)
	}
	c.Take(nil)
	s.Reset()
	s.WriteData(1, false, []byte("late"))
	s.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, EndStream: true, EndHeaders: true, BlockFragment: s.head("x-sum", "1")})
	if _, err := c.Read(s.Bytes(), 0); err != nil {
		t.Error(err)
	}
	if got := said(t, c.Take(nil)); got != "" {
		t.Errorf("it answers %q", got)
	}
}

// Streams that were opened before the client read our GOAWAY are ignored until their
// end (RFC 9113 §6.8).
func TestStreamsBehindGoAway(t *testing.T) {
	s := newScript(true)
	s.get(1)
	j := &journal{}
	c := NewConn(testConfig(true), j, 0)
	c.Read(s.Bytes(), 0)
	c.GoAway(NoError, true)
	c.Take(nil)
	s.Reset()
	s.request(3, false)
	s.WriteData(3, false, []byte("body"))
	s.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 3, EndStream: true, EndHeaders: true, BlockFragment: s.head("x-sum", "1")})
	if _, err := c.Read(s.Bytes(), 0); err != nil {
		t.Error(err)
	}
	if len(j.streams) != 1 {
		t.Errorf("%d streams were opened", len(j.streams))
	}
}
