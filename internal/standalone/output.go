package standalone

import (
	"bytes"
	"io"
	"sync"
)

// maxLine is the greatest length of a line, in bytes, that is kept whole. Longer lines
// are written in pieces, so that a program without line ends needs no memory.
const maxLine = 8 << 10

// output is one writer for the lines of many programs. It never mixes two lines.
type output struct {
	mu sync.Mutex
	w  io.Writer
}

func (o *output) writeLine(prefix string, line []byte) {
	whole := make([]byte, 0, len(prefix)+len(line)+1)
	whole = append(append(append(whole, prefix...), line...), '\n')
	o.mu.Lock()
	defer o.mu.Unlock()
	o.w.Write(whole) // a closed reader must not end the programs
}

// lineWriter puts a prefix before each line of one program. It is used by one goroutine
// at a time.
type lineWriter struct {
	out    *output
	prefix string
	rest   []byte
}

// Write accepts everything and never fails.
func (w *lineWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		line, after, ended := bytes.Cut(p, []byte("\n"))
		w.rest, p = append(w.rest, line...), after
		for len(w.rest) > maxLine {
			w.out.writeLine(w.prefix, w.rest[:maxLine])
			w.rest = append(w.rest[:0], w.rest[maxLine:]...)
		}
		if ended {
			w.end()
		}
	}
	return n, nil
}

// flush writes a last line without a line end.
func (w *lineWriter) flush() {
	if len(w.rest) > 0 {
		w.end()
	}
}

func (w *lineWriter) end() {
	w.out.writeLine(w.prefix, bytes.TrimSuffix(w.rest, []byte("\r")))
	w.rest = w.rest[:0]
}
