package proxy_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/reason"
)

// TestAuthorize: what an Access does not let in is answered 403, and the log names the
// policy.
func TestAuthorize(t *testing.T) {
	b := newBackend(t, always(ok2))
	r := newRig(t, nil)
	for options, want := range map[string]string{
		"authorize":                                     "200 ok",
		"authorize allow=p/0|source:127.0.0.0/8":        "200 ok verdict=allowed policy=p/0",
		"authorize allow=p/0|source:10.0.0.0/8":         "403 denied verdict=denied policy=p/0",
		"authorize deny=p/1|method:GET allow=p/0":       "403 denied verdict=denied policy=p/1",
		"authorize deny=p/1|method:PUT":                 "200 ok",
		"authorize allow=p/0 authorize deny=p/1":        "403 denied verdict=denied policy=p/1",
		"authorize allow=p/0|peer:namespace":            "403 denied verdict=denied policy=p/0",
		"authorize deny=p/1|header:x-forwarded-for=a":   "200 ok", // a client's own word of who it is
		"authorize allow=p/0|client:127.0.0.1/32":       "200 ok verdict=allowed policy=p/0",
		"authorize allow=p/0|all(port:80,gateway:)":     "200 ok verdict=allowed policy=p/0",
		"authorize allow=p/0|scheme:https":              "403 denied verdict=denied policy=p/0",
		"authorize deny=p/1|not(scheme:http) allow=p/0": "200 ok verdict=allowed policy=p/0",
	} {
		r.apply(rule(options, b.addr))
		path := fmt.Sprintf("/%x.", options)
		answer := r.ask(strings.Replace(get(path), "\r\n\r\n", "\r\nX-Forwarded-For: a\r\n\r\n", 1))
		status, rest, _ := strings.Cut(want, " ")
		if !strings.HasPrefix(answer, "HTTP/1.1 "+status+" ") {
			t.Errorf("%s: %.60q", options, answer)
		}
		line := r.log.wait(t, path)
		for _, word := range strings.Fields(rest) {
			if !strings.Contains(line+" ", " "+word+" ") {
				t.Errorf("%s: %q is not in the log: %s", options, word, line)
			}
		}
	}
}

// TestAuthorizeByIdentity: a client's certificate is a value that policies look into.
func TestAuthorizeByIdentity(t *testing.T) {
	b := newBackend(t, always(ok2))
	server, ca := newKeyPair(t, "x"), newAuthority(t)
	r := newRig(t, nil)
	before := asking(t, b.addr, server, model.RequestCertificate, ca.pem)
	when, err := model.Parse("listener 1 tcp allow=shop|all(peer:namespace=shop,peer:uri^=spiffe://mesh/)\n")
	if err != nil {
		t.Fatal(err)
	}
	access := *when.Config.Listeners[0].Access
	for _, rules := range before.Config.Hosts {
		for i := range rules.Blocks[0].Rules {
			one := &rules.Blocks[0].Rules[i]
			one.Filters = append(model.Filters{&model.Authorize{Access: access}}, one.Filters...)
		}
	}
	r.applySnapshot(model.Freeze(before.Parts))
	for uri, want := range map[string]bool{
		"spiffe://mesh/ns/shop/sa/web":  true,
		"spiffe://mesh/ns/other/sa/web": false,
		"spiffe://else/ns/shop/sa/web":  false,
		"":                              false,
	} {
		cfg := &tls.Config{}
		if uri != "" {
			u, err := url.Parse(uri)
			if err != nil {
				t.Fatal(err)
			}
			cfg.Certificates = []tls.Certificate{ca.client(func(c *x509.Certificate) { c.URIs = []*url.URL{u} })}
		}
		if _, got := r.served(cfg); got != want {
			t.Errorf("%q is served: %t", uri, got)
		}
	}
}

// TestAccessOfAListener: who may not open a connection is turned away before a byte of
// it is read, and who has one leaves when that changes, on HTTP and on layer 4 alike.
func TestAccessOfAListener(t *testing.T) {
	web, raw := newBackend(t, always(ok2)), newBackend(t, repeat)
	const closed = " deny=p/1|source:127.0.0.0/8"
	snapshot := func(access string) string {
		return "listener 80 http" + access + "\nlistener 81 tcp" + access + "\nhost * 80\nblock test by-specificity\nrule r prefix:/ forward=web:80\n" +
			"l4-route raw 81 forward=raw:81\nservice web:80 round-robin\nservice raw:81 round-robin\nendpoint web:80 " + web.addr + "\nendpoint raw:81 " + raw.addr + "\n"
	}
	r := newRig(t, nil)
	r.apply(snapshot(closed))
	for _, port := range []uint16{80, 81} {
		r.dialTo(port).closed()
		if line := r.log.wait(t, "denied"); !strings.Contains(line, "policy=p/1") {
			t.Errorf("port %d: %s", port, line)
		}
	}
	r.apply(snapshot(""))
	idle, layer4 := r.dialTo(80), r.dialTo(81)
	idle.send(get("/"))
	idle.answer("GET")
	layer4.send("one")
	layer4.expect("one")
	r.apply(snapshot(closed))
	idle.closed()
	layer4.closed()
	eventually(t, "the connections are gone", func() bool { return r.proxy.Connections() == 0 })
}

// TestTunnelsAreAuthorizedAgain: a swap that denies a request ends the tunnel that it
// became, and the log names the policy.
func TestTunnelsAreAuthorizedAgain(t *testing.T) {
	b := newBackend(t, upgraded(repeat))
	r := newRig(t, nil)
	r.apply(rule("authorize allow=p/0|source:127.0.0.0/8", b.addr))
	c := r.upgrade()
	c.send("one")
	c.expect("one")
	r.apply(rule("authorize deny=p/1|method:PUT", b.addr))
	c.send("two")
	c.expect("two")
	r.apply(rule("authorize allow=p/2|source:10.0.0.0/8", b.addr))
	c.closed()
	if line := r.log.wait(t, "/chat"); !strings.Contains(line, " denied ") || !strings.Contains(line, "policy=p/2") {
		t.Errorf("logged %q", line)
	}
}

// TestStreamsAreAuthorizedAgain: a body that is still being moved, in either direction,
// goes on over a swap that allows its request, and ends with the first bytes after one
// that does not.
func TestStreamsAreAuthorizedAgain(t *testing.T) {
	const (
		head   = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		upload = "POST /up HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n"
	)
	for _, up := range []bool{false, true} {
		t.Run(map[bool]string{false: "response", true: "request"}[up], func(t *testing.T) {
			backends := make(chan *peer, 1)
			b := newBackend(t, func(p *peer) {
				p.head()
				backends <- p
				<-t.Context().Done()
			})
			r := newRig(t, nil)
			r.apply(rule("authorize allow=p/0|source:127.0.0.0/8", b.addr))
			c := r.dial()
			c.send(upload)
			far := <-backends
			from, to := c, far
			if !up {
				from, to = far, c
				far.send(head)
				c.head()
			}
			from.send("3\r\none\r\n")
			to.expect("3\r\none\r\n")
			r.apply(rule("authorize deny=p/1|method:PUT", b.addr))
			from.send("3\r\ntwo\r\n")
			to.expect("3\r\ntwo\r\n")
			r.apply(rule("authorize allow=p/2|source:10.0.0.0/8", b.addr))
			from.send("5\r\nthree\r\n")
			to.closed()
			if line := r.log.wait(t, "/up"); !strings.Contains(line, " denied ") || !strings.Contains(line, "policy=p/2") {
				t.Errorf("logged %q", line)
			}
		})
	}
}

// TestFlowsAreAuthorized: datagrams of who may not come in go nowhere.
func TestFlowsAreAuthorized(t *testing.T) {
	b := newUDPBackend(t, "b")
	r := newUDPRig(t, nil)
	open, closed := datagrams("forward=s:1", b.addr), datagrams("forward=s:1 allow=p/0|source:10.0.0.0/8", b.addr)
	r.apply(open)
	c := r.udp()
	c.ask("one")
	r.apply(closed)
	if line := r.log.wait(t, "udp://:"); !strings.Contains(line, " denied ") || !strings.Contains(line, "policy=p/0") {
		t.Errorf("logged %q", line)
	}
	seen := b.seen.Load()
	if _, err := c.Write([]byte("two")); err != nil {
		t.Fatal(err)
	}
	r.counted(`windrose_l4_flows_total{route="r",outcome="denied"} 2`)
	if b.seen.Load() != seen {
		t.Error("a datagram came through")
	}
}

// TestUnknownTestsClose: a rule that asks for what nobody here can tell answers 503
// wherever it might match, and says so.
func TestUnknownTestsClose(t *testing.T) {
	b := newBackend(t, always(ok2))
	r := newRig(t, nil)
	s, err := model.Parse("listener 80 http\nhost * 80\nblock test first-match\n" +
		"rule a prefix:/ \"when=all(method:GET,not(claim:sub=me))\" forward=s:80\nrule b prefix:/ forward=s:80\nservice s:80 round-robin\nendpoint s:80 " + b.addr + "\n")
	if err != nil {
		t.Fatal(err)
	}
	reports, err := r.proxy.Apply(s)
	if err != nil || len(reports) != 1 || reports[0].Code != reason.SnapshotUnsupported || !strings.Contains(reports[0].Message, "claim") {
		t.Fatal(err, reports)
	}
	if got := r.ask(get("/")); !strings.HasPrefix(got, "HTTP/1.1 503") {
		t.Errorf("GET: %.40q", got)
	}
	if got := r.ask(strings.Replace(get("/"), "GET", "DELETE", 1)); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("DELETE, which the rule cannot match: %.40q", got)
	}
}

// TestExplainNamesThePolicy: explain says what the server does.
func TestExplainNamesThePolicy(t *testing.T) {
	r := newRig(t, nil)
	r.apply(rule("authorize deny=p/1|client:127.0.0.0/8", "127.0.0.1:1"))
	got, err := exchange.Explain(r.proxy.Generation(), exchange.Question{URL: "http://a/"})
	if err != nil || got.Answer == nil || got.Answer.Status != 403 || got.Answer.Outcome != "denied" || !strings.Contains(got.Answer.Why, "p/1") {
		t.Errorf("%v: %+v", err, got.Answer)
	}
	r.apply(strings.Replace(rule("", "127.0.0.1:1"), "listener 80 http", "listener 80 http deny=p/2", 1))
	got, err = exchange.Explain(r.proxy.Generation(), exchange.Question{URL: "http://a/"})
	if err != nil || got.Answer == nil || got.Answer.Outcome != "denied" || !strings.Contains(got.Answer.Why, "p/2") || !got.Open {
		t.Errorf("%v: %+v", err, got.Answer)
	}
}
