package proxy_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/filter"
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/upstream"
	"windrose.dev/windrose/internal/reason"
)

// tableWith has another filter in the place of rewrites, whose Host it may read.
func tableWith(made func(*exchange.Environment, *model.Rewrite) (exchange.Filter, error)) func(*proxy.Config) {
	return func(cfg *proxy.Config) {
		cfg.Filters = filter.Table()
		i := slices.IndexFunc(cfg.Filters, func(s exchange.FilterSpec) bool { return s.Kind == (*model.Rewrite)(nil).Kind() })
		cfg.Filters[i] = exchange.Spec(made)
	}
}

// asker lets through what a service answers 200 to.
type asker struct{ cluster *upstream.Cluster }

func newAsker(env *exchange.Environment, _ *model.Rewrite) (exchange.Filter, error) {
	return asker{env.Cluster(model.ParseServiceID("auth:1"))}, nil
}

func (f asker) Request(x *exchange.Exchange) bool {
	h := &msg.Head{Buf: []byte("GET"), Method: msg.Span{End: 3}}
	h.Add(msg.Host, "Host", []byte("auth"))
	call := &exchange.Call{
		Cluster: f.cluster, Head: h, Target: slices.Clone(x.Path.Bytes), Connect: time.Second, Time: patience, MaxBody: 100,
	}
	reply, err := x.Ask(call)
	switch {
	case err != nil:
		x.FailAsking(call, err)
		return true
	case reply.Head.Status != 200:
		x.Answer(reply.Head.Status, reason.Answered)
		return true
	}
	x.Req.SetName("X-User", reply.Body)
	return false
}

func (asker) Response(*exchange.Exchange) {}

func guarded(web, auth string) string {
	return rule("rewrite= rewrite-host=x", web) + "service auth:1 round-robin\nendpoint auth:1 " + auth + "\n"
}

// TestFilterAsks: a filter waits for a service's answer, and what cannot be asked is
// closed.
func TestFilterAsks(t *testing.T) {
	web := newBackend(t, echo)
	auth := newBackend(t, func(p *peer) {
		for head := p.head(); head != ""; head = p.head() {
			switch {
			case strings.HasPrefix(head, "GET /deny"):
				p.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
			case strings.HasPrefix(head, "GET /large"):
				p.send("HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n" + strings.Repeat("x", 101))
			default:
				p.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nme")
			}
		}
	})
	r := newRig(t, tableWith(newAsker))
	r.apply(guarded(web.addr, auth.addr))
	for path, want := range map[string]string{"/": "200", "/deny": "403", "/large": "503"} {
		if got := r.ask(get(path)); !strings.HasPrefix(got, "HTTP/1.1 "+want) || strings.Contains(got, "X-User: me") != (want == "200") {
			t.Errorf("%s: %q", path, got)
		}
	}
	if line := r.log.wait(t, "/large"); !strings.Contains(line, " closed ") || !strings.Contains(line, "auth:1 could not be asked") {
		t.Errorf("logged %q", line)
	}
	r.apply(guarded(web.addr, "none"))
	if got := r.ask(get("/")); !strings.HasPrefix(got, "HTTP/1.1 503") {
		t.Errorf("a service without endpoints: %q", got)
	}
}

// TestFilterWaitsAlone: while a filter of one stream waits, others of its connection go
// on; and when its client goes away it is not waited for.
func TestFilterWaitsAlone(t *testing.T) {
	web := newBackend(t, echo)
	asked, answer := make(chan struct{}, 2), newSignal()
	auth := newBackend(t, func(p *peer) {
		for head := p.head(); head != ""; head = p.head() {
			if strings.HasPrefix(head, "GET /slow") {
				asked <- struct{}{}
				answer.wait(t, "the answer")
			}
			p.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nme")
		}
	})
	defer answer.fire()
	r := newRig(t, tableWith(newAsker))
	r.apply(guarded(web.addr, auth.addr))
	client := &http.Client{Transport: &http.Transport{Protocols: new(http.Protocols)}}
	client.Transport.(*http.Transport).Protocols.SetUnencryptedHTTP2(true)
	defer client.CloseIdleConnections()
	status := func(path string) int {
		resp, err := client.Get("http://" + r.addr(80) + path)
		if err != nil {
			t.Error(err)
			return 0
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	var slow sync.WaitGroup
	slow.Go(func() {
		if got := status("/slow"); got != 200 {
			t.Errorf("the slow one: %d", got)
		}
	})
	<-asked
	for range 3 {
		if got := status("/fast"); got != 200 {
			t.Errorf("another stream: %d", got)
		}
	}
	leaver := r.dial()
	leaver.send(get("/slow?leaver"))
	<-asked
	leaver.nc.Close()
	if line := r.log.wait(t, "leaver"); !strings.Contains(line, " client_gone ") {
		t.Errorf("logged %q", line)
	}
	answer.fire()
	slow.Wait()
}

// counter counts the exchanges of a rule in what it keeps.
type counter struct {
	slot exchange.Slot
	kept *tally
}

type tally struct {
	begun, done, closed atomic.Int64
	outcomes            sync.Map
}

func (c *tally) Close() error { c.closed.Add(1); return nil }

func (f counter) Request(x *exchange.Exchange) bool {
	x.SetSlot(f.slot, f.kept)
	f.kept.begun.Add(1)
	return false
}

func (f counter) Response(*exchange.Exchange) {}

func (f counter) Done(x *exchange.Exchange) {
	x.Slot(f.slot).(*tally).done.Add(1)
	f.kept.outcomes.Store(x.Outcome.String(), true)
}

// TestFilterKeeps: what a filter keeps by a key outlives swaps that change its rule, and
// is closed when nobody asks for it any more; every exchange that it saw ends once.
func TestFilterKeeps(t *testing.T) {
	var made []*tally
	r := newRig(t, tableWith(func(env *exchange.Environment, w *model.Rewrite) (exchange.Filter, error) {
		return counter{env.Slot(), exchange.Keep(env, "tally "+w.Host, func() *tally {
			made = append(made, &tally{})
			return made[len(made)-1]
		})}, nil
	}))
	b := newBackend(t, upgraded(repeat))
	ok := newBackend(t, always(ok2))
	r.apply(rule("rewrite= rewrite-host=a", b.addr))
	tunnel := r.upgrade()
	r.apply(rule("rewrite= rewrite-host=a max-body=10", ok.addr))
	r.ask(get("/"))
	r.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n")
	if n := len(made); n != 1 || made[0].closed.Load() != 0 {
		t.Fatalf("%d were made, or the first is closed", n)
	}
	tunnel.nc.Close()
	first := made[0]
	eventually(t, "all have ended", func() bool { return first.begun.Load() == first.done.Load() })
	for _, outcome := range []string{"ok", "upgraded"} {
		if _, seen := first.outcomes.Load(outcome); !seen {
			t.Errorf("no exchange ended as %s", outcome)
		}
	}
	r.apply(rule("rewrite= rewrite-host=b", ok.addr))
	if len(made) != 2 || first.closed.Load() != 1 || made[1].closed.Load() != 0 {
		t.Errorf("%d were made; the first was closed %d times", len(made), first.closed.Load())
	}
	r.apply(rule("", ok.addr))
	if made[1].closed.Load() != 1 {
		t.Error("what nobody asks for is not closed")
	}
}
