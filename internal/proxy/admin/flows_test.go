package admin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/reason"
)

// client is a client of /flows whose connection accepts no bytes until it reads.
type client struct {
	header http.Header
	code   int
	reads  chan struct{} // closed when it reads
	got    bytes.Buffer
}

func (c *client) Header() http.Header { return c.header }
func (c *client) WriteHeader(n int)   { c.code = n }
func (c *client) Flush()              {}
func (c *client) Write(p []byte) (int, error) {
	<-c.reads
	return c.got.Write(p)
}

// watch requests /flows. done is closed when the response has ended, which cancel
// causes.
func watch(t *testing.T, sink *observe.Sink, query string) (c *client, cancel func(), done chan struct{}) {
	c = &client{header: http.Header{}, code: 200, reads: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	done = make(chan struct{})
	go func() {
		defer close(done)
		flows(c, httptest.NewRequestWithContext(ctx, http.MethodGet, "/flows"+query, nil), sink)
	}()
	return c, cancel, done
}

// end returns the Flow of a request that has ended.
func end(target string) *observe.Flow {
	return &observe.Flow{Start: time.Now(), Method: []byte("GET"), Host: []byte("shop.example"), Target: []byte(target), Status: 200, Outcome: reason.OK}
}

// tally counts the flows in the lines, and sums up the lost ones.
func tally(t *testing.T, text []byte) (got, lost int) {
	for line := range bytes.Lines(text) {
		var one struct {
			Target string
			Lost   int
		}
		if err := json.Unmarshal(line, &one); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if lost += one.Lost; one.Lost == 0 {
			got++
		}
	}
	return got, lost
}

// TestSlowWatcherLosesAndIsTold: a client that does not read blocks nobody, and is told
// how many flows it has missed.
func TestSlowWatcherLosesAndIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &observe.Sink{Metrics: observe.NewMetrics(0)}
		slow, cancel, done := watch(t, sink, "")
		fast, _, _ := watch(t, sink, "?n=2")
		close(fast.reads)
		synctest.Wait() // both watch
		const flows = 5000
		for i := range flows {
			sink.Record(0, end(fmt.Sprintf("/%d", i)))
			if i < 3 {
				synctest.Wait() // the fast client has it
			}
		}
		if got, lost := tally(t, fast.got.Bytes()); got != 2 || lost != 0 {
			t.Errorf("beside a slow watcher another got %d and lost %d", got, lost)
		}
		close(slow.reads)
		synctest.Wait()
		got, lost := tally(t, slow.got.Bytes())
		if got == 0 || lost == 0 || got+lost != flows {
			t.Errorf("%d flows, of which %d came and %d are said to be lost", flows, got, lost)
		}
		sink.Record(0, end("/last"))
		synctest.Wait()
		if again, _ := tally(t, slow.got.Bytes()); again != got+1 {
			t.Errorf("once it reads it has %d flows and not %d", again, got+1)
		}
		cancel()
		<-done
		if sink.Wanted() {
			t.Error("somebody watches who has gone")
		}
	})
}

func TestWatchersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &observe.Sink{Metrics: observe.NewMetrics(0)}
		var cancels []func()
		for range observe.MaxWatchers {
			one, cancel, _ := watch(t, sink, "")
			close(one.reads)
			cancels = append(cancels, cancel)
		}
		synctest.Wait()
		over, _, done := watch(t, sink, "")
		close(over.reads)
		<-done
		if over.code != http.StatusServiceUnavailable {
			t.Errorf("the one after %d others gets %d", observe.MaxWatchers, over.code)
		}
		cancels[0]()
		synctest.Wait()
		after, cancel, _ := watch(t, sink, "?n=1")
		close(after.reads)
		synctest.Wait()
		sink.Record(0, end("/"))
		synctest.Wait()
		if got, _ := tally(t, after.got.Bytes()); got != 1 {
			t.Errorf("%d: a place that became free is not given: %q", after.code, after.got.Bytes())
		}
		for _, cancel := range append(cancels, cancel) {
			cancel()
		}
	})
}

// TestWhatIsNoNumber: a wrong number of flows is rejected, and a HEAD request does not
// wait.
func TestWhatIsNoNumber(t *testing.T) {
	sink := &observe.Sink{Metrics: observe.NewMetrics(0)}
	for _, tt := range []struct {
		method, query string
		want          int
	}{{"GET", "?n=0", 400}, {"GET", "?n=-3", 400}, {"GET", "?n=many", 400}, {"HEAD", "", 200}} {
		w := httptest.NewRecorder()
		flows(w, httptest.NewRequest(tt.method, "/flows"+tt.query, nil), sink)
		if w.Code != tt.want || sink.Wanted() {
			t.Errorf("%s %s: %d", tt.method, tt.query, w.Code)
		}
	}
}

// pipes is a listener in memory.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if c, open := <-p; open {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (p pipes) Close() error   { close(p); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// TestWatchingOutlivesTimeouts: a watcher stays connected while there is no Flow,
// whatever the server's timeouts; one that does not read for long is disconnected.
func TestWatchingOutlivesTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &observe.Sink{Metrics: observe.NewMetrics(0)}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		l := make(pipes)
		go Serve(ctx, l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { flows(w, r, sink) }))
		ours, theirs := net.Pipe()
		defer ours.Close()
		l <- theirs
		fmt.Fprint(ours, "GET /flows HTTP/1.1\r\nHost: localhost\r\n\r\n")
		in := bufio.NewReader(ours)
		answer, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			time.Sleep(10 * time.Minute)
			sink.Record(0, end("/"))
			if line, err := bufio.NewReader(answer.Body).ReadString('\n'); err != nil || line == "" {
				t.Fatalf("flow %d: %q %v", i, line, err)
			}
		}
		for range 100 {
			sink.Record(0, end("/nobody-reads"))
		}
		time.Sleep(2 * stalled)
		synctest.Wait()
		if sink.Wanted() {
			t.Error("a client that takes nothing keeps its place")
		}
	})
}
