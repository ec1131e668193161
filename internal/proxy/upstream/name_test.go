package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy/resolve"
	"windrose.dev/windrose/internal/proxy/sock"
)

// lookups is a resolver that a test tells what to answer, and that tells when it
// was asked.
type lookups struct {
	start time.Time

	mu     sync.Mutex
	answer resolve.Answer
	err    error
	asked  []time.Duration // since the start
}

func (l *lookups) lookup(context.Context, string) (resolve.Answer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, time.Since(l.start))
	return l.answer, l.err
}

func (l *lookups) say(answer resolve.Answer, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answer, l.err = answer, err
}

func (l *lookups) times() []time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.asked)
}

func answerOf(ttl time.Duration, addrs ...string) resolve.Answer {
	out := resolve.Answer{TTL: ttl}
	for _, text := range addrs {
		out.Addrs = append(out.Addrs, netip.MustParseAddr(text))
	}
	return out
}

// naming runs a Registry in a bubble, with one name in it that has an answer.
func naming(t *testing.T, edit func(*Config), answer resolve.Answer, test func(*lookups, *Registry, *Name)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &lookups{start: time.Now(), answer: answer}
		cfg := Config{Shards: 1, Clock: sock.NewClock(), Lookup: l.lookup, Metrics: observe.NewMetrics(0)}
		if edit != nil {
			edit(&cfg)
		}
		r := NewRegistry(cfg)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.Run(ctx)
		}()
		n := r.Name("api.example.com")
		test(l, r, n)
		cancel()
		<-done
	})
}

func addrsOf(n *Name) string { return fmt.Sprint(*n.Addrs()) }

// TestNamesAreLookedUpAgain: when their time to live is over, which is within
// bounds, and somewhat before.
func TestNamesAreLookedUpAgain(t *testing.T) {
	for _, test := range []struct{ ttl, holds time.Duration }{
		{time.Minute, time.Minute}, {time.Second, leastTTL}, {0, leastTTL}, {time.Hour, mostTTL},
	} {
		changes := 0
		naming(t, func(cfg *Config) { cfg.Changed = func() { changes++ } }, answerOf(test.ttl, "192.0.2.1", "192.0.2.2"), func(l *lookups, _ *Registry, n *Name) {
			<-n.First()
			synctest.Wait()
			first := n.Addrs()
			if addrsOf(n) != "[192.0.2.1 192.0.2.2]" || n.Err() != nil || changes != 1 {
				t.Errorf("%s, %v, %d changes", addrsOf(n), n.Err(), changes)
			}
			time.Sleep(test.holds * 11 / 10)
			synctest.Wait()
			if n.Addrs() != first || changes != 1 {
				t.Error("the same answer counts as another")
			}
			if asked := l.times(); len(asked) != 2 || asked[1] > test.holds || asked[1] < test.holds*9/10 {
				t.Errorf("ttl %s: asked at %s", test.ttl, asked)
			}
			l.say(answerOf(test.ttl, "192.0.2.2"), nil)
			time.Sleep(test.holds)
			synctest.Wait()
			if addrsOf(n) != "[192.0.2.2]" || changes != 2 {
				t.Errorf("%s, %d changes", addrsOf(n), changes)
			}
		})
	}
}

// TestNamesThatFail: what was known is kept while nobody can say, and no longer
// than for the longest time to live where the servers say that there is nothing.
func TestNamesThatFail(t *testing.T) {
	var warnings []string
	warn := func(cfg *Config) { cfg.Warn = func(text string) { warnings = append(warnings, text) } }
	naming(t, warn, answerOf(leastTTL, "192.0.2.1"), func(l *lookups, _ *Registry, n *Name) {
		<-n.First()
		l.say(resolve.Answer{}, fmt.Errorf("%w: SERVFAIL", resolve.ErrFailed))
		time.Sleep(time.Hour)
		synctest.Wait()
		if addrsOf(n) != "[192.0.2.1]" || !errors.Is(n.Err(), resolve.ErrFailed) {
			t.Errorf("%s, %v", addrsOf(n), n.Err())
		}
		if got := n.registry.cfg.Metrics.Names.Failing.Load(); got != 1 {
			t.Errorf("%d names fail", got)
		}
		asked := l.times()
		gap := asked[len(asked)-1] - asked[len(asked)-2]
		if gap > lastRetry || gap < lastRetry*9/10 || asked[2]-asked[1] > firstRetry {
			t.Errorf("asked at %s", asked)
		}
		l.say(answerOf(leastTTL, "192.0.2.1"), nil)
		time.Sleep(lastRetry)
		synctest.Wait()
		l.say(resolve.Answer{}, resolve.ErrNone)
		time.Sleep(mostTTL / 2)
		synctest.Wait()
		if addrsOf(n) != "[192.0.2.1]" {
			t.Error("one denial was believed at once")
		}
		time.Sleep(mostTTL)
		synctest.Wait()
		if addrsOf(n) != "[]" || !errors.Is(n.Err(), resolve.ErrNone) {
			t.Errorf("%s, %v", addrsOf(n), n.Err())
		}
	})
	want := []string{"api.example.com: the name cannot be looked up now: SERVFAIL", "api.example.com is found again", "api.example.com: there is no such name, or it has no address"}
	if !slices.Equal(warnings, want) {
		t.Errorf("%q", warnings)
	}
}

// TestNamesThatFailByHalf: while one family cannot be looked up its addresses are
// kept, those of the other follow its answers, and it is asked again soon.
func TestNamesThatFailByHalf(t *testing.T) {
	failed := fmt.Errorf("%w: SERVFAIL", resolve.ErrFailed)
	both := answerOf(mostTTL, "127.0.0.1", "::1")
	for _, test := range []struct {
		ipv6  bool
		found []string
		want  string
	}{
		{true, []string{"127.0.0.2"}, "[127.0.0.2 ::1]"},
		{true, nil, "[::1]"},
		{false, []string{"::1"}, "[127.0.0.1 ::1]"},
		{false, nil, "[127.0.0.1]"},
	} {
		var warnings []string
		warn := func(cfg *Config) {
			cfg.LoopbackNames, cfg.Warn = true, func(text string) { warnings = append(warnings, text) }
		}
		naming(t, warn, both, func(l *lookups, _ *Registry, n *Name) {
			<-n.First()
			l.say(answerOf(mostTTL, test.found...), &resolve.HalfError{IPv6: test.ipv6, Err: failed})
			time.Sleep(time.Hour)
			synctest.Wait()
			if addrsOf(n) != test.want || !errors.Is(n.Err(), resolve.ErrFailed) || n.registry.cfg.Metrics.Names.Failing.Load() != 1 {
				t.Errorf("IPv6 failed %v: %s, %v", test.ipv6, addrsOf(n), n.Err())
			}
			if asked := l.times(); asked[2]-asked[1] > firstRetry || asked[len(asked)-1]-asked[len(asked)-2] > lastRetry {
				t.Errorf("asked at %s", asked)
			}
			l.say(both, nil)
			time.Sleep(lastRetry)
			synctest.Wait()
			if addrsOf(n) != "[127.0.0.1 ::1]" || n.Err() != nil {
				t.Errorf("%s, %v", addrsOf(n), n.Err())
			}
		})
		if len(warnings) != 2 {
			t.Errorf("%q", warnings)
		}
	}
	// Nothing is dropped for half an answer that leaves nothing.
	naming(t, nil, answerOf(leastTTL, "192.0.2.1"), func(l *lookups, _ *Registry, n *Name) {
		<-n.First()
		l.say(resolve.Answer{}, &resolve.HalfError{IPv6: true, Err: failed})
		time.Sleep(time.Hour)
		synctest.Wait()
		if addrsOf(n) != "[192.0.2.1]" {
			t.Error(addrsOf(n))
		}
	})
}

// TestRefusedAddresses: a name is no way to what listens beside the proxy, or to
// what only its own network has.
func TestRefusedAddresses(t *testing.T) {
	for _, test := range []struct {
		addr     string
		loopback bool
		refused  string
	}{
		{"127.0.0.1", false, "a loopback address"},
		{"127.9.9.9", false, "a loopback address"},
		{"::1", false, "a loopback address"},
		{"::ffff:127.0.0.1", false, "a loopback address"},
		{"127.0.0.1", true, ""},
		{"::1", true, ""},
		{"169.254.169.254", true, "a link-local address"},
		{"::ffff:169.254.169.254", true, "a link-local address"},
		{"fe80::1", true, "a link-local address"},
		{"100.100.100.200", true, "an address of a cloud's metadata"},
		{"::ffff:100.100.100.200", true, "an address of a cloud's metadata"},
		{"100.100.100.201", true, ""},
		{"fd00:ec2::254", true, "an address of a cloud's metadata"},
		{"fd00:ec2::255", true, ""},
		{"0.0.0.0", true, "no address of a host"},
		{"0.1.2.3", true, "no address of a host"},
		{"::", true, "no address of a host"},
		{"224.0.0.1", true, "an address of many"},
		{"ff02::1", true, "an address of many"},
		{"255.255.255.255", true, "an address of many"},
		{"64:ff9b::a9fe:a9fe", true, "a link-local address"},
		{"64:ff9b::6464:64c8", true, "an address of a cloud's metadata"},
		{"64:ff9b::a00:1", true, ""},
		{"10.0.0.1", false, ""},
		{"fd00::1", false, ""},
	} {
		naming(t, func(cfg *Config) { cfg.LoopbackNames = test.loopback }, answerOf(leastTTL, test.addr), func(_ *lookups, r *Registry, n *Name) {
			<-n.First()
			switch {
			case test.refused == "" && (len(*n.Addrs()) != 1 || n.Err() != nil):
				t.Errorf("%s: %s, %v", test.addr, addrsOf(n), n.Err())
			case test.refused != "" && (len(*n.Addrs()) != 0 || !errors.Is(n.Err(), ErrRefusedAddress) || !strings.HasSuffix(n.Err().Error(), test.refused)):
				t.Errorf("%s: %s, %v", test.addr, addrsOf(n), n.Err())
			}
			if got := r.Refused(test.addr); got != test.refused {
				t.Errorf("%s: %q", test.addr, got)
			}
		})
	}
	naming(t, nil, answerOf(leastTTL, "127.0.0.1", "192.0.2.1"), func(_ *lookups, r *Registry, n *Name) {
		<-n.First()
		if addrsOf(n) != "[192.0.2.1]" || !errors.Is(n.Err(), ErrRefusedAddress) {
			t.Errorf("%s, %v", addrsOf(n), n.Err())
		}
		for host, refused := range map[string]bool{"localhost": true, "a.localhost.": true, "localhost.example.com": false, "api.example.com": false} {
			if (r.Refused(host) != "") != refused {
				t.Errorf("%s: %q", host, r.Refused(host))
			}
		}
	})
}

// TestRetiredNames: what no Generation names is not asked for any more.
func TestRetiredNames(t *testing.T) {
	naming(t, nil, answerOf(leastTTL, "192.0.2.1"), func(l *lookups, r *Registry, n *Name) {
		<-n.First()
		l.say(resolve.Answer{}, resolve.ErrFailed)
		time.Sleep(leastTTL)
		synctest.Wait()
		if got := r.cfg.Metrics.Names.Failing.Load(); got != 1 {
			t.Errorf("%d names fail", got)
		}
		if r.Name("api.example.com") != n {
			t.Error("a name is made twice")
		}
		r.retainNames(func(string) bool { return false })
		synctest.Wait()
		if got := r.cfg.Metrics.Names.Failing.Load(); got != 0 {
			t.Errorf("%d names fail, of none", got)
		}
		before := len(l.times())
		time.Sleep(time.Hour)
		if asked := l.times(); len(asked) != before {
			t.Errorf("asked at %s", asked)
		}
		if r.Name("api.example.com") == n {
			t.Error("a retired name came back")
		}
	})
}
