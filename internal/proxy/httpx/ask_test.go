package httpx

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy/engine"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/mux"
	"windrose.dev/windrose/internal/proxy/settings"
	"windrose.dev/windrose/internal/proxy/sock"
	"windrose.dev/windrose/internal/proxy/upstream"
)

// asker is a Server and the cluster of a service at an address.
func asker(t *testing.T, protocol, addr string) (*Server, *upstream.Cluster) {
	t.Helper()
	e := engine.New(engine.Config{Limits: settings.DefaultLimits(), Sink: &observe.Sink{Metrics: observe.NewMetrics(0)}, Clock: sock.NewClock()})
	configs := make([]*mux.Config, len(e.Shards))
	for i := range configs {
		configs[i] = &mux.Config{
			Limits: e.Limits.Head(), MaxStreams: 10, WriteTimeout: time.Minute, Header: time.Minute, Idle: time.Minute, PingTimeout: time.Minute,
			Growth: &e.Growth, Full: func() bool { return false },
		}
	}
	r := upstream.NewRegistry(upstream.Config{Shards: len(e.Shards), Clock: e.Clock, HTTP2: configs})
	s, err := model.Parse("service s:1 round-robin " + protocol + "\nendpoint s:1 " + addr + "\n")
	if err != nil {
		t.Fatal(err)
	}
	plan := r.Prepare(s)
	plan.Commit()
	return New(Config{Engine: e}), plan.Clusters[model.ParseServiceID("s:1")]
}

// question asks with a POST.
func question(c *upstream.Cluster, path, body string) *Question {
	h := &msg.Head{Buf: []byte("POST"), Method: msg.Span{End: 4}}
	h.Add(msg.Host, "Host", []byte("auth.example"))
	q := NewQuestion(c, h, []byte(path), []byte(body))
	q.Connect, q.Time, q.MaxBody, q.Keep = time.Second, 10*time.Second, 1000, true
	return q
}

func TestAsk(t *testing.T) {
	var calls atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-User", r.Host)
		switch r.URL.Path {
		case "/large":
			w.Write(make([]byte, 2000))
		case "/deny":
			w.WriteHeader(http.StatusForbidden)
		case "/close":
			w.Header().Set("Connection", "close")
		case "/abort":
			w.Write([]byte("some"))
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		io.WriteString(w, strings.ToUpper(string(body)))
	}))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	defer server.Close()
	for _, protocol := range []string{"", "protocol=http2"} {
		s, c := asker(t, protocol, server.Listener.Addr().String())
		shard := s.Engine.NextShard()
		for path, status := range map[string]int{"/": 200, "/deny": 403, "/close": 200} {
			for range 3 {
				reply, err := s.Ask(shard, question(c, path, "who"))
				if err != nil || reply.Head.Status != status || string(reply.Body) != "WHO" || string(reply.Head.Lookup("x-user")) != "auth.example" {
					t.Fatalf("%s %s: %+v %v", protocol, path, reply, err)
				}
			}
		}
		if _, err := s.Ask(shard, question(c, "/large", "")); !errors.Is(err, exchange.ErrTooLarge) {
			t.Errorf("%s: a large answer: %v", protocol, err)
		}
		if _, err := s.Ask(shard, question(c, "/abort", "")); !errors.Is(err, exchange.ErrNoAnswer) {
			t.Errorf("%s: a broken answer: %v", protocol, err)
		}
		if n := c.Active(); n != 0 {
			t.Errorf("%s: %d questions count as under way", protocol, n)
		}
		s.Stop()
		before := calls.Load()
		if _, err := s.Ask(shard, question(c, "/", "")); !errors.Is(err, exchange.ErrStopped) || calls.Load() != before {
			t.Errorf("%s: asked of a proxy that has stopped: %v", protocol, err)
		}
	}
}

// What cannot be reached, or takes too long, is an error, and holds nothing.
func TestAskFails(t *testing.T) {
	s, c := asker(t, "", "127.0.0.1:1")
	if _, err := s.Ask(s.Engine.NextShard(), question(c, "/", "")); !errors.Is(err, upstream.ErrRefused) {
		t.Errorf("%v", err)
	}
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer silent.Close()
	s, c = asker(t, "", silent.Listener.Addr().String())
	q := question(c, "/", "")
	q.Time = 20 * time.Millisecond
	if _, err := s.Ask(s.Engine.NextShard(), q); err == nil || c.Active() != 0 {
		t.Errorf("%v, %d under way", err, c.Active())
	}
}
