package http2

import (
	"slices"
	"strings"
	"testing"

	xhttp2 "golang.org/x/net/http2"
)

// Each of these floods ends the connection with ENHANCE_YOUR_CALM, and its cost is
// bounded.
func TestFloods(t *testing.T) {
	tests := []struct {
		name  string
		write func(s *script, i int)
	}{
		{"rapid reset", func(s *script, i int) {
			id := uint32(2*i + 1)
			s.get(id)
			s.WriteRSTStream(id, xhttp2.ErrCodeCancel)
		}},
		{"made you reset by a window", func(s *script, i int) {
			id := uint32(2*i + 1)
			s.get(id)
			s.WriteWindowUpdate(id, maxWindow)
		}},
		{"made you reset by DATA", func(s *script, i int) {
			id := uint32(2*i + 1)
			s.get(id)
			s.WriteData(id, false, nil)
		}},
		{"malformed requests", func(s *script, i int) { s.get(uint32(2*i+1), "te", "x") }},
		{"refused streams", func(s *script, i int) { s.request(uint32(2*i+1), false) }},
		{"PRIORITY that is wrong", func(s *script, i int) {
			id := uint32(2*i + 1)
			s.get(id)
			s.WriteRawFrame(xhttp2.FramePriority, 0, id, nil)
		}},
		{"PING", func(s *script, _ int) { s.WritePing(false, [8]byte{}) }},
		{"PING answers", func(s *script, _ int) { s.WritePing(true, [8]byte{}) }},
		{"SETTINGS", func(s *script, _ int) { s.WriteSettings() }},
		{"many SETTINGS", func(s *script, _ int) {
			s.WriteRawFrame(xhttp2.FrameSettings, 0, 0, make([]byte, 1000*settingLength))
		}},
		{"PRIORITY", func(s *script, _ int) { s.WritePriority(1, xhttp2.PriorityParam{StreamDep: 3}) }},
		{"unknown frames", func(s *script, _ int) { s.WriteRawFrame(0x42, 0, 0, nil) }},
		{"empty DATA", func(s *script, i int) {
			if i == 0 {
				s.request(1, false)
			}
			s.WriteData(1, false, nil)
		}},
		{"empty CONTINUATION", func(s *script, i int) {
			if i == 0 {
				s.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: s.head(getRoot...)})
			}
			s.WriteContinuation(1, false, nil)
		}},
		{"a block without end", func(s *script, i int) {
			block := s.head("x", strings.Repeat("\x00", 4000))
			if i == 0 {
				s.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: block})
				return
			}
			s.WriteContinuation(1, false, block)
		}},
		{"GOAWAY", func(s *script, _ int) { s.WriteGoAway(0, xhttp2.ErrCodeNo, nil) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newScript(true)
			for i := range 3000 {
				tt.write(s, i)
			}
			j := &journal{}
			c := NewConn(testConfig(true), j, 0)
			j.answer = func(stream *Stream) { c.Release(stream) }
			if slices.Contains([]string{"refused streams", "empty DATA", "made you reset by a window", "made you reset by DATA"}, tt.name) {
				j.answer = nil // so that the streams stay open
			}
			_, err := c.Read(s.Bytes(), 0)
			if broken, ok := err.(*ConnError); !ok || broken.Code != EnhanceYourCalm {
				t.Errorf("%v", err)
			}
			if c.Pending() > 2*maxControl {
				t.Errorf("%d bytes wait", c.Pending())
			}
			if c.Streams() > 0 {
				t.Errorf("%d streams are left", c.Streams())
			}
		})
	}
}

// A small header block that refers to a large entry of the dynamic table many times.
func TestCompressionBomb(t *testing.T) {
	s := newScript(true)
	block := s.head(append(append([]string(nil), getRoot...), "x", strings.Repeat("a", 3000))...)
	for range 10000 {
		block = append(block, 0x80|62) // the newest entry of the dynamic table
	}
	s.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: block, EndHeaders: true, EndStream: true})
	s.get(3)
	told, _ := serve(t, s, 1<<20)
	if !strings.HasPrefix(told, "1 fault headers_too_large") || !strings.Contains(told, "3 head GET /") {
		t.Error(told)
	}
}

// A well-behaved client that cancels some requests can do so without end.
func TestBudgetsRefill(t *testing.T) {
	j := &journal{}
	c := NewConn(testConfig(true), j, 0)
	j.answer = func(stream *Stream) { c.Release(stream) }
	s := newScript(true)
	now := int64(0)
	for i := range 2000 {
		s.get(uint32(2*i + 1))
		s.WriteRSTStream(uint32(2*i+1), xhttp2.ErrCodeCancel)
		s.WritePing(false, [8]byte{})
		if _, err := c.Read(s.Bytes(), now); err != nil {
			t.Fatal(i, err)
		}
		s.Reset()
		c.Take(nil)
		now += 200e6
	}
}

// The resets that a peer causes and does not read do not accumulate.
func TestUnreadAnswers(t *testing.T) {
	s := newScript(true)
	for i := range 60 {
		s.WritePing(false, [8]byte{byte(i)})
	}
	j := &journal{}
	c := NewConn(testConfig(true), j, 0)
	now := int64(0)
	for range 1000 {
		if _, err := c.Read(s.Bytes(), now); err != nil {
			if c.Pending() > 2*maxControl {
				t.Error(c.Pending())
			}
			return
		}
		s.Reset()
		for i := range 60 {
			s.WritePing(false, [8]byte{byte(i)})
		}
		now += 60e9
	}
	t.Error("answers piled up without end")
}
