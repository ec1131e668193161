package route

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/policy"
)

func fieldOf(name string) msg.FieldID {
	_, underscore := msg.CheckName([]byte(name))
	return msg.Classify([]byte(name), underscore)
}

// request returns what rules look at; fields are given as "Name: value".
func request(method, host, target string, fields ...string) *policy.Request {
	path, query, _ := strings.Cut(target, "?")
	h := &msg.Head{}
	var spans []msg.Field
	for _, line := range fields {
		name, value, _ := strings.Cut(line, ": ")
		start := len(h.Buf)
		h.Buf = append(h.Buf, name+": "+value+"\r\n"...)
		spans = append(spans, msg.Field{
			Name:  msg.Span{Start: uint32(start), End: uint32(start + len(name))},
			Value: msg.Span{Start: uint32(start + len(name) + 2), End: uint32(len(h.Buf) - 2)},
			ID:    fieldOf(name),
		})
	}
	h.Fields = spans
	return &policy.Request{
		Host: []byte(host), Authority: []byte(host), Path: []byte(path), Method: []byte(method), Query: []byte(query), Head: h,
	}
}

func TestHostPrecedence(t *testing.T) {
	host := func(name string, fallback bool, paths ...string) model.Host {
		h := model.Host{Name: name, Listeners: port80, Fallback: fallback, Blocks: []model.Block{{}}}
		for _, p := range paths {
			h.Blocks[0].Rules = append(h.Blocks[0].Rules, rule(model.PrefixPath, p))
		}
		return h
	}
	table := compile(t, []model.Host{
		host("a.b.c", true, "/exact"),
		host("*.b.c", true, "/one"),
		host("**.b.c", true, "/many"),
		host("**.c", false, "/c"),
		host("*", false, "/any"),
		host("**.example.com", true, "/"),
		host("strict.example.com", false, "/only"),
	})
	for _, tc := range []struct{ host, path, want string }{
		{"a.b.c", "/exact", "a.b.c 2/exact"},
		{"a.b.c", "/one", "*.b.c 2/one"},
		{"a.b.c", "/many", "**.b.c 2/many"},
		{"a.b.c", "/c", "**.c 2/c"},
		{"a.b.c", "/any", ""}, // **.c does not fall back
		{"x.b.c", "/exact", ""},
		{"x.b.c", "/one", "*.b.c 2/one"},
		{"x.y.b.c", "/one", ""},
		{"x.y.b.c", "/many", "**.b.c 2/many"},
		{"b.c", "/many", ""},
		{"b.c", "/c", "**.c 2/c"},
		{"c", "/c", ""},
		{"c", "/any", "* 2/any"},
		{".c", "/c", ""},
		{"very.deep.example.com", "/x", "**.example.com 2/"},
		{"example.com", "/x", ""},
		{"strict.example.com", "/x", ""},
		{"strict.example.com", "/only", "strict.example.com 2/only"},
		{"elsewhere", "/any/x", "* 2/any"},
		{"", "/any", "* 2/any"},
	} {
		if got, _ := match(table, port80[0], tc.host, tc.path); got != tc.want {
			t.Errorf("%s%s: got %q, want %q", tc.host, tc.path, got, tc.want)
		}
	}
}

func TestPredicates(t *testing.T) {
	get := func(target string, fields ...string) *policy.Request { return request("GET", "h", target, fields...) }
	trusted := get("/", "X-Forwarded-Proto: https")
	trusted.Trusted = true
	dropped := get("/", "X-Env: canary")
	dropped.Head.DropName([]byte("x-env"))
	added := get("/")
	added.Head.Add(msg.OtherField, "X-Env", []byte("canary"))
	for _, tc := range []struct {
		condition string
		request   *policy.Request
		want      bool
	}{
		{"method:GET", get("/"), true},
		{"method:get", get("/"), false},
		{"header:x-env=canary", get("/", "X-Env: canary"), true},
		{"header:X-ENV=canary", get("/", "x-env: canary"), true},
		{"header:x-env=canary", get("/", "X-Env: Canary"), false},
		{"header:x-env=canary", get("/"), false},
		{"header:x-env=", get("/"), false},
		{"header:x-env=", get("/", "X-Env: "), true},
		{"header:x-env", get("/", "X-Env: "), true},
		{"header:x-env", get("/"), false},
		{`header:x-env=a\,b\,c`, get("/", "X-Env: a", "Other: x", "x-env: b", "X-ENV: c"), true},
		{"header:x-env~^a", get("/", "X-Env: b", "X-Env: a"), false},
		{`header:x-env~b\,a$`, get("/", "X-Env: b", "X-Env: a"), true},
		{"header:origin=x", get("/", "Origin: x"), true},
		{"cookie:a=1", get("/", "Cookie: b=2; a=1"), true},
		{"cookie:a=1", get("/", "Cookie: b=2", "Cookie: a=1"), true},
		{"cookie:a=1", get("/", "Cookie: a=2; a=1"), false}, // the first one counts
		{"cookie:a=1", get("/", "Cookie: aa=1; A=1; a"), false},
		{"cookie:a=1", get("/", "X-Cookie: a=1"), false},
		{"cookie:a=1", get("/?a=1"), false},
		{"cookie:a", get("/", "Cookie: a="), true},
		{"cookie:a", get("/", "Cookie: a"), false},
		{"not(cookie:a)", get("/", "Cookie: ;;b=a=1"), true},
		{"cookie:a~^v[0-9]$", get("/", "Cookie:  a=v1 ;b"), true},
		{"header:content-type=x", get("/", "Content-Typo: x"), false},
		{"header:host=h", get("/"), true},
		{"header:x-env=canary", dropped, true},
		{"header:x-env=canary", added, false},
		{"header:x-forwarded-proto=https", get("/", "X-Forwarded-Proto: https"), false},
		{"header:x-forwarded-proto=https", trusted, true},
		{"header:x_real_ip=1", get("/", "X_Real_IP: 1"), false},
		{"header:x-envoy-a=1", get("/", "X-Envoy-A: 1"), false},
		{"query:a=1", get("/?a=1&a=2"), true},
		{"query:a=2", get("/?a=1&a=2"), false},
		{"query:a=1", get("/?b=0&a=1"), true},
		{"query:a=1", get("/"), false},
		{"query:a", get("/?a"), true},
		{"query:a=", get("/?a"), true},
		{"query:A=1", get("/?a=1"), false},
		{"query:a=x y", get("/?a=x%20y"), true},
		{"query:a=é", get("/?%61=%C3%a9"), true},
		{"query:a=x%2", get("/?a=x%2"), true},
		{"query:a=x", get("/?a=xy"), false},
		{"query:a=xy", get("/?a=x"), false},
		{"query:a~^x.$", get("/?a=x%20"), true},
		{"query:a~^x.$", get("/?a=x"), false},
		{"all(method:GET,header:a=1)", get("/", "A: 1"), true},
		{"all(method:POST,header:a=1)", get("/", "A: 1"), false},
		{"all()", get("/"), true},
		{"any(method:POST,header:a=1)", get("/", "A: 1"), true},
		{"any(method:POST,header:a=1)", get("/", "A: 2"), false},
		{"any()", get("/"), false},
		{"not(header:a=1)", get("/", "A: 1"), false},
		{"not(any(query:x,all(header:a=1,not(method:PUT))))", get("/"), true},
	} {
		s, err := model.Parse(fmt.Sprintf("listener 80 http\nhost * 80\nblock x by-specificity\nrule r prefix:/ %q redirect=302\n", "when="+tc.condition))
		if err != nil {
			t.Fatal(err)
		}
		when := s.Config.Hosts[0].Blocks[0].Rules[0].When
		compiled, err := policy.Compile(when)
		if err != nil {
			t.Fatal(err)
		}
		if got := compiled.Holds(tc.request); got != tc.want {
			t.Errorf("%s: %v", tc.condition, got)
		}
		if failed := policy.Failing(when, tc.request); (failed == nil) != tc.want {
			t.Errorf("%s: fails by %v", tc.condition, failed)
		}
		if n := leastAllocs(func() { compiled.Holds(tc.request) }); n != 0 {
			t.Errorf("%s: %v allocations", tc.condition, n)
		}
	}
}

// leastAllocs returns the lowest of several counts: with the race detector, pools
// (regexp has some) drop objects at random.
func leastAllocs(run func()) float64 {
	least := testing.AllocsPerRun(10, run)
	for try := 0; try < 20 && least > 0; try++ {
		least = min(least, testing.AllocsPerRun(10, run))
	}
	return least
}

func TestTrace(t *testing.T) {
	s, err := model.Parse(`listener 80 http
host a.example 80 fallback
block gateway by-specificity
rule exact exact:/x when=method:POST redirect=302
rule header prefix:/x when=all(method:GET,header:x-env=canary) rank=1 redirect=302
rule query prefix:/x when=query:v=2 rank=2 redirect=302
rule other prefix:/y redirect=302
host * 80
block gateway by-specificity
rule taken prefix:/x redirect=302
rule less any: redirect=302
`)
	if err != nil {
		t.Fatal(err)
	}
	table := compile(t, s.Config.Hosts)
	var trace Trace
	r := request("GET", "a.example", "/x?v=1", "X-Env: prod")
	got, found := table.Match(port80[0], r, &trace)
	if !found || got != "* taken" {
		t.Fatalf("%q", got)
	}
	var b strings.Builder
	for _, h := range trace.Hosts {
		for _, block := range h.Blocks {
			fmt.Fprintf(&b, "%s %s %s: %s\n", h.Name, block.Dialect, block.Path, cmp.Or(block.Rule, "none"))
			for _, miss := range block.Misses {
				fmt.Fprintf(&b, "%s by %s: wants %s, has %s\n", miss.Rule, miss.Condition, miss.Expected, miss.Got)
			}
		}
	}
	want := `a.example gateway /x: none
exact by method: wants method:POST, has GET
other by path: wants prefix:/y, has /x
header by header: wants header:x-env=canary, has prod
query by query: wants query:v=2, has 1
* gateway /x: taken
less by order: wants taken, has ` + `
`
	lines := func(text string) []string { return slices.Sorted(strings.Lines(text)) }
	if !slices.Equal(lines(b.String()), lines(want)) {
		t.Errorf("got\n%s", b.String())
	}
	table.Match(model.ListenerID{Gateway: "a/b", Port: 80}, r, &trace)
	if trace.Open || len(trace.Hosts) > 0 {
		t.Errorf("%+v", trace)
	}
}

// pick returns one of all at random.
func pick[T any](r *rand.Rand, all ...T) T { return all[r.IntN(len(all))] }

// gatewayMatch is one HTTPRouteMatch with the rule that it becomes.
type gatewayMatch struct {
	host           string
	kind           model.PathKind
	path           string
	method         string
	headers, query []model.Header // names and values
	regex          bool           // of the headers
	index          int
}

func (m *gatewayMatch) id() string { return fmt.Sprintf("%s#%d", m.host, m.index) }

// compareMatches implements the precedence of HTTPRouteRule.matches, except for the
// path: method, most headers, most query parameters, then the oldest route and the
// first rule.
func compareMatches(a, b *gatewayMatch) int {
	return cmp.Or(
		cmp.Compare(min(len(b.method), 1), min(len(a.method), 1)),
		cmp.Compare(len(b.headers), len(a.headers)),
		cmp.Compare(len(b.query), len(a.query)),
		cmp.Compare(a.index, b.index))
}

func (m *gatewayMatch) when() *model.Predicate {
	p := &model.Predicate{Test: model.All}
	if m.method != "" {
		p.Of = append(p.Of, model.Predicate{Test: model.MethodIs, Value: m.method})
	}
	for _, h := range m.headers {
		one := model.Predicate{Test: model.HeaderIs, Name: h.Name, Value: h.Value}
		if m.regex {
			one.Comparison, one.Value = model.Matches, "^"+h.Value+"$"
		}
		p.Of = append(p.Of, one)
	}
	for _, q := range m.query {
		p.Of = append(p.Of, model.Predicate{Test: model.QueryIs, Name: q.Name, Value: q.Value})
	}
	if len(p.Of) == 0 {
		return nil
	}
	return p
}

// takes is written from the API's documentation. It parses queries and names with Go's
// own packages.
func (m *gatewayMatch) takes(method, host, path string, query url.Values, fields map[string][]string) bool {
	ok := m.host == "*" || m.host == host || strings.HasPrefix(m.host, "**.") && strings.HasSuffix(host, m.host[2:]) && len(host) > len(m.host)-2
	if strings.HasPrefix(m.host, "*.") {
		first, parent, found := strings.Cut(host, ".")
		ok = found && first != "" && parent == m.host[2:]
	}
	switch m.kind {
	case model.ExactPath:
		ok = ok && m.path == path
	case model.PrefixPath:
		ok = ok && (m.path == "/" || m.path == path || strings.HasPrefix(path, m.path+"/"))
	}
	ok = ok && (m.method == "" || m.method == method)
	for _, h := range m.headers {
		got, present := fields[h.Name]
		joined := strings.Join(got, ",")
		if m.regex {
			ok = ok && present && regexp.MustCompile("^"+h.Value+"$").MatchString(joined)
			continue
		}
		ok = ok && present && joined == h.Value
	}
	for _, q := range m.query {
		ok = ok && query.Has(q.Name) && query.Get(q.Name) == q.Value
	}
	return ok
}

// hostOrder returns the precedence of a host name; the lowest comes first.
func hostOrder(name string) [3]int {
	bare := strings.TrimLeft(name, "*")
	switch stars := len(name) - len(bare); {
	case name == "*":
		return [3]int{2}
	case stars == 0:
		return [3]int{0}
	default:
		return [3]int{1, -len(bare), stars}
	}
}

// TestMatchAgreesWithGatewayAPI compares random tables with a naive matcher that
// implements the precedence of the Gateway API specification, and a match with a trace
// with one without.
func TestMatchAgreesWithGatewayAPI(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	hostNames := []string{"a.b.c", "b.c", "*.b.c", "**.b.c", "**.c", "*", "x.y.b.c"}
	paths := []string{"/", "/a", "/a/b", "/b", "/a/b/c"}
	pairs := func(names ...string) (out []model.Header) {
		for _, name := range names {
			if r.IntN(3) == 0 {
				out = append(out, model.Header{Name: name, Value: pick(r, "1", "2")})
			}
		}
		return out
	}
	hits := 0
	for round := range 400 {
		var all []*gatewayMatch
		for i := range r.IntN(25) {
			all = append(all, &gatewayMatch{
				host: pick(r, hostNames...), kind: pick(r, model.ExactPath, model.PrefixPath, model.PrefixPath), path: pick(r, paths...),
				method: pick(r, "", "", "GET", "PUT"), headers: pairs("x-a", "x-b", "origin"), query: pairs("q", "p"),
				regex: r.IntN(4) == 0, index: i,
			})
		}
		fallback := map[string]bool{}
		for _, name := range hostNames {
			fallback[name] = r.IntN(2) == 0
		}
		table := compile(t, hostsOf(all, fallback))
		for range 60 {
			host, path, method := pick(r, "a.b.c", "b.c", "x.b.c", "x.y.b.c", "z.c", "z"), pick(r, paths...)+pick(r, "", "/", "/z"), pick(r, "GET", "PUT", "POST")
			rawQuery := pick(r, "", "q=1", "q=%32&p=1", "p=2&p=1", "q=1&p=2&q=2")
			fields := map[string][]string{}
			var lines []string
			for _, h := range append(pairs("x-a", "x-b", "origin"), pairs("x-a")...) {
				fields[h.Name] = append(fields[h.Name], h.Value)
				lines = append(lines, strings.ToUpper(h.Name)+": "+h.Value)
			}
			query, _ := url.ParseQuery(rawQuery)
			want := naive(all, fallback, func(m *gatewayMatch) bool { return m.takes(method, host, path, query, fields) }, host)
			view := request(method, host, path+"?"+rawQuery, lines...)
			got, found := table.Match(port80[0], view, nil)
			var trace Trace
			traced, tracedFound := table.Match(port80[0], view, &trace)
			if got != want || found != (want != "") || traced != got || tracedFound != found {
				t.Fatalf("round %d: %s %s%s?%s %v: got %q, traced %q, want %q", round, method, host, path, rawQuery, lines, got, traced, want)
			}
			checkTrace(t, &trace, all, want, func(m *gatewayMatch) bool { return m.takes(method, host, path, query, fields) })
			if found {
				hits++
			}
		}
	}
	if hits < 1000 {
		t.Errorf("only %d requests were taken", hits)
	}
}

// hostsOf returns the virtual hosts as a translator would make them.
func hostsOf(all []*gatewayMatch, fallback map[string]bool) []model.Host {
	ranked := slices.SortedFunc(slices.Values(all), compareMatches)
	byName := map[string]*model.Host{}
	var names []string
	for rank, m := range ranked {
		h := byName[m.host]
		if h == nil {
			h = &model.Host{Name: m.host, Listeners: port80, Fallback: fallback[m.host], Blocks: []model.Block{{Dialect: "gateway"}}}
			byName[m.host] = h
			names = append(names, m.host)
		}
		h.Blocks[0].Rules = append(h.Blocks[0].Rules, model.Rule{
			ID: m.id(), Path: model.PathMatch{Kind: m.kind, Value: m.path}, When: m.when(), Rank: uint32(rank),
		})
	}
	var parts model.Parts
	for _, name := range names {
		parts.Config.Hosts = append(parts.Config.Hosts, *byName[name])
	}
	return model.Freeze(parts).Config.Hosts
}

// naive chooses a rule by trying all.
func naive(all []*gatewayMatch, fallback map[string]bool, takes func(*gatewayMatch) bool, host string) string {
	names := map[string]bool{}
	for _, m := range all {
		if bare := (&gatewayMatch{host: m.host}); bare.takes("", host, "", nil, nil) {
			names[m.host] = true
		}
	}
	var order []string
	for name := range names {
		order = append(order, name)
	}
	slices.SortFunc(order, func(a, b string) int {
		x, y := hostOrder(a), hostOrder(b)
		return slices.Compare(x[:], y[:])
	})
	for _, name := range order {
		var best *gatewayMatch
		for _, m := range all {
			if m.host == name && takes(m) && (best == nil || comparePaths(m, best) < 0) {
				best = m
			}
		}
		if best != nil {
			return name + " " + best.id()
		}
		if !fallback[name] {
			return ""
		}
	}
	return ""
}

func comparePaths(a, b *gatewayMatch) int {
	exact := func(m *gatewayMatch) int { return map[bool]int{true: 0, false: 1}[m.kind == model.ExactPath] }
	return cmp.Or(cmp.Compare(exact(a), exact(b)), cmp.Compare(len(b.path), len(a.path)), compareMatches(a, b))
}

// checkTrace compares what a trace says of each rule with the naive matcher.
func checkTrace(t *testing.T, trace *Trace, all []*gatewayMatch, want string, takes func(*gatewayMatch) bool) {
	t.Helper()
	byID := map[string]*gatewayMatch{}
	for _, m := range all {
		byID[m.id()] = m
	}
	for i, h := range trace.Hosts {
		block := h.Blocks[0]
		if last := i == len(trace.Hosts)-1; (block.Rule != "") != (last && want != "") {
			t.Fatalf("%s: %+v, want %q", h.Name, block, want)
		}
		for _, miss := range block.Misses {
			if takes(byID[miss.Rule]) != (miss.Condition == ByOrder) {
				t.Fatalf("%s is said to fail by %s: %s, %s", miss.Rule, miss.Condition, miss.Expected, miss.Got)
			}
		}
	}
}

// conditional100k returns 100,000 rules, ten for each path, which differ by header,
// query and method.
func conditional100k() (all []model.Host, requests []*policy.Request) {
	h := model.Host{Name: "big.example", Listeners: port80, Blocks: []model.Block{{}}}
	var heads []*msg.Head // few heads, used all the time, like a proxy's buffers
	for i := range 10 {
		heads = append(heads, request("", "", "", "User-Agent: bench", "Accept: */*", "Accept-Encoding: gzip", "Cookie: a=b", fmt.Sprint("X-Version: v", i)).Head)
	}
	for i := range 10_000 {
		path := fmt.Sprintf("/tenant-%d/app/%x", i%977, i*2654435761)
		for j := range 10 {
			r := rule(model.PrefixPath, path)
			r.ID = fmt.Sprint(i, ".", j)
			r.Rank = uint32(j)
			if j < 9 {
				r.When = &model.Predicate{Test: model.All, Of: []model.Predicate{
					{Test: model.MethodIs, Value: "GET"},
					{Test: model.HeaderIs, Name: "x-version", Value: fmt.Sprint("v", j)},
				}}
			}
			h.Blocks[0].Rules = append(h.Blocks[0].Rules, r)
		}
		one := request("GET", "big.example", path+"/below")
		one.Head = heads[i%10]
		requests = append(requests, one)
	}
	return []model.Host{h}, requests
}

func BenchmarkMatchHeaders100k(b *testing.B) {
	all, requests := conditional100k()
	table := compile(b, all)
	r := rand.New(rand.NewPCG(3, 4))
	r.Shuffle(len(requests), func(i, j int) { requests[i], requests[j] = requests[j], requests[i] })
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if _, found := table.Match(port80[0], requests[i%len(requests)], nil); !found {
			b.Fatal("not found")
		}
	}
}

func TestConditionsDoNotAllocate(t *testing.T) {
	all, requests := conditional100k()
	table := compile(t, all)
	i := 0
	if n := testing.AllocsPerRun(1000, func() {
		table.Match(port80[0], requests[i], nil)
		i++
	}); n != 0 {
		t.Errorf("%v allocations a match", n)
	}
}

func TestCookiesDoNotAllocate(t *testing.T) {
	p, err := policy.Compile(&model.Predicate{Test: model.CookieIs, Name: "a", Value: "1"})
	if err != nil {
		t.Fatal(err)
	}
	r := request("GET", "h", "/", "Cookie: b=2; c=3", "Cookie: a=1")
	if n := testing.AllocsPerRun(100, func() {
		if !p.Holds(r) {
			t.Fatal("the cookie was not found")
		}
	}); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
}

func TestTraceNamesTheCookie(t *testing.T) {
	p := &model.Predicate{Test: model.CookieIs, Name: "a", Value: "1"}
	if by, got := policy.Got(p, request("GET", "h", "/", "Cookie: a=2")); by != model.CookieIs || got != "2" {
		t.Errorf("by %s, has %q", by, got)
	}
}
