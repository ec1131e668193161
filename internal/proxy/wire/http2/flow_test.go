package http2

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	xhttp2 "golang.org/x/net/http2"
)

// Windows bound what is sent, and are opened again for what is consumed (RFC 9113
// §5.2).
func TestSendWindows(t *testing.T) {
	s := newScript(true)
	s.request(1, true)
	s.request(3, true)
	j := &journal{}
	c := NewConn(testConfig(true), j, 0)
	c.Read(s.Bytes(), 0)
	a, b := j.streams[0], j.streams[1]
	body := make([]byte, 100_000)
	if n := c.SendData(a, body, true); n != firstWindow {
		t.Errorf("%d bytes within the window", n)
	}
	if n := c.SendData(b, body, true); n != 0 {
		t.Errorf("%d bytes beyond the connection's window", n)
	}
	s.Reset()
	s.WriteWindowUpdate(0, 1000)
	c.Read(s.Bytes(), 0)
	if n := c.SendData(a, body[firstWindow:], true); n != 0 {
		t.Errorf("%d bytes beyond the stream's window", n)
	}
	if n := c.SendData(b, body[:1000], true); n != 1000 || !b.SentEnded {
		t.Errorf("%d bytes of 1000", n)
	}
	s.Reset()
	s.WriteWindowUpdate(0, 1<<20)
	s.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: firstWindow + 10})
	c.Read(s.Bytes(), 0)
	if n := c.SendData(a, body[firstWindow:], true); n != 10 {
		t.Errorf("%d bytes after the initial window grew by 10", n)
	}
}

func TestReceiveWindows(t *testing.T) {
	s := newScript(true)
	s.request(1, false)
	for range 3 {
		s.WriteData(1, false, make([]byte, maxFrame))
	}
	j := &journal{}
	c := NewConn(testConfig(true), j, 0)
	c.Read(s.Bytes(), 0)
	c.Take(nil)
	stream := j.streams[0]
	c.Consumed(stream, 1000, 0)
	if got := said(t, c.Take(nil)); got != "" {
		t.Error(got)
	}
	c.Consumed(stream, 40000, 0)
	if diff := cmp.Diff("1 window +41000", said(t, c.Take(nil))); diff != "" {
		t.Error(diff)
	}
}

// The window of a stream that is read as fast as data arrives grows, within the bound
// that the owner sets.
func TestWindowsGrow(t *testing.T) {
	s := newScript(true)
	s.request(1, false)
	j := &journal{}
	c := NewConn(testConfig(true), j, 0)
	c.Read(s.Bytes(), 0)
	grew := int64(0)
	for range 400 {
		s.Reset()
		s.WriteData(1, false, make([]byte, maxFrame))
		if _, err := c.Read(s.Bytes(), 0); err != nil {
			t.Fatal(err)
		}
		grew += c.Consumed(j.streams[0], maxFrame, 300_000-grew)
	}
	if grew < 200_000 || grew > 300_000 {
		t.Errorf("grew by %d", grew)
	}
	if strings.Contains(j.String(), "reset") {
		t.Error(j.String())
	}
}
