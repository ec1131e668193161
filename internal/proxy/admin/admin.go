// Package admin is the HTTP API for inspecting a proxy: metrics, readiness, the
// Snapshot that it serves, without key material, and its Flows as they end. [Pages] is
// the table of its pages.
//
// It is the only package of a data plane that links net/http, and it is not on the data
// path. [Telemetry] may be open to the pod's network; [All] serves only requests whose
// Host is a loopback name, so that no web page can reach it through a browser.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy"
	"windrose.dev/windrose/internal/proxy/exchange"
)

// Page is a row of docs/ports.md, and its handler.
type Page struct {
	Path, Doc string
	// Telemetry reports whether the page is on the telemetry port too.
	Telemetry bool

	serve func(http.ResponseWriter, *http.Request, subject)
}

// subject is what the pages show. Telemetry pages use only the metrics.
type subject struct {
	metrics *observe.Metrics
	proxy   *proxy.Proxy
}

var pages = []Page{
	{"/metrics", "Metrics in Prometheus' text format.", true, metrics},
	{"/ready", "200 while a Snapshot is live and the proxy does not drain, and else 503.", true, ready},
	{"/live", "200.", true, live},
	{"/config", "The live Snapshot in its text form, without key material.", false, config},
	{"/explain", "`?url=` and, if need be, `&method=`, `&header=name:value`, `&gateway=namespace/name` and `&client=IP`: the fate of that request, as JSON.", false, explain},
	{"/flows", flowsDoc, false, func(w http.ResponseWriter, r *http.Request, s subject) { flows(w, r, s.proxy.Sink()) }},
}

// Pages returns the pages of the admin API. All are served to GET.
func Pages() []Page { return pages }

// Telemetry returns a handler for the telemetry pages.
func Telemetry(m *observe.Metrics) http.Handler {
	return serving(subject{metrics: m}, func(p Page) bool { return p.Telemetry })
}

// All returns a handler for all pages.
func All(m *observe.Metrics, p *proxy.Proxy) http.Handler {
	return loopbackOnly(serving(subject{m, p}, func(Page) bool { return true }))
}

func serving(s subject, which func(Page) bool) http.Handler {
	mux := http.NewServeMux()
	for _, p := range pages {
		if which(p) {
			mux.HandleFunc("GET "+p.Path, func(w http.ResponseWriter, r *http.Request) { p.serve(w, r, s) })
		}
	}
	return mux
}

func config(w http.ResponseWriter, _ *http.Request, s subject) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	model.Write(w, s.proxy.Generation().Snapshot)
}

// explain responds to
// /explain?url=…&method=…&header=name:value&gateway=ns/name&client=IP with how the
// proxy would handle that request.
func explain(w http.ResponseWriter, r *http.Request, s subject) {
	ask := r.URL.Query()
	q := exchange.Question{Method: ask.Get("method"), URL: ask.Get("url"), Gateway: ask.Get("gateway")}
	for _, h := range ask["header"] {
		name, value, _ := strings.Cut(h, ":")
		q.Headers = append(q.Headers, model.Header{Name: strings.TrimSpace(name), Value: strings.TrimSpace(value)})
	}
	if text := ask.Get("client"); text != "" {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		q.Client = addr
	}
	answer, err := exchange.Explain(s.proxy.Generation(), q)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.Encode(answer)
}

func metrics(w http.ResponseWriter, _ *http.Request, s subject) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	w.Write(s.metrics.WriteText())
}

func live(w http.ResponseWriter, _ *http.Request, _ subject) { fmt.Fprintln(w, "live") }

func ready(w http.ResponseWriter, _ *http.Request, s subject) {
	if !s.metrics.State().Ready {
		http.Error(w, "not ready: no snapshot is live, or the proxy is draining", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}

// loopbackOnly rejects requests for another host. A web page can make its own name
// resolve to loopback (DNS rebinding), but the browser still sends that name as Host.
func loopbackOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLoopback(r.Host) {
			http.Error(w, "the admin API is asked by a loopback name only, such as 127.0.0.1", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func isLoopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// Serve serves handler on l until ctx ends.
func Serve(ctx context.Context, l net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("admin API: %w", err)
	}
	return nil
}
