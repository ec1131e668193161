package admin

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"windrose.dev/windrose/internal/observe"
)

var flowsDoc = "Flows as they end, an object a line, as `--log json` writes them, whatever the log is; `?n=100` ends after that many. " +
	"Where a client does not keep up, flows are lost to it, and a line `{\"lost\":N}` says how many. " +
	fmt.Sprintf("At most %d clients at a time; more get 503.", observe.MaxWatchers)

// stalled is how long a write to a client of /flows may take before the client counts
// as gone.
const stalled = time.Minute

// flows writes the Flows that end from now on, until the client goes or has the number
// that it asked for.
func flows(w http.ResponseWriter, r *http.Request, sink *observe.Sink) {
	left, err := wanted(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if r.Method == http.MethodHead {
		return // a response to HEAD would wait for Flows that it does not send
	}
	watcher, err := sink.Watch()
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer watcher.Close()
	out := newStream(w)
	for lines := watcher.Lines(); left != 0 && out.err == nil; left-- {
		if len(lines) == 0 {
			out.flush() // all Flows so far are written
		}
		select {
		case <-r.Context().Done():
			return
		case line := <-lines:
			out.write(line)
			if lost := watcher.Lost(); lost > 0 {
				out.write(fmt.Appendf(nil, "{\"lost\":%d}\n", lost))
			}
		}
	}
}

// wanted returns the parameter n, the number of Flows that the client wants; -1 is no
// limit.
func wanted(r *http.Request) (int, error) {
	text := r.URL.Query().Get("n")
	if text == "" {
		return -1, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("n=%q: write the number of flows that you want, from 1", text)
	}
	return n, nil
}

// stream writes a response of any duration: each write has a deadline, in place of the
// server's write timeout for the whole response.
type stream struct {
	http.ResponseWriter
	control *http.ResponseController
	err     error // of the first write that failed
}

func newStream(w http.ResponseWriter) *stream {
	s := &stream{ResponseWriter: w, control: http.NewResponseController(w)}
	s.Header().Set("Content-Type", "application/x-ndjson")
	s.Header().Set("Cache-Control", "no-store")
	return s
}

func (s *stream) write(line []byte) {
	if s.err == nil {
		s.control.SetWriteDeadline(time.Now().Add(stalled))
		_, s.err = s.Write(line)
	}
}

func (s *stream) flush() {
	if s.err == nil {
		s.control.SetWriteDeadline(time.Now().Add(stalled))
		s.err = s.control.Flush()
	}
}
