package proxy_test

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/filter"
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/policy"
	"windrose.dev/windrose/internal/proxy/route"
)

// rules is a Snapshot with rules for all hosts on port 80, and services of one
// endpoint each, which stand as name=address.
func rules(lines string, services ...string) string {
	text := "listener 80 http\nhost * 80\nblock gateway by-specificity\n" + lines + "\n"
	for _, s := range services {
		name, addr, _ := strings.Cut(s, "=")
		text += "service " + name + " round-robin\nendpoint " + name + " " + addr + "\n"
	}
	return text
}

// decided runs one request through a Snapshot's rules, without sockets.
func decided(t *testing.T, text string, peer *exchange.Peer, request string) *exchange.Exchange {
	t.Helper()
	p := newRig(t, func(cfg *proxy.Config) {
		cfg.Listen = func(string) (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }
	})
	p.apply(text)
	x := &exchange.Exchange{}
	parseHead(t, &x.Req, request)
	x.Decide(p.proxy.Generation(), peer, nil)
	return x
}

func parseHead(t *testing.T, h *msg.Head, text string) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(text, "\r\n\r\n"), "\r\n")
	h.Buf = []byte(text)
	words := strings.Split(lines[0], " ")
	h.Minor = 1
	h.Method = msg.Span{End: uint32(len(words[0]))}
	h.Target = msg.Span{Start: h.Method.End + 1, End: h.Method.End + 1 + uint32(len(words[1]))}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		start := uint32(strings.Index(text, "\r\n"+line+"\r\n") + 2)
		id := msg.Classify([]byte(name), strings.Contains(name, "_"))
		nameEnd := start + uint32(len(name))
		h.Fields = append(h.Fields, msg.Field{
			Name: msg.Span{Start: start, End: nameEnd}, Value: msg.Span{Start: nameEnd + 2, End: nameEnd + 2 + uint32(len(value))},
			LineEnd: start + uint32(len(line)) + 2, ID: id,
		})
		if id != msg.OtherField {
			h.Known |= 1 << id
		}
	}
}

// prefixTable is the table at HTTPPathModifier.replacePrefixMatch.
var prefixTable = []struct{ path, prefix, with, want string }{
	{"/foo/bar", "/foo", "/xyz", "/xyz/bar"},
	{"/foo/bar", "/foo", "/xyz/", "/xyz/bar"},
	{"/foo/bar", "/foo/", "/xyz", "/xyz/bar"},
	{"/foo/bar", "/foo/", "/xyz/", "/xyz/bar"},
	{"/foo", "/foo", "/xyz", "/xyz"},
	{"/foo/", "/foo", "/xyz", "/xyz/"},
	{"/foo/bar", "/foo", "", "/bar"},
	{"/foo/", "/foo", "", "/"},
	{"/foo", "/foo", "", "/"},
	{"/foo/", "/foo", "/", "/"},
	{"/foo", "/foo", "/", "/"},
	{"/foo/a%2fb/%7Ec", "/foo", "/xyz", "/xyz/a%2Fb/~c"},
	{"/bar", "/", "/xyz", "/xyz/bar"},
	{"/", "/", "/xyz", "/xyz/"},
	{"/foo/bar", "", "/full", "/full"},
	{"/foo/bar", "", "full", "/full"},
}

func TestPathsOfGatewayAPI(t *testing.T) {
	peer := &exchange.Peer{Inbound: policy.Inbound{Listener: model.ListenerID{Port: 80}, PublicPort: 80}, PublicPorts: func(p uint16) uint16 { return p }}
	for _, tc := range prefixTable {
		request := "GET " + tc.path + "?q=1 HTTP/1.1\r\nHost: a.example\r\n\r\n"
		word := tc.prefix + ">" + tc.with
		if tc.prefix == "" {
			word = tc.with
		}
		x := decided(t, rules("rule r any: redirect=302 redirect-path="+word), peer, request)
		if got := string(x.Resp.Lookup("Location")); got != "http://a.example"+tc.want+"?q=1" {
			t.Errorf("redirect of %s by %s: %s, want %s", tc.path, word, got, tc.want)
		}
		x = decided(t, rules("rule r any: forward=s:80 rewrite= rewrite-path="+word, "s:80=127.0.0.1:1"), peer, request)
		if got := string(x.ForwardTarget()); got != tc.want+"?q=1" {
			t.Errorf("rewrite of %s by %s: %s, want %s", tc.path, word, got, tc.want)
		}
		if n := testing.AllocsPerRun(10, func() { x.ForwardTarget() }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
}

func TestRedirectTerms(t *testing.T) {
	// What clients dial here: 80 at 8080, 443 at 8443.
	published := func(p uint16) uint16 { return p + 8000*uint16(map[uint16]int{80: 1, 443: 1}[p]) }
	same := func(p uint16) uint16 { return p }
	for _, tc := range []struct {
		options string
		public  uint16
		ports   func(uint16) uint16
		fields  string
		want    string
	}{
		{"redirect=302 redirect-host=other.example", 80, same, "", "302 http://other.example/p"},
		{"redirect=302 redirect-host=other.example", 8080, same, "", "302 http://other.example:8080/p"},
		{"redirect=301 redirect-scheme=https", 80, same, "", "301 https://a.example/p"},
		{"redirect=301 redirect-scheme=https", 8080, published, "", "301 https://a.example:8443/p"},
		{"redirect=301 redirect-scheme=https redirect-host=other.example", 8080, published, "", "301 https://other.example/p"},
		{"redirect=303 redirect-scheme=http redirect-port=80", 8080, same, "", "303 http://a.example/p"},
		{"redirect=307 redirect-scheme=https redirect-port=443", 80, same, "", "307 https://a.example/p"},
		{"redirect=308 redirect-scheme=http redirect-port=443", 80, same, "", "308 http://a.example:443/p"},
		{"redirect=302 redirect-port=8083", 80, same, "", "302 http://a.example:8083/p"},
		{"redirect=302 redirect-port=80", 8080, same, "", "302 http://a.example/p"},
		{"redirect=302 redirect-path=/x", 8080, same, "", "302 http://a.example:8080/x"},
		{"redirect=302 redirect-path=/x", 80, same, "X-Forwarded-Proto: https\r\n", "302 https://a.example/x"},
		{"redirect=302 redirect-path=/x", 80, same, "X-Forwarded-Proto: https\r\nX-Forwarded-Port: 8443\r\n", "302 https://a.example:8443/x"},
	} {
		peer := &exchange.Peer{Inbound: policy.Inbound{Listener: model.ListenerID{Port: 80}, PublicPort: tc.public, Trusted: tc.fields != ""}, PublicPorts: tc.ports}
		x := decided(t, rules("rule r prefix:/ "+tc.options), peer, "GET /p HTTP/1.1\r\nHost: a.example:1234\r\n"+tc.fields+"\r\n")
		if got := fmt.Sprintf("%d %s", x.Resp.Status, x.Resp.Lookup("Location")); got != tc.want {
			t.Errorf("%s, dialled at %d %s: %s, want %s", tc.options, tc.public, tc.fields, got, tc.want)
		}
	}
}

func TestEdits(t *testing.T) {
	b := newBackend(t, echo)
	r := newRig(t, nil)
	r.apply(rules(`rule r prefix:/ forward=s:80 request-remove=x-gone request-set=X-Set:new request-set=X-Forwarded-Proto:https request-add=X-Add:two response-remove=x-out response-set=X-In:in response-add=Vary:a
rule backend prefix:/b forward request-set=X-Order:rule response-set=X-Order:rule rewrite= rewrite-host=rule.example
backend s:80 1 request-set=X-Order:backend response-set=X-Order:backend rewrite= rewrite-path=/b>/c
rule host prefix:/h forward=s:80 rewrite= rewrite-host=inner.example:81`, "s:80="+b.addr))
	got := r.ask("GET /x HTTP/1.1\r\nHost: a.example\r\nX-Gone: 1\r\nx-set: old\r\nX-GONE: 2\r\nX-Add: one\r\n\r\n")
	_, body, _ := strings.Cut(got, "\r\n\r\n")
	for name, want := range map[string]string{"X-Gone": "", "X-Set": "new", "X-Add": "one|two", "X-Forwarded-Proto": "https"} {
		if got := fieldOf(body, name); got != want {
			t.Errorf("the backend gets %s: %s", name, got)
		}
	}
	if fieldOf(got, "X-In") != "in" || fieldOf(got, "Vary") != "a" {
		t.Errorf("%q", got)
	}
	got = r.ask(get("/b/x?q"))
	head, body, _ := strings.Cut(got, "\r\n\r\n")
	if fieldOf(body, "X-Order") != "backend" || fieldOf(head, "X-Order") != "rule" || !strings.HasPrefix(body, "GET /c/x?q ") {
		t.Errorf("%q", got)
	}
	_, body, _ = strings.Cut(r.ask(get("/h")), "\r\n\r\n")
	if fieldOf(body, "Host") != "inner.example:81" || fieldOf(body, "X-Forwarded-Host") != "a.example" {
		t.Errorf("%q", body)
	}
}

// TestEditsThatAreRefused checks that a rule is closed which would edit what
// the engine must write itself, also where only a backend would.
func TestEditsThatAreRefused(t *testing.T) {
	for _, name := range []string{"Host", "Connection", "transfer-encoding", "Content-Length", "TE", "Upgrade", "Keep-Alive", "Trailer", "Expect", "X_Forwarded_For"} {
		for _, text := range []string{
			"rule r prefix:/ forward=s:80 request-set=" + name + ":x",
			"rule r prefix:/ forward=s:80 response-remove=" + name,
			"rule r prefix:/ forward\nbackend s:80 1 request-add=" + name + ":x",
		} {
			r := newRig(t, nil)
			s, err := model.Parse(rules(text, "s:80=127.0.0.1:1"))
			if err != nil {
				t.Fatal(err)
			}
			if reports, err := r.proxy.Apply(s); err != nil || len(reports) != 1 {
				t.Fatalf("%s: %v %v", text, reports, err)
			}
			if got := r.ask(get("/")); statusOf(got) != 503 || !strings.Contains(got, "closed") {
				t.Errorf("%s: %q", text, got)
			}
		}
	}
}

// TestSlimTable checks that a proxy without a filter closes the rules that
// need it.
func TestSlimTable(t *testing.T) {
	r := newRig(t, func(cfg *proxy.Config) { cfg.Filters = filter.Table()[:1] })
	s, err := model.Parse(rules(`rule edit prefix:/edit forward=s:80 request-set=a:b
rule redirect prefix:/redirect redirect=302 redirect-path=/x
rule rewrite prefix:/rewrite forward=s:80 rewrite= rewrite-host=b
rule backend prefix:/backend forward
backend s:80 1 response-set=a:b`, "s:80=127.0.0.1:1"))
	if err != nil {
		t.Fatal(err)
	}
	reports, err := r.proxy.Apply(s)
	if err != nil || len(reports) != 4 {
		t.Fatalf("%v %v", reports, err)
	}
	for _, path := range []string{"/edit", "/redirect", "/rewrite", "/backend"} {
		if got := r.ask(get(path)); statusOf(got) != 503 {
			t.Errorf("%s: %q", path, got)
		}
	}
}

// TestInvalidBackendsShare checks that a backend that cannot be had answers
// its share of the requests, and no more.
func TestInvalidBackendsShare(t *testing.T) {
	b := newBackend(t, always(ok2))
	r := newRig(t, nil)
	r.apply(rules("rule r prefix:/ forward\nbackend s:80 3\nbackend none 1 respond=500:backend_invalid why=gone\nbackend none 0 respond=501:backend_invalid", "s:80="+b.addr))
	c := r.dial()
	counts := map[int]int{}
	for range 400 {
		c.send(get("/"))
		counts[statusOf(c.answer("GET"))]++
	}
	if counts[200]+counts[500] != 400 || counts[500] < 50 || counts[500] > 150 {
		t.Errorf("%v", counts)
	}
	if line := r.log.wait(t, " 500 "); !strings.Contains(line, "backend_invalid") {
		t.Errorf("%q", line)
	}
}

func TestFetchCORS(t *testing.T) {
	b := newBackend(t, always(ok2))
	const lists = `cors=https://www.foo.com,https://*.bar.com,http://plain.example:80 "cors-methods=GET, OPTIONS" "cors-headers=x-1, x-2" cors-expose=x-3 cors-credentials cors-max-age=3600 cors-fetch`
	const stars = `cors=* cors-methods=* cors-headers=* cors-expose=* cors-fetch`
	preflight := "OPTIONS / HTTP/1.1\r\nHost: a\r\nOrigin: %s\r\nAccess-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: x-9, x-8\r\n\r\n"
	simple := "GET / HTTP/1.1\r\nHost: a\r\nOrigin: %s\r\n\r\n"
	for _, tc := range []struct {
		name, options, request, origin string
		status                         int
		// want are Access-Control- fields, without that.
		want map[string]string
	}{
		{"exact", lists, preflight, "https://www.foo.com", 200, map[string]string{"Allow-Origin": "https://www.foo.com", "Allow-Methods": "GET, OPTIONS", "Allow-Headers": "x-1, x-2", "Expose-Headers": "x-3", "Allow-Credentials": "true", "Max-Age": "3600"}},
		{"its own port", lists, preflight, "http://plain.example", 200, map[string]string{"Allow-Origin": "http://plain.example", "Allow-Methods": "GET, OPTIONS", "Allow-Headers": "x-1, x-2", "Expose-Headers": "x-3", "Allow-Credentials": "true", "Max-Age": "3600"}},
		{"several labels", lists, simple, "https://a.b.bar.com", 200, map[string]string{"Allow-Origin": "https://a.b.bar.com", "Expose-Headers": "x-3", "Allow-Credentials": "true"}},
		{"no label", lists, simple, "https://bar.com", 200, nil},
		{"another port", lists, simple, "https://www.foo.com:8443", 200, nil},
		{"a longer name", lists, simple, "https://www.foo.com.evil.example", 200, nil},
		{"another origin", lists, preflight, "https://foobar.com", 200, nil},
		{"stars", stars, preflight, "https://x:1", 200, map[string]string{"Allow-Origin": "*", "Allow-Methods": "PUT", "Allow-Headers": "x-9, x-8", "Expose-Headers": "*"}},
		{"stars with credentials", stars + " cors-credentials", preflight, "https://x:1", 200, map[string]string{"Allow-Origin": "https://x:1", "Allow-Methods": "PUT", "Allow-Headers": "x-9, x-8", "Allow-Credentials": "true"}},
		{"stars on an answer", stars + " cors-credentials", simple, "https://x:1", 200, map[string]string{"Allow-Origin": "https://x:1", "Allow-Credentials": "true"}},
	} {
		r := newRig(t, nil)
		r.apply(rule(tc.options, b.addr))
		got := r.ask(fmt.Sprintf(tc.request, tc.origin))
		if reached := tc.request == simple; statusOf(got) != tc.status || strings.HasSuffix(got, "\r\n\r\nok") != reached {
			t.Errorf("%s: %q", tc.name, got)
		}
		for _, name := range []string{"Allow-Origin", "Allow-Methods", "Allow-Headers", "Expose-Headers", "Allow-Credentials", "Max-Age"} {
			if value := fieldOf(got, "Access-Control-"+name); value != tc.want[name] {
				t.Errorf("%s: %s is %q, want %q", tc.name, name, value, tc.want[name])
			}
		}
	}
	r := newRig(t, nil)
	r.apply(rule(lists+" request-remove=Origin", b.addr))
	if got := r.ask(fmt.Sprintf(simple, "https://www.foo.com")); fieldOf(got, "Access-Control-Allow-Origin") != "https://www.foo.com" {
		t.Errorf("with an edit of Origin: %q", got)
	}
	r.apply(rule(lists, b.addr))
	if got := r.ask("OPTIONS / HTTP/1.1\r\nHost: a\r\nOrigin: https://www.foo.com\r\n\r\n"); !strings.HasSuffix(got, "\r\n\r\nok") {
		t.Errorf("OPTIONS that is no preflight: %q", got)
	}
}

// TestTraceOfADecision checks that the trace tells what Decide did.
func TestTraceOfADecision(t *testing.T) {
	r := newRig(t, nil)
	r.apply(rules("rule get prefix:/ when=method:GET redirect=302\nrule put prefix:/ rank=1 when=method:PUT redirect=303"))
	x := &exchange.Exchange{}
	parseHead(t, &x.Req, "PUT / HTTP/1.1\r\nHost: a\r\n\r\n")
	var trace route.Trace
	x.Decide(r.proxy.Generation(), &exchange.Peer{Inbound: policy.Inbound{Listener: model.ListenerID{Port: 80}}, PublicPorts: func(p uint16) uint16 { return p }}, &trace)
	block := trace.Hosts[0].Blocks[0]
	if x.Resp.Status != 303 || block.Rule != "put" || len(block.Misses) != 1 || block.Misses[0] != (route.Miss{Rule: "get", Condition: "method", Expected: "method:GET", Got: "PUT"}) {
		t.Errorf("%d %+v", x.Resp.Status, trace)
	}
}
