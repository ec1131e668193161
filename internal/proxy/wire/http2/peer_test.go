package http2

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"windrose.dev/windrose/internal/proxy/msg"
)

func testConfig(server bool) Config {
	return Config{
		Server: server, Limits: msg.Limits{HeadBytes: 4096, TargetBytes: 1024, Fields: 32}, MaxStreams: 8,
		StreamWindow: firstWindow, ConnWindow: 1 << 20, MaxStreamWindow: 1 << 20, MaxOut: 1 << 20,
	}
}

// journal is a Handler that records its calls.
type journal struct {
	strings.Builder
	streams []*Stream
	answer  func(s *Stream)
}

func (j *journal) note(format string, args ...any) { fmt.Fprintf(j, format+"\n", args...) }

func (j *journal) Full() bool { return false }

func (j *journal) Open() *Stream {
	s := &Stream{}
	j.streams = append(j.streams, s)
	return s
}

func (j *journal) Head(s *Stream) {
	h := &s.Head
	switch {
	case s.Fault != nil:
		j.note("%d fault %v", s.ID, s.Fault.Outcome)
	case h.Status > 0:
		j.note("%d head %d ended=%v", s.ID, h.Status, s.RecvEnded)
	default:
		j.note("%d head %s %s ended=%v", s.ID, h.Bytes(h.Method), h.Bytes(h.Target), s.RecvEnded)
	}
	for i := range h.Fields {
		if f := &h.Fields[i]; !f.Dropped {
			j.note("  %s: %s", h.Name(f), h.Value(f))
		}
	}
	if j.answer != nil {
		j.answer(s)
	}
}

func (j *journal) Data(s *Stream, p []byte) { j.note("%d data %d ended=%v", s.ID, len(p), s.RecvEnded) }
func (j *journal) End(s *Stream)            { j.note("%d end %q", s.ID, s.Trailer) }
func (j *journal) Reset(s *Stream, code ErrorCode, _ string) {
	j.note("%d reset %v", s.ID, code)
}
func (j *journal) Refused(s *Stream, text string) { j.note("%d refused: %s", s.ID, text) }
func (j *journal) Window(*Stream)                 {}
func (j *journal) Settled()                       {}
func (j *journal) Denied()                        { j.note("denied") }
func (j *journal) Leaving(last uint32, code ErrorCode) {
	j.note("leaving %d %v", last, code)
}

// script writes frames with another implementation, golang.org/x/net/http2.
type script struct {
	bytes.Buffer
	*xhttp2.Framer
	block bytes.Buffer
	enc   *hpack.Encoder
}

func newScript(server bool) *script {
	s := &script{}
	s.Framer = xhttp2.NewFramer(&s.Buffer, nil)
	s.AllowIllegalWrites = true
	s.enc = hpack.NewEncoder(&s.block)
	if server {
		s.WriteString(Preface)
	}
	s.WriteSettings()
	return s
}

// head encodes pairs of names and values.
func (s *script) head(pairs ...string) []byte {
	s.block.Reset()
	for i := 0; i < len(pairs); i += 2 {
		s.enc.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	return bytes.Clone(s.block.Bytes())
}

var getRoot = []string{":method", "GET", ":scheme", "https", ":path", "/", ":authority", "a.example"}

// get writes a request without a body, with additional fields.
func (s *script) get(id uint32, more ...string) { s.request(id, true, more...) }

func (s *script) request(id uint32, end bool, more ...string) {
	s.WriteHeaders(xhttp2.HeadersFrameParam{
		StreamID: id, BlockFragment: s.head(append(append([]string(nil), getRoot...), more...)...), EndStream: end, EndHeaders: true,
	})
}

// said prints the output of a Conn, one line per frame.
func said(t *testing.T, out []byte) string {
	t.Helper()
	out = bytes.TrimPrefix(out, []byte(Preface))
	framer := xhttp2.NewFramer(nil, bytes.NewReader(out))
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	var lines []string
	for {
		f, err := framer.ReadFrame()
		if err != nil {
			return strings.Join(lines, "\n")
		}
		lines = append(lines, describe(f))
	}
}

func describe(f xhttp2.Frame) string {
	switch f := f.(type) {
	case *xhttp2.SettingsFrame:
		if f.IsAck() {
			return "settings ack"
		}
		return "settings"
	case *xhttp2.MetaHeadersFrame:
		var fields []string
		for _, field := range f.Fields {
			fields = append(fields, field.Name+"="+field.Value)
		}
		return fmt.Sprintf("%d headers ended=%v %s", f.StreamID, f.StreamEnded(), strings.Join(fields, " "))
	case *xhttp2.DataFrame:
		return fmt.Sprintf("%d data %d ended=%v", f.StreamID, len(f.Data()), f.StreamEnded())
	case *xhttp2.RSTStreamFrame:
		return fmt.Sprintf("%d reset %v", f.StreamID, f.ErrCode)
	case *xhttp2.GoAwayFrame:
		return fmt.Sprintf("goaway %d %v", f.LastStreamID, f.ErrCode)
	case *xhttp2.WindowUpdateFrame:
		return fmt.Sprintf("%d window +%d", f.StreamID, f.Increment)
	case *xhttp2.PingFrame:
		return fmt.Sprintf("ping ack=%v", f.IsAck())
	}
	return f.Header().String()
}
