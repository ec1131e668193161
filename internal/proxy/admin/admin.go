// Package admin is the HTTP API through which a proxy is looked at: metrics,
// readiness, and the Snapshot that it serves, without key material.
//
// It is the one place where a data plane links net/http, and it is not on the
// data path. [Telemetry] may be open to the pod's network; [All] answers only
// requests whose Host is a loopback name, so that no web page can reach it
// through a browser.
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

// Telemetry serves /metrics, /ready and /live.
func Telemetry(m *observe.Metrics) http.Handler {
	mux := http.NewServeMux()
	addTelemetry(mux, m)
	return mux
}

// All serves what Telemetry does, /config, the live Snapshot as text, and
// /explain, the fate of a request.
func All(m *observe.Metrics, p *proxy.Proxy) http.Handler {
	mux := http.NewServeMux()
	addTelemetry(mux, m)
	mux.HandleFunc("GET /config", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		model.Write(w, p.Generation().Snapshot)
	})
	mux.HandleFunc("GET /explain", func(w http.ResponseWriter, r *http.Request) { explain(w, r, p) })
	return loopbackOnly(mux)
}

// explain answers /explain?url=…&method=…&header=name:value&gateway=ns/name&client=IP
// with the fate of that request.
func explain(w http.ResponseWriter, r *http.Request, p *proxy.Proxy) {
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
	answer, err := exchange.Explain(p.Generation(), q)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.Encode(answer)
}

func addTelemetry(mux *http.ServeMux, m *observe.Metrics) {
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		w.Write(m.WriteText())
	})
	mux.HandleFunc("GET /live", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "live") })
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) {
		if !m.State().Ready {
			http.Error(w, "not ready: no snapshot is live, or the proxy is draining", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
}

// loopbackOnly refuses requests that name another host: a page in a browser
// can have its own name resolve to loopback, but cannot change what it is
// called.
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
