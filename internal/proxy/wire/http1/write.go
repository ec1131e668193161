package http1

import (
	"strconv"

	"windrose.dev/windrose/internal/proxy/msg"
)

// AppendRequest appends a request head, with target instead of h.Target and without the
// dropped fields.
func AppendRequest(dst []byte, h *msg.Head, target []byte) []byte {
	dst = AppendRequestLine(dst, h.Bytes(h.Method), target)
	return append(AppendFields(dst, h), '\r', '\n')
}

// AppendRequestLine appends a request line.
func AppendRequestLine(dst, method, target []byte) []byte {
	dst = append(append(dst, method...), ' ')
	return append(append(dst, target...), " HTTP/1.1\r\n"...)
}

// AppendResponse appends a response head.
func AppendResponse(dst []byte, h *msg.Head) []byte {
	dst = AppendStatus(dst, h.Status, h.Bytes(h.Reason))
	return append(AppendFields(dst, h), '\r', '\n')
}

// AppendStatus appends a status line.
func AppendStatus[T ~[]byte | ~string](dst []byte, status int, phrase T) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = append(strconv.AppendInt(dst, int64(status), 10), ' ')
	return append(append(dst, phrase...), '\r', '\n')
}

// AppendFields appends the field lines of h. Consecutive lines of a buffer are copied
// in one piece.
func AppendFields(dst []byte, h *msg.Head) []byte {
	run := msg.Span{}
	source := h.Buf
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.Dropped {
			continue
		}
		from := h.Buf
		if f.Added {
			from = h.Aux
		}
		if f.Name.Start == run.End && run.End > 0 && sameBuffer(from, source) {
			run.End = f.LineEnd
			continue
		}
		dst = append(dst, source[run.Start:run.End]...)
		run, source = msg.Span{Start: f.Name.Start, End: f.LineEnd}, from
	}
	return append(dst, source[run.Start:run.End]...)
}

func sameBuffer(a, b []byte) bool {
	return len(a) > 0 && len(b) > 0 && &a[0] == &b[0]
}

// AppendChunkHead appends the line before a chunk of n bytes; n is not 0.
func AppendChunkHead(dst []byte, n int) []byte {
	return append(strconv.AppendUint(dst, uint64(n), 16), '\r', '\n')
}

// AppendLastChunk appends the last chunk and the trailer section.
func AppendLastChunk(dst, trailer []byte) []byte {
	dst = append(dst, '0', '\r', '\n')
	return append(append(dst, trailer...), '\r', '\n')
}
