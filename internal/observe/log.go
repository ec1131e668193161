package observe

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"
)

// LogFormat is the format of access-log lines.
type LogFormat uint8

// The formats.
const (
	// LogCompact writes words and key=value pairs, for people.
	LogCompact LogFormat = iota
	// LogJSON writes one JSON object a line.
	LogJSON
	// LogOff writes nothing.
	LogOff
)

// ParseLogFormat reads the name of a format.
func ParseLogFormat(name string) (LogFormat, error) {
	for i, known := range [...]string{"compact", "json", "off"} {
		if name == known {
			return LogFormat(i), nil
		}
	}
	return 0, fmt.Errorf("log format %q is none of compact, json, off", name)
}

// logShardBytes bounds the unwritten lines of one shard.
const logShardBytes = 256 << 10

// logHold is how long lines are collected before they are written.
const logHold = 50 * time.Millisecond

// Log is an access log. Lines are collected in memory, in one buffer for each shard, and
// written by Run. If the buffer is full, the line is dropped and counted: a slow reader
// of the log never slows a request.
type Log struct {
	format  LogFormat
	out     io.Writer
	dropped *Counter
	shards  []logShard
	wake    chan struct{}
}

type logShard struct {
	mu     sync.Mutex
	lines  []byte
	second int64  // the Unix time of stamp
	stamp  []byte // 2006-01-02T15:04:05
	_      [40]byte
}

// NewLog returns a Log that writes to out and counts dropped lines in dropped.
func NewLog(out io.Writer, format LogFormat, dropped *Counter) *Log {
	return &Log{
		format: format, out: out, dropped: dropped,
		shards: make([]logShard, len(dropped.shards)), wake: make(chan struct{}, 1),
	}
}

// Enabled reports whether lines are written.
func (l *Log) Enabled() bool { return l != nil && l.format != LogOff }

// record adds one line. It never blocks on the log's writer and keeps nothing of f.
func (l *Log) record(shard int, f *Flow) {
	if !l.Enabled() {
		return
	}
	s := &l.shards[shard]
	s.mu.Lock()
	first := len(s.lines) == 0
	if len(s.lines) >= logShardBytes {
		s.mu.Unlock()
		l.dropped.Add(shard, 1)
		return
	}
	s.setTime(f.Start)
	if l.format == LogJSON {
		s.lines = appendJSON(s.lines, s.stamp, f)
	} else {
		s.lines = appendCompact(s.lines, s.stamp, f)
	}
	s.mu.Unlock()
	if first {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

func (s *logShard) setTime(t time.Time) {
	if second := t.Unix(); second != s.second || s.stamp == nil {
		s.second = second
		s.stamp = t.UTC().AppendFormat(s.stamp[:0], "2006-01-02T15:04:05")
	}
}

// Run writes the recorded lines until ctx ends, and then those that are left.
func (l *Log) Run(ctx context.Context) error {
	timer := time.NewTimer(logHold)
	timer.Stop()
	spare := make([]byte, 0, 4096)
	for {
		select {
		case <-ctx.Done():
			l.flush(spare)
			return ctx.Err()
		case <-l.wake:
			timer.Reset(logHold)
		case <-timer.C:
			spare = l.flush(spare)
		}
	}
}

// flush writes the lines of each shard. It gives each shard the buffer of the shard
// before it, starting with spare, and returns the last one.
func (l *Log) flush(spare []byte) []byte {
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		lines := s.lines
		s.lines = spare[:0]
		s.mu.Unlock()
		if len(lines) > 0 {
			l.out.Write(lines) // traffic goes on if the reader of the log is gone
		}
		spare = lines
	}
	return spare
}

func appendMillis(dst, stamp []byte, t time.Time) []byte {
	ms := t.Nanosecond() / 1e6
	return append(append(dst, stamp...), '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10), 'Z')
}

// appendParties writes what is known of the two ends, the verdict, and the route between
// them.
func appendParties(dst []byte, f *Flow) []byte {
	dst = f.Client.AppendTo(append(dst, " client="...))
	dst = appendPair(dst, " source=", f.Source.Workload)
	dst = appendPrintablePair(dst, " source-identity=", f.Source.Identity)
	dst = appendPair(dst, " route=", f.Route)
	dst = appendPair(dst, " at=", f.Origin)
	dst = appendPair(dst, " endpoint=", f.Endpoint)
	dst = appendPair(dst, " pod=", f.Destination.Workload)
	dst = appendPrintablePair(dst, " destination-identity=", f.Destination.Identity)
	dst = appendPair(dst, " verdict=", f.Verdict.String())
	return appendPair(dst, " policy=", f.Policy)
}

// appendDuration writes milliseconds with three decimals.
func appendDuration(dst []byte, d time.Duration) []byte {
	us := int64(d / time.Microsecond)
	dst = strconv.AppendInt(dst, us/1000, 10)
	us %= 1000
	return append(dst, '.', byte('0'+us/100), byte('0'+us/10%10), byte('0'+us%10))
}

func appendCompact(dst, stamp []byte, f *Flow) []byte {
	dst = appendMillis(dst, stamp, f.Start)
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, int64(f.Status), 10)
	dst = append(append(dst, ' '), f.Outcome.String()...)
	if dst = append(dst, ' '); f.Transport == "" {
		dst = append(appendPrintable(dst, f.Method), ' ')
	}
	dst = append(dst, scheme(f)...)
	dst = append(appendPrintable(append(dst, "://"...), f.Host), ' ')
	if n := len(dst); n > 0 && len(f.Target) > 0 {
		dst = appendPrintable(dst[:n-1], f.Target)
		dst = append(dst, ' ')
	}
	dst = append(appendDuration(dst, f.Duration), "ms"...)
	if f.Wait > 0 {
		dst = append(appendDuration(append(dst, " wait="...), f.Wait), "ms"...)
	}
	dst = strconv.AppendInt(append(dst, " in="...), f.BytesIn, 10)
	dst = strconv.AppendInt(append(dst, " out="...), f.BytesOut, 10)
	dst = appendParties(dst, f)
	if n := f.retries(); n > 0 {
		dst = strconv.AppendInt(append(dst, " retries="...), n, 10)
	}
	if len(f.RequestID) > 0 {
		dst = append(append(dst, " id="...), f.RequestID...)
	}
	dst = appendPair(dst, " trace=", f.traceID())
	if f.Detail != "" {
		dst = strconv.AppendQuote(append(dst, " detail="...), f.Detail)
	}
	return append(dst, '\n')
}

func scheme(f *Flow) string {
	switch {
	case f.Transport != "":
		return f.Transport
	case f.TLS:
		return "https"
	}
	return "http"
}

func appendPair[T ~string | ~[]byte](dst []byte, key string, value T) []byte {
	if len(value) == 0 {
		return dst
	}
	return append(append(dst, key...), value...)
}

// appendPrintablePair is appendPair for text from a peer's certificate.
func appendPrintablePair(dst []byte, key, value string) []byte {
	if value == "" {
		return dst
	}
	return appendPrintable(append(dst, key...), value)
}

// appendPrintable escapes what a peer sent, so that it can neither end the line nor look
// like another field.
func appendPrintable[T ~string | ~[]byte](dst []byte, text T) []byte {
	for i := range len(text) {
		c := text[i]
		if c <= ' ' || c >= 0x7f || c == '"' || c == '\\' {
			dst = append(dst, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
			continue
		}
		dst = append(dst, c)
	}
	return dst
}

const hexDigits = "0123456789abcdef"

func appendJSON(dst, stamp []byte, f *Flow) []byte {
	dst = append(appendMillis(append(dst, `{"time":"`...), stamp, f.Start), '"')
	dst = strconv.AppendInt(append(dst, `,"status":`...), int64(f.Status), 10)
	dst = jsonString(dst, `,"outcome":`, f.Outcome.String())
	dst = jsonString(dst, `,"method":`, f.Method)
	dst = jsonString(dst, `,"scheme":`, scheme(f))
	dst = jsonString(dst, `,"host":`, f.Host)
	dst = jsonString(dst, `,"target":`, f.Target)
	if f.Transport == "" {
		dst = strconv.AppendInt(append(dst, `,"protocol":"HTTP/`...), int64(max(f.Major, 1)), 10)
		dst = append(strconv.AppendInt(append(dst, '.'), int64(f.Minor), 10), '"')
	}
	dst = appendDuration(append(dst, `,"durationMs":`...), f.Duration)
	dst = appendDuration(append(dst, `,"waitMs":`...), f.Wait)
	dst = strconv.AppendInt(append(dst, `,"bytesIn":`...), f.BytesIn, 10)
	dst = strconv.AppendInt(append(dst, `,"bytesOut":`...), f.BytesOut, 10)
	dst = append(f.Client.AppendTo(append(dst, `,"client":"`...)), '"')
	dst = jsonString(dst, `,"route":`, f.Route)
	dst = jsonString(dst, `,"at":`, f.Origin)
	dst = jsonString(dst, `,"endpoint":`, f.Endpoint)
	dst = jsonString(dst, `,"pod":`, f.Destination.Workload)
	dst = jsonParties(dst, f)
	dst = strconv.AppendInt(append(dst, `,"retries":`...), f.retries(), 10)
	dst = jsonString(dst, `,"requestId":`, f.RequestID)
	dst = jsonString(dst, `,"detail":`, f.Detail)
	return append(dst, '}', '\n')
}

// jsonParties writes what is known of the two ends and the verdict; unknown members are
// left out.
func jsonParties(dst []byte, f *Flow) []byte {
	for _, m := range [...]struct{ key, value string }{
		{`,"service":`, f.service()},
		{`,"sourceWorkload":`, f.Source.Workload},
		{`,"sourceIdentity":`, f.Source.Identity},
		{`,"destinationIdentity":`, f.Destination.Identity},
		{`,"verdict":`, f.Verdict.String()},
		{`,"policy":`, f.Policy},
	} {
		if m.value != "" {
			dst = jsonString(dst, m.key, m.value)
		}
	}
	if id := f.traceID(); len(id) > 0 {
		dst = jsonString(dst, `,"traceId":`, id)
	}
	return dst
}

// jsonString writes a key, with its comma and colon, and a string. Bytes that are not
// ASCII are escaped one by one, so that any input gives valid JSON.
func jsonString[T ~string | ~[]byte](dst []byte, key string, value T) []byte {
	dst = append(append(dst, key...), '"')
	for i := range len(value) {
		switch c := value[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ' || c >= 0x7f:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
