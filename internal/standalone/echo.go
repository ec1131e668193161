package standalone

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	maxEchoDelay = 60 * time.Second
	maxEchoBytes = 1 << 30
)

// Identity says which pod an echo application is.
type Identity struct {
	Namespace string `json:"namespace"`
	Pod       string `json:"pod"`
	// Service is the first Service by name that selects the pod, or "".
	Service string `json:"service"`
}

// Answer is the JSON response of the echo application: the request as it arrived, with
// the keys of the Gateway API's echo backend, and the pod that responded.
type Answer struct {
	// Path is the request target as received, with its query.
	Path    string              `json:"path"`
	Host    string              `json:"host"`
	Method  string              `json:"method"`
	Proto   string              `json:"proto"`
	Headers map[string][]string `json:"headers"`
	Identity
}

// Echo is the application that a loopback pod runs when it names no command. It responds
// 200 with an [Answer] to every path of every host, after reading the whole body of the
// request. A WebSocket handshake at any path gets a connection that echoes each message.
//
// Three query parameters change the response. Invalid values are ignored, since
// applications have such parameters of their own:
//
//	status=NNN   the status code, 200 to 599
//	delay=50ms   wait before responding, 60 s at most
//	bytes=N      N bytes of text instead of JSON, 1 GiB at most
type Echo struct {
	// Identity is called for each request, since the Services that select a pod may
	// change while it runs.
	Identity func() Identity
	// Stopping is closed to end WebSockets, which do not end with their requests.
	Stopping <-chan struct{}
}

func (e Echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if isWebSocket(r) {
		echoWebSocket(w, r, e.Stopping)
		return
	}
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return // the client aborted its request
	}
	query := r.URL.Query()
	if !pause(r, delayOf(query.Get("delay"))) {
		return
	}
	status := statusOf(query.Get("status"))
	if n, asked := bytesOf(query.Get("bytes")); asked {
		writeText(w, status, n)
		return
	}
	e.writeAnswer(w, r, status)
}

func (e Echo) writeAnswer(w http.ResponseWriter, r *http.Request, status int) {
	answer := Answer{r.RequestURI, r.Host, r.Method, r.Proto, r.Header, e.Identity()}
	body, err := json.MarshalIndent(answer, "", " ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(body, '\n')) // an error means that the client has gone
}

// pause waits, and reports whether the client is still there.
func pause(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

func delayOf(s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0
	}
	return min(d, maxEchoDelay)
}

func statusOf(s string) int {
	if n, err := strconv.Atoi(s); err == nil && n >= 200 && n <= 599 {
		return n
	}
	return http.StatusOK
}

func bytesOf(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return 0, false
	}
	return min(n, maxEchoBytes), true
}

// writeText streams n bytes, so that a large response needs no memory.
func writeText(w http.ResponseWriter, status int, n int64) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	w.WriteHeader(status)
	block := []byte(strings.Repeat("0123456789abcde\n", 2048))
	for n > 0 {
		part := block[:min(n, int64(len(block)))]
		if _, err := w.Write(part); err != nil {
			return
		}
		n -= int64(len(part))
	}
}
