package conformance

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"time"
)

// podLogs keeps the output of pods, by pod. As an io.Writer it takes the lines of
// standalone.Config.Output, "[namespace/pod] text", one for each Write.
type podLogs struct {
	mu   sync.Mutex
	pods map[string][]logLine
}

type logLine struct {
	at   time.Time
	text string
}

func newPodLogs() *podLogs { return &podLogs{pods: map[string][]logLine{}} }

func (l *podLogs) Write(line []byte) (int, error) {
	prefix, text, found := bytes.Cut(line, []byte("] "))
	if found && bytes.HasPrefix(prefix, []byte("[")) {
		l.mu.Lock()
		defer l.mu.Unlock()
		pod := string(prefix[1:])
		l.pods[pod] = append(l.pods[pod], logLine{time.Now(), string(text)})
	}
	return len(line), nil
}

// write prints the lines of a pod since a time.
func (l *podLogs) write(w io.Writer, pod string, since time.Time) {
	l.mu.Lock()
	lines := l.pods[pod]
	l.mu.Unlock()
	var b strings.Builder
	for _, line := range lines {
		if !line.at.Before(since) {
			b.WriteString(line.text)
		}
	}
	io.WriteString(w, b.String())
}
