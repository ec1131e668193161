package call

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPercentile(t *testing.T) {
	ms := func(values ...float64) []time.Duration {
		out := make([]time.Duration, len(values))
		for i, v := range values {
			out[i] = time.Duration(v * float64(time.Millisecond))
		}
		return out
	}
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(i + 1)
	}
	tests := []struct {
		name     string
		sorted   []time.Duration
		p50, p99 float64
	}{
		{"nothing", nil, 0, 0},
		{"one", ms(1.5), 1.5, 1.5},
		{"two", ms(1, 2), 1, 2},
		{"three", ms(1, 2, 3), 2, 3},
		{"a hundred", ms(hundred...), 50, 99},
		{"to the microsecond", []time.Duration{1234567 * time.Nanosecond}, 1.235, 1.235},
	}
	for _, tt := range tests {
		if p50, p99 := percentile(tt.sorted, 50), percentile(tt.sorted, 99); p50 != tt.p50 || p99 != tt.p99 {
			t.Errorf("%s: p50 %v, p99 %v, want %v, %v", tt.name, p50, p99, tt.p50, tt.p99)
		}
	}
}

func answerOf(status int, body string) *Answer { return &Answer{Status: status, Body: []byte(body)} }

func TestSummary(t *testing.T) {
	a, b := newTally(), newTally()
	a.add(answerOf(200, `{"pod":"web-1"}`), nil, time.Millisecond)
	a.add(answerOf(200, `{"pod":"web-2"}`), nil, 3*time.Millisecond)
	b.add(answerOf(503, `{"pod":7}`), nil, 2*time.Millisecond)
	b.add(answerOf(200, `text`), nil, 4*time.Millisecond)
	b.add(nil, syscall.ECONNREFUSED, time.Hour)
	total := newTally()
	total.merge(a)
	total.merge(b)
	got, err := json.Marshal(total.summary())
	want := `{"requests":5,"byStatus":{"200":3,"503":1},"byPod":{"web-1":1,"web-2":1},"errors":1,"byError":{"connection refused":1},"latencyMs":{"p50":2,"p99":4}}`
	if err != nil || string(got) != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
}

func TestSummaryOfNothing(t *testing.T) {
	got, err := json.Marshal(newTally().summary())
	want := `{"requests":0,"byStatus":{},"byPod":{},"errors":0,"latencyMs":{"p50":0,"p99":0}}`
	if err != nil || string(got) != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
}

func TestParseOverride(t *testing.T) {
	tests := []struct{ in, host, addr string }{
		{"Shop.example:443:127.0.0.1", "shop.example", "127.0.0.1:443"},
		{"shop.example:80:127.0.0.1:8080", "shop.example", "127.0.0.1:8080"},
		{"shop.example:80:::1", "shop.example", "[::1]:80"},
		{"shop.example:80:[::1]", "shop.example", "[::1]:80"},
		{"shop.example:80:[::1]:8080", "shop.example", "[::1]:8080"},
		{"[2001:db8::1]:80:127.0.0.1", "2001:db8::1", "127.0.0.1:80"},
		{"*:80:127.0.0.1", "*", "127.0.0.1:80"},
		{"shop.example:80", "", ""},
		{"shop.example", "", ""},
		{":80:127.0.0.1", "", ""},
		{"a:0:127.0.0.1", "", ""},
		{"a:65536:127.0.0.1", "", ""},
		{"a:x:127.0.0.1", "", ""},
		{"a:80:b", "", ""},
		{"a:80:", "", ""},
	}
	for _, tt := range tests {
		got, err := ParseOverride(tt.in)
		if (err != nil) != (tt.host == "") {
			t.Errorf("%s: error %v", tt.in, err)
		}
		if err == nil && (got.Host != tt.host || got.Addr.String() != tt.addr) {
			t.Errorf("%s: %+v", tt.in, got)
		}
	}
}

func TestDialAddress(t *testing.T) {
	override, err := ParseOverride("shop.example:443:127.0.0.2:8443")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ url, want string }{
		{"http://shop.example/", "shop.example:80"},
		{"https://SHOP.example/", "127.0.0.2:8443"},
		{"https://shop.example:444/", "shop.example:444"},
		{"http://localhost:8080", "127.0.0.1:8080"},
		{"http://a.b.LOCALHOST", "127.0.0.1:80"},
		{"http://a.localhost.:81", "127.0.0.1:81"},
		{"http://notlocalhost", "notlocalhost:80"},
		{"http://[::1]:8080", "[::1]:8080"},
	}
	for _, tt := range tests {
		u, err := url.Parse(tt.url)
		if err != nil {
			t.Fatal(err)
		}
		if got := dialAddress(u, []Override{override}); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.url, got, tt.want)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	tests := []struct {
		name   string
		config Config
		want   string
	}{
		{"no host", Config{URL: "http:///x"}, "names no host"},
		{"no URL", Config{}, "names no host"},
		{"another scheme", Config{URL: "ftp://x"}, "neither http nor https"},
		{"not a URL", Config{URL: "http://x/%zz"}, "read the URL"},
		{"a method with a space", Config{URL: "x", Method: "G T"}, "invalid method"},
		{"too many", Config{URL: "x", Requests: maxRequests + 1}, "number of requests"},
		{"too many at once", Config{URL: "x", Concurrency: maxConcurrency + 1}, "concurrency"},
		{"negative rate", Config{URL: "x", Rate: -1}, "rate"},
		{"negative timeout", Config{URL: "x", Timeout: -1}, "timeout"},
	}
	for _, tt := range tests {
		if _, err := Run(context.Background(), tt.config); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestNameFailure(t *testing.T) {
	tests := []struct {
		err  error
		want string
	}{
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, "connection refused"},
		{&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, "connection reset"},
		{errors.Join(syscall.EPIPE, io.EOF), "connection reset"},
		{io.EOF, "connection closed"},
		{context.DeadlineExceeded, "timeout"},
		{os.ErrDeadlineExceeded, "timeout"},
		{&net.DNSError{Err: "no such host", IsNotFound: true}, "name not found"},
		{errTruncated, "answer truncated"},
		{fmt.Errorf("%w: x", errInvalid), "answer invalid"},
		{errors.New("x"), "other"},
	}
	for _, tt := range tests {
		if got := nameFailure(tt.err); got != tt.want {
			t.Errorf("%v: %s, want %s", tt.err, got, tt.want)
		}
	}
}

func TestTicketsKeepTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tickets := make(chan struct{})
		start := time.Now()
		go issueTickets(t.Context(), tickets, 5, 2)
		var got []time.Duration
		for range tickets {
			got = append(got, time.Since(start))
		}
		ms := time.Millisecond
		if diff := cmp.Diff([]time.Duration{0, 500 * ms, 1000 * ms, 1500 * ms, 2000 * ms}, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestWriteText(t *testing.T) {
	one := newTally()
	one.add(&Answer{
		Proto: "HTTP/1.1", Status: 302, StatusText: "302 Found", Header: http.Header{"Location": {"/next"}, "X-A": {"1", "2"}},
		Body: []byte("moved"), Size: 9,
	}, nil, 1500*time.Microsecond)
	many := newTally()
	for range 3 {
		many.add(answerOf(200, `{"pod":"web-1"}`), nil, time.Millisecond)
	}
	many.add(nil, io.EOF, 0)
	tests := []struct {
		name    string
		tally   *tally
		headers Headers
		want    string
	}{
		{"one", one, WithHeaders, `HTTP/1.1 302 Found
Location: /next
X-A: 1
X-A: 2

moved
(4 bytes more)

requests     1
errors       0
status 302   1  100.0 %
latency p50  1.500 ms
latency p99  1.500 ms
not followed: Location: /next
`},
		{"many", many, WithoutHeaders, `requests                 4
errors                   1
status 200               3  75.0 %
pod web-1                3  75.0 %
error connection closed  1  25.0 %
latency p50              1.000 ms
latency p99              1.000 ms
first error: EOF
`},
	}
	for _, tt := range tests {
		var out strings.Builder
		result := Result{Summary: tt.tally.summary(), First: tt.tally.first, FirstError: tt.tally.firstError}
		if err := WriteText(&out, result, tt.headers); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, out.String()); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}
