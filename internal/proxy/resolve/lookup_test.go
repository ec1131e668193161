package resolve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// newServer starts a DNS server on loopback, over UDP and TCP, and returns its port.
func newServer(t *testing.T, handle dns.HandlerFunc) string {
	t.Helper()
	for range 20 { // until a port is free for both
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		pc, err := net.ListenPacket("udp", l.Addr().String())
		if err != nil {
			l.Close()
			continue
		}
		for _, server := range []*dns.Server{{Listener: l, Handler: handle}, {PacketConn: pc, Handler: handle}} {
			started := make(chan struct{})
			server.NotifyStartedFunc = func() { close(started) }
			go server.ActivateAndServe()
			<-started
			t.Cleanup(func() { server.Shutdown() })
		}
		_, port, _ := net.SplitHostPort(l.Addr().String())
		return port
	}
	t.Fatal("no port is free")
	return ""
}

// newResolver returns a Resolver with files of its own.
func newResolver(t *testing.T, port, conf, hosts string) *Resolver {
	t.Helper()
	dir := t.TempDir()
	r := &Resolver{Config: filepath.Join(dir, "resolv.conf"), Hosts: filepath.Join(dir, "hosts"), Port: port}
	for path, text := range map[string]string{r.Config: "nameserver 127.0.0.1\n" + conf, r.Hosts: hosts} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// zone returns a handler that serves records in the form of zone files. A name without
// records does not exist.
func zone(records ...string) dns.HandlerFunc {
	var all []dns.RR
	for _, text := range records {
		rr, err := dns.NewRR(text)
		if err != nil {
			panic(err)
		}
		all = append(all, rr)
	}
	return func(w dns.ResponseWriter, question *dns.Msg) {
		reply := new(dns.Msg).SetReply(question)
		reply.Rcode = dns.RcodeNameError
		name := question.Question[0].Name
		for _, rr := range all {
			if !strings.EqualFold(rr.Header().Name, name) {
				continue
			}
			reply.Rcode = dns.RcodeSuccess
			if kind := rr.Header().Rrtype; kind == question.Question[0].Qtype || kind == dns.TypeCNAME {
				reply.Answer = append(reply.Answer, rr)
			}
			if alias, is := rr.(*dns.CNAME); is {
				name = alias.Target
			}
		}
		w.WriteMsg(reply)
	}
}

func addrs(texts ...string) (out []netip.Addr) {
	for _, text := range texts {
		out = append(out, netip.MustParseAddr(text))
	}
	return out
}

func TestLookup(t *testing.T) {
	port := newServer(t, zone(
		"both.example. 60 IN A 192.0.2.1", "both.example. 30 IN AAAA 2001:db8::1", "both.example. 60 IN A 192.0.2.2",
		"four.example. 7 IN A 192.0.2.4",
		"alias.example. 5 IN CNAME four.example.", "four.example. 7 IN A 192.0.2.4",
		"loop.example. 5 IN CNAME loop.example.",
		"text.example. 5 IN TXT hello",
		"web.shop.svc.local. 9 IN A 192.0.2.9", "web.shop. 9 IN A 192.0.2.66",
	))
	r := newResolver(t, port, "search svc.local example\noptions ndots:2\n", "192.0.2.77 written.example # a comment\n::1 written.example\nbroken line\n")
	for _, test := range []struct {
		host string
		want []netip.Addr
		ttl  time.Duration
		err  error
	}{
		{"both.example", addrs("192.0.2.1", "192.0.2.2", "2001:db8::1"), 30 * time.Second, nil},
		{"BOTH.example.", addrs("192.0.2.1", "192.0.2.2", "2001:db8::1"), 30 * time.Second, nil},
		{"four", addrs("192.0.2.4"), 7 * time.Second, nil}, // by a search domain
		{"web.shop", addrs("192.0.2.9"), 9 * time.Second, nil},
		{"web.shop.", addrs("192.0.2.66"), 9 * time.Second, nil}, // without a search domain
		{"alias.example", addrs("192.0.2.4"), 5 * time.Second, nil},
		{"Written.example.", addrs("192.0.2.77", "::1"), 0, nil},
		{"192.0.2.5", addrs("192.0.2.5"), 0, nil},
		{"::ffff:192.0.2.5", addrs("192.0.2.5"), 0, nil},
		{"loop.example", nil, 0, ErrNone},
		{"text.example", nil, 0, ErrNone},
		{"none.example", nil, 0, ErrNone},
	} {
		got, err := r.Lookup(t.Context(), test.host)
		if !slices.Equal(got.Addrs, test.want) || got.TTL != test.ttl || !errors.Is(err, test.err) {
			t.Errorf("%s: %v, %v", test.host, got, err)
		}
	}
}

// TestLookupOfMany: a response that is too long for UDP is fetched over TCP, and the
// number of addresses is bounded.
func TestLookupOfMany(t *testing.T) {
	var overTCP atomic.Bool
	var records []string
	for i := range 200 {
		records = append(records, fmt.Sprintf("many.example. 60 IN A 192.0.2.%d", i))
	}
	all := zone(records...)
	port := newServer(t, func(w dns.ResponseWriter, question *dns.Msg) {
		if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
			reply := new(dns.Msg).SetReply(question)
			reply.Truncated = true
			w.WriteMsg(reply)
			return
		}
		overTCP.Store(true)
		all(w, question)
	})
	got, err := newResolver(t, port, "", "").Lookup(t.Context(), "many.example")
	if err != nil || len(got.Addrs) != MaxAddrs || !overTCP.Load() {
		t.Errorf("%d addresses, %v, over TCP %v", len(got.Addrs), err, overTCP.Load())
	}
}

// TestLookupThatFails: a failure of the servers is not the same as a name that does not
// exist, and does not fall back to the next search domain.
func TestLookupThatFails(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	port := newServer(t, func(w dns.ResponseWriter, question *dns.Msg) {
		mu.Lock()
		asked = append(asked, question.Question[0].Name)
		mu.Unlock()
		w.WriteMsg(new(dns.Msg).SetRcode(question, dns.RcodeServerFailure))
	})
	r := newResolver(t, port, "search other.example\noptions attempts:1\n", "")
	if _, err := r.Lookup(t.Context(), "a.example"); !errors.Is(err, ErrFailed) || !strings.Contains(err.Error(), "SERVFAIL") {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(asked) == 0 || slices.ContainsFunc(asked, func(name string) bool { return name != "a.example." }) {
		t.Errorf("%q were asked for", asked)
	}
}

// TestLookupOfHalf: if a server fails for one family, the answer has the other alone,
// and the failure is reported. "No address" is an answer, not a failure.
func TestLookupOfHalf(t *testing.T) {
	all := zone("a.example. 60 IN A 192.0.2.1", "a.example. 60 IN AAAA 2001:db8::1", "text.example. 60 IN TXT hello", "four.example. 60 IN A 192.0.2.1")
	for kind, found := range map[uint16]netip.Addr{dns.TypeA: netip.MustParseAddr("2001:db8::1"), dns.TypeAAAA: netip.MustParseAddr("192.0.2.1")} {
		port := newServer(t, func(w dns.ResponseWriter, question *dns.Msg) {
			if question.Question[0].Qtype == kind {
				w.WriteMsg(new(dns.Msg).SetRcode(question, dns.RcodeRefused))
				return
			}
			all(w, question)
		})
		r := newResolver(t, port, "search other.example\noptions attempts:1\n", "")
		for name, want := range map[string][]netip.Addr{"a.example": {found}, "text.example": nil, "none.example": nil} {
			got, err := r.Lookup(t.Context(), name)
			var half *HalfError
			if !errors.As(err, &half) || half.IPv6 != (kind == dns.TypeAAAA) || !errors.Is(err, ErrFailed) || !slices.Equal(got.Addrs, want) {
				t.Errorf("%s without type %d: %v, %v", name, kind, got, err)
			}
		}
	}
	got, err := newResolver(t, newServer(t, all), "", "").Lookup(t.Context(), "four.example")
	if err != nil || len(got.Addrs) != 1 {
		t.Error(got, err)
	}
}

func TestComplete(t *testing.T) {
	before := addrs("192.0.2.1", "192.0.2.2", "2001:db8::1")
	for _, test := range []struct {
		failed      HalfError
		found, want []netip.Addr
	}{
		{HalfError{IPv6: true}, addrs("192.0.2.3"), addrs("192.0.2.3", "2001:db8::1")},
		{HalfError{IPv6: true}, nil, addrs("2001:db8::1")},
		{HalfError{}, addrs("2001:db8::2"), addrs("192.0.2.1", "192.0.2.2", "2001:db8::2")},
		{HalfError{}, nil, addrs("192.0.2.1", "192.0.2.2")},
	} {
		if got := test.failed.Complete(test.found, before); !slices.Equal(got, test.want) {
			t.Errorf("IPv6 %v with %v: %v", test.failed.IPv6, test.found, got)
		}
	}
}

// TestFailuresReadTheSame: the error of a server that does not respond has the same
// text each time, so that it is reported once.
func TestFailuresReadTheSame(t *testing.T) {
	port := newServer(t, func(dns.ResponseWriter, *dns.Msg) {})
	r := newResolver(t, port, "options attempts:1 timeout:1\n", "")
	_, first := r.Lookup(t.Context(), "a.example")
	_, second := r.Lookup(t.Context(), "a.example")
	if first == nil || second == nil || first.Error() != second.Error() {
		t.Errorf("%v, and then %v", first, second)
	}
}

// TestForgedAnswers: records that were not asked for are ignored.
func TestForgedAnswers(t *testing.T) {
	port := newServer(t, func(w dns.ResponseWriter, question *dns.Msg) {
		reply := new(dns.Msg).SetReply(question)
		rr, _ := dns.NewRR("other.example. 60 IN A 192.0.2.1")
		reply.Answer = []dns.RR{rr}
		if question.Question[0].Qtype == dns.TypeAAAA {
			reply.Question[0].Name = "other.example."
		}
		w.WriteMsg(reply)
	})
	if got, err := newResolver(t, port, "options attempts:1\n", "").Lookup(t.Context(), "a.example"); err == nil {
		t.Error(got)
	}
}

func TestLookupEndsWithItsContext(t *testing.T) {
	asked := make(chan struct{}, 10)
	port := newServer(t, func(dns.ResponseWriter, *dns.Msg) { asked <- struct{}{} })
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	start := time.Now()
	if _, err := newResolver(t, port, "options attempts:1 timeout:60\n", "").Lookup(ctx, "a.example"); !errors.Is(err, ErrFailed) {
		t.Error(err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
}
