// Command h3load sends a load of GETs over HTTP/3 to a server, as h2load does over
// HTTP/2, and prints the results as JSON. It is a separate program so that it can be
// pinned to another CPU than the server.
package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// report is the result that is printed.
type report struct {
	Requests  int64         `json:"requests"`
	Failed    int64         `json:"failed"`
	PerSecond float64       `json:"perSecond"`
	P50       time.Duration `json:"p50"`
	P99       time.Duration `json:"p99"`
}

func main() {
	connections := flag.Int("c", 8, "connections")
	streams := flag.Int("m", 16, "requests at a time on each")
	duration := flag.Duration("d", time.Second, "how long")
	flag.Parse()
	if err := run(flag.Arg(0), *connections, *streams, *duration); err != nil {
		fmt.Fprintf(os.Stderr, "h3load: %v\n", err)
		os.Exit(1)
	}
}

func run(url string, connections, streams int, duration time.Duration) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var clients []*http3.ClientConn
	for range connections {
		client, err := dial(ctx, url)
		if err != nil {
			return err
		}
		clients = append(clients, client)
	}
	var running sync.WaitGroup
	results := make(chan worker, connections*streams)
	start := time.Now()
	for _, client := range clients {
		for range streams {
			running.Go(func() { results <- work(client, url, start.Add(duration)) })
		}
	}
	running.Wait()
	close(results)
	return json.NewEncoder(os.Stdout).Encode(summed(results, time.Since(start)))
}

// dial opens a connection and sends one request over it, so that only warm connections
// are measured.
func dial(ctx context.Context, url string) (*http3.ClientConn, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	// The server's certificate does not matter here.
	cfg := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{http3.NextProtoH3}}
	conn, err := quic.DialAddr(ctx, req.URL.Host, cfg, &quic.Config{})
	if err != nil {
		return nil, err
	}
	client := (&http3.Transport{DisableCompression: true}).NewClientConn(conn)
	if !get(client, url) {
		return nil, fmt.Errorf("%s does not answer 200", url)
	}
	return client, nil
}

// worker is the result of one goroutine.
type worker struct {
	times  []time.Duration
	failed int64
}

func work(client *http3.ClientConn, url string, until time.Time) (w worker) {
	for now := time.Now(); now.Before(until); {
		if !get(client, url) {
			w.failed++
		}
		then := now
		now = time.Now()
		w.times = append(w.times, now.Sub(then))
	}
	return w
}

// get sends a request and reports whether the response is 200.
func get(client *http3.ClientConn, url string) bool {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	answer, err := client.RoundTrip(req)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return err == nil && answer.StatusCode == http.StatusOK
}

func summed(results <-chan worker, took time.Duration) (r report) {
	var times []time.Duration
	for w := range results {
		times = append(times, w.times...)
		r.Failed += w.failed
	}
	if r.Requests = int64(len(times)); r.Requests == 0 {
		return r
	}
	slices.Sort(times)
	r.PerSecond = float64(r.Requests) / took.Seconds()
	r.P50, r.P99 = times[len(times)/2], times[len(times)*99/100]
	return r
}
