package call

import (
	"bufio"
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func run(t *testing.T, config Config) Result {
	t.Helper()
	result, err := Run(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestRunCounts(t *testing.T) {
	var connections, requests atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := requests.Add(1)
		if n%4 == 0 {
			w.WriteHeader(503)
		}
		fmt.Fprintf(w, `{"pod":"web-%d"}`, n%2)
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()

	result := run(t, Config{URL: server.URL, Requests: 100, Concurrency: 4})
	if result.Requests != 100 || result.Errors != 0 || result.LatencyMs.P99 < result.LatencyMs.P50 {
		t.Errorf("%+v", result.Summary)
	}
	if diff := cmp.Diff(map[string]int{"200": 75, "503": 25}, result.ByStatus); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]int{"web-0": 50, "web-1": 50}, result.ByPod); diff != "" {
		t.Error(diff)
	}
	if n := connections.Load(); n > 4 {
		t.Errorf("%d connections for 4 workers", n)
	}
}

func TestRequestAsSent(t *testing.T) {
	received := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		received <- fmt.Sprintf("%s %s %s %v%v%s %s", r.Method, r.RequestURI, r.Host, r.Header["X-A"], r.Header["Authorization"], r.UserAgent(), body)
	}))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	tests := []struct {
		name   string
		config Config
		want   string
	}{
		{"plain", Config{URL: address + "/a%2Fb/../c?x=1"}, "GET /a%2Fb/../c?x=1 " + address + " [][]windrose-call "},
		{
			"header",
			Config{URL: server.URL, Header: http.Header{"X-A": {"1", "2"}, "Host": {"shop.example"}, "User-Agent": {"me"}}},
			"GET / shop.example [1 2][]me ",
		},
		{"body", Config{URL: server.URL, Body: []byte("hello")}, "POST / " + address + " [][]windrose-call hello"},
		{"method", Config{URL: server.URL, Method: "PURGE", Body: []byte("hello")}, "PURGE / " + address + " [][]windrose-call hello"},
		{"user", Config{URL: "http://u:p@" + address}, "GET / " + address + " [][Basic dTpw]windrose-call "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if result := run(t, tt.config); result.Errors != 0 {
				t.Fatal(result.FirstError)
			}
			if got := <-received; got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	server := httptest.NewServer(http.RedirectHandler("/loop", http.StatusFound))
	defer server.Close()
	result := run(t, Config{URL: server.URL})
	if result.ByStatus["302"] != 1 || result.First.Header.Get("Location") != "/loop" {
		t.Errorf("%+v", result)
	}
}

func TestTLS(t *testing.T) {
	var names atomic.Value
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { names.Store(r.TLS.ServerName) }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	override, err := ParseOverride("example.com:443:" + server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		config Config
		errors map[string]int
	}{
		{"trusted", Config{URL: "https://example.com", Roots: roots, Resolve: []Override{override}, Header: http.Header{"Host": {"other.example"}}}, nil},
		{"not trusted", Config{URL: server.URL, Roots: x509.NewCertPool()}, map[string]int{"certificate not trusted": 1}},
		{"insecure", Config{URL: server.URL, Roots: x509.NewCertPool(), Insecure: true}, nil},
		{"no TLS there", Config{URL: "https://" + plainServer(t), Insecure: true}, map[string]int{"TLS handshake failed": 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			result := run(t, tt.config)
			if diff := cmp.Diff(tt.errors, nilIfEmpty(result.ByError)); diff != "" {
				t.Errorf("%s %v", diff, result.FirstError)
			}
			if tt.name == "trusted" && names.Load() != "example.com" {
				t.Errorf("server name %v", names.Load())
			}
		})
	}
}

func nilIfEmpty(m map[string]int) map[string]int {
	if len(m) == 0 {
		return nil
	}
	return m
}

func plainServer(t *testing.T) string {
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// rawServer sends answers[n] for the n-th request of each connection, and ends the
// connection after the last. It still reads what follows, because closing a socket with
// unread data resets the connection.
func rawServer(t *testing.T, answers ...string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			reader := bufio.NewReader(conn)
			for _, answer := range answers {
				if _, err := http.ReadRequest(reader); err != nil {
					break
				}
				io.WriteString(conn, answer)
			}
			conn.(*net.TCPConn).CloseWrite()
			go func() {
				io.Copy(io.Discard, reader)
				conn.Close()
			}()
		}
	}()
	return listener.Addr().String()
}

func TestWhatKeepsFromAnAnswer(t *testing.T) {
	const whole = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	tests := []struct {
		name    string
		answers []string
		n       int
		status  map[string]int
		errors  map[string]int
	}{
		{"a dead kept connection", []string{whole}, 4, map[string]int{"200": 2}, map[string]int{"connection closed": 2}},
		{"a connection that says it closes", []string{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"}, 4, map[string]int{"200": 4}, nil},
		{"no answer", []string{""}, 1, nil, map[string]int{"connection closed": 1}},
		{"half a head", []string{"HTTP/1.1 200 OK\r\nContent-"}, 1, nil, map[string]int{"answer truncated": 1}},
		{"half a body", []string{"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"}, 1, nil, map[string]int{"answer truncated": 1}},
		{"half a chunk", []string{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok"}, 1, nil, map[string]int{"answer truncated": 1}},
		{"not a chunk", []string{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok"}, 1, nil, map[string]int{"answer invalid": 1}},
		{"not HTTP", []string{"SSH-2.0-x\r\n\r\n"}, 1, nil, map[string]int{"answer invalid": 1}},
		{"a huge head", []string{"HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", maxHead)}, 1, nil, map[string]int{"answer invalid": 1}},
		{"until the end", []string{"HTTP/1.1 200 OK\r\n\r\nok"}, 2, map[string]int{"200": 2}, nil},
		{"interim answers", []string{"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + whole}, 1, map[string]int{"200": 1}, nil},
		{"more than was asked for", []string{whole + "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"}, 2, map[string]int{"200": 2}, nil},
		{"switching protocols", []string{"HTTP/1.1 101 Switching Protocols\r\n\r\n"}, 2, map[string]int{"101": 2}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			result := run(t, Config{URL: rawServer(t, tt.answers...), Requests: tt.n})
			if diff := cmp.Diff(tt.status, nilIfEmpty(result.ByStatus)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tt.errors, nilIfEmpty(result.ByError)); diff != "" {
				t.Errorf("%s %v", diff, result.FirstError)
			}
		})
	}
}

func TestTimeout(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	result := run(t, Config{URL: server.URL, Requests: 2, Concurrency: 2, Timeout: 20 * time.Millisecond})
	if diff := cmp.Diff(map[string]int{"timeout": 2}, result.ByError); diff != "" {
		t.Error(diff)
	}
}

func TestRefused(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	result := run(t, Config{URL: address, Requests: 3})
	if diff := cmp.Diff(map[string]int{"connection refused": 3}, result.ByError); diff != "" || result.Errors != 3 {
		t.Errorf("%s %+v", diff, result.Summary)
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var n atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if n.Add(1) == 3 {
			cancel()
			<-r.Context().Done() // the client has closed the connection
		}
	}))
	defer server.Close()
	result, err := Run(ctx, Config{URL: server.URL, Requests: 1000})
	if err != nil || result.Requests != 2 || result.Errors != 0 {
		t.Errorf("%+v, %v", result.Summary, err)
	}
}

// A large response is counted whole and kept in part.
func TestLargeAnswer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write(make([]byte, 3*maxKept))
	}))
	defer server.Close()
	first := run(t, Config{URL: server.URL}).First
	if len(first.Body) != maxKept || first.Size != 3*maxKept {
		t.Errorf("kept %d of %d bytes", len(first.Body), first.Size)
	}
}
