package route

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/url"
	"path"
	"strings"
	"testing"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/policy"
)

func TestCanonical(t *testing.T) {
	for in, want := range map[string]string{
		"/":               "/",
		"*":               "*",
		"/a/b":            "/a/b",
		"/a//b":           "/a//b",
		"/a.b/.c/..d":     "/a.b/.c/..d",
		"/a/./b":          "/a/b dots",
		"/a/../b":         "/b dots",
		"/a/..":           "/ dots",
		"/a/b/..":         "/a/ dots",
		"/a/.":            "/a/ dots",
		"/../../a":        "/a dots",
		"/..":             "/ dots",
		"/a/%2e%2E/b":     "/b dots",
		"/a/.%2e/b":       "/b dots",
		"/%61%7e":         "/a~",
		"/a%2fb":          "/a%2Fb",
		"/a%5c..%5cb":     "/a%5C..%5Cb",
		"/a%2f..%2fb":     "/a%2F..%2Fb",
		"/a%20b":          "/a%20b",
		"/a[b]|{^}`":      "/a%5Bb%5D%7C%7B%5E%7D%60",
		`/a\b"<>`:         "/a%5Cb%22%3C%3E",
		"/a!$&'()*+,;=:@": "/a!$&'()*+,;=:@",
		"/%C3%a9":         "/%C3%A9",
		"/%25%32%65":      "/%252e",
		"/a//../b":        "/a/b dots",
		"/%":              "bad",
		"/%4":             "bad",
		"/%zz":            "bad",
		"/a\x00":          "bad",
		"/%00":            "bad",
		"/a%":             "bad",
	} {
		p, _, ok := Canonical([]byte(in), nil)
		got := string(p.Bytes)
		if p.DotsRemoved {
			got += " dots"
		}
		if !ok {
			got = "bad"
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

// FuzzCanonical: the result is canonical, has no dot segments, and agrees with how Go
// parses the same path.
func FuzzCanonical(f *testing.F) {
	for _, seed := range []string{"/a/../b", "/%2e%2e/", "/a//..//b/.", "/%41%2f"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		in = append([]byte("/"), in...)
		p, scratch, ok := Canonical(in, nil)
		if !ok {
			return
		}
		once := bytes.Clone(p.Bytes)
		again, _, ok := Canonical(once, scratch[len(scratch):])
		if !ok || !bytes.Equal(again.Bytes, once) || again.DotsRemoved {
			t.Fatalf("%q -> %q -> %q", in, once, again.Bytes)
		}
		for _, segment := range strings.Split(string(once), "/") {
			if segment == "." || segment == ".." {
				t.Fatalf("%q has a dot segment: %q", in, once)
			}
		}
		if decoded, err := url.PathUnescape(string(in)); err == nil && !bytes.Contains(bytes.ToLower(in), []byte("%2f")) && !bytes.Contains(in, []byte("//")) {
			mine, err := url.PathUnescape(string(once))
			if err != nil || path.Clean(mine) != path.Clean(decoded) {
				t.Fatalf("%q: %q, Go says %q", in, mine, path.Clean(decoded))
			}
		}
	})
}

var port80 = []model.ListenerID{{Port: 80}}

func rule(kind model.PathKind, value string) model.Rule {
	return model.Rule{ID: fmt.Sprintf("%d%s", kind, value), Path: model.PathMatch{Kind: kind, Value: value}}
}

func compile(t testing.TB, all []model.Host) *Table[string] {
	t.Helper()
	compiled := make([]*Host[string], len(all))
	for i := range all {
		var err error
		compiled[i], err = Compile(&all[i], func(r *model.Rule) (string, error) { return all[i].Name + " " + r.ID, nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	return NewTable(all, compiled)
}

func match(table *Table[string], id model.ListenerID, host, path string) (string, bool) {
	return table.Match(id, &policy.Request{Host: []byte(host), Path: []byte(path)}, nil)
}

func TestMatch(t *testing.T) {
	exact, prefix, any, regex := model.ExactPath, model.PrefixPath, model.AnyPath, model.RegexPath
	one := func(name string, order model.Order, rules ...model.Rule) model.Host {
		return model.Host{Name: name, Listeners: port80, Blocks: []model.Block{{Order: order, Rules: rules, MergeSlashes: name == "merge"}}}
	}
	table := compile(t, []model.Host{
		one("a.b", model.BySpecificity, rule(exact, "/x"), rule(prefix, "/x"), rule(prefix, "/x/y"), rule(prefix, "/x/y/z"), rule(exact, "/x/")),
		one("root", model.BySpecificity, rule(prefix, "/"), rule(any, "")),
		one("*.b", model.BySpecificity, rule(any, "")),
		one("merge", model.BySpecificity, rule(prefix, "/x/y"), rule(exact, "/x/e")),
		one("re", model.FirstMatch, rule(regex, `(?i)^/api/v\d+`), rule(prefix, "/api"), rule(exact, "/e"), rule(any, "")),
		{Name: "two", Listeners: []model.ListenerID{{Port: 80}, {Port: 443}}, Blocks: []model.Block{{Rules: []model.Rule{rule(prefix, "/one")}}, {Rules: []model.Rule{rule(any, "")}}}},
	})
	for _, tc := range []struct {
		port             uint16
		host, path, want string
	}{
		{80, "a.b", "/x", "a.b 1/x"},
		{80, "a.b", "/x/", "a.b 1/x/"},
		{80, "a.b", "/x/a", "a.b 2/x"},
		{80, "a.b", "/x/y", "a.b 2/x/y"},
		{80, "a.b", "/x/y/", "a.b 2/x/y"},
		{80, "a.b", "/x/yy", "a.b 2/x"},
		{80, "a.b", "/x/y/z/1/2/3", "a.b 2/x/y/z"},
		{80, "a.b", "/xx", ""},
		{80, "a.b", "/", ""},
		{80, "a.b", "/X", ""},
		{80, "root", "/", "root 2/"},
		{80, "root", "/any/thing", "root 2/"},
		{80, "root", "*", "root 0"},
		{80, "c.b", "/x", "*.b 0"},
		{80, "d.c.b", "/x", ""},
		{80, "b", "/x", ""},
		{80, ".b", "/x", ""},
		{80, "merge", "/x//y", "merge 2/x/y"},
		{80, "merge", "//x/e", "merge 1/x/e"},
		{80, "a.b", "/x//y", "a.b 2/x"},
		{80, "re", "/API/V2/x", `re 3(?i)^/api/v\d+`},
		{80, "re", "/api/x", "re 2/api"},
		{80, "re", "/e", "re 1/e"},
		{80, "re", "/f", "re 0"},
		{443, "two", "/one", "two 2/one"},
		{80, "two", "/other", "two 0"},
		{443, "a.b", "/x", ""},
		{81, "a.b", "/x", ""},
	} {
		got, found := match(table, model.ListenerID{Port: tc.port}, tc.host, tc.path)
		if got != tc.want || found != (tc.want != "") {
			t.Errorf("%d %s%s: got %q", tc.port, tc.host, tc.path, got)
		}
	}
}

// TestMatchAgreesWithTheSpecification compares random tables with a matcher that is
// written directly from the Kubernetes documentation of Ingress paths.
func TestMatchAgreesWithTheSpecification(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	segments := []string{"a", "b", "aa", ""}
	randomPath := func() string {
		p := ""
		for range 1 + r.IntN(5) {
			p += "/" + segments[r.IntN(len(segments))]
		}
		return p
	}
	for round := range 500 {
		var rules []model.Rule
		seen := map[string]bool{}
		for range r.IntN(12) {
			one := rule(model.PathKind(1+r.IntN(2)), randomPath())
			if one.Path.Kind == model.PrefixPath {
				one = rule(model.PrefixPath, "/"+strings.Trim(one.Path.Value, "/"))
			}
			if !seen[one.ID] {
				seen[one.ID] = true
				rules = append(rules, one)
			}
		}
		table := compile(t, []model.Host{{Name: "*", Listeners: port80, Blocks: []model.Block{{Rules: rules}}}})
		for range 50 {
			p := randomPath()
			got, _ := match(table, port80[0], "h", p)
			if want := bySpecification(rules, p); strings.TrimPrefix(got, "* ") != want {
				t.Fatalf("round %d: path %s: got %q, want %q among %v", round, p, got, want, rules)
			}
		}
	}
}

func bySpecification(rules []model.Rule, p string) string {
	best, bestLength, bestExact := "", -1, false
	for _, r := range rules {
		v, exact := r.Path.Value, r.Path.Kind == model.ExactPath
		matches := v == p
		if !exact {
			matches = v == "/" || v == p || strings.HasPrefix(p, v+"/")
		}
		if matches && (exact && !bestExact || exact == bestExact && len(v) > bestLength) {
			best, bestLength, bestExact = r.ID, len(v), exact
		}
	}
	return best
}

// manyRoutes returns 100,000 rules: a third on hosts of their own, a third on wildcard
// hosts, a third as paths of one host.
func manyRoutes() (all []model.Host, keys [][2][]byte) {
	const each = 33_334
	big := model.Host{Name: "big.example", Listeners: port80, Blocks: []model.Block{{}}}
	for i := range each {
		own := rule(model.PrefixPath, "/api")
		own.ID = fmt.Sprint("own", i)
		wild := rule(model.PrefixPath, "/")
		wild.ID = fmt.Sprint("wild", i)
		path := rule(model.PathKind(1+i%2), fmt.Sprintf("/tenant-%d/app/%x", i%977, i*2654435761))
		big.Blocks[0].Rules = append(big.Blocks[0].Rules, path)
		all = append(all,
			model.Host{Name: fmt.Sprintf("host-%d.example", i), Listeners: port80, Blocks: []model.Block{{Rules: []model.Rule{own}}}},
			model.Host{Name: fmt.Sprintf("*.zone-%d.example", i), Listeners: port80, Blocks: []model.Block{{Rules: []model.Rule{wild}}}})
		keys = append(keys,
			[2][]byte{fmt.Appendf(nil, "host-%d.example", i), []byte("/api/v1/things")},
			[2][]byte{fmt.Appendf(nil, "www.zone-%d.example", i), []byte("/")},
			[2][]byte{[]byte("big.example"), []byte(path.Path.Value)})
	}
	return append(all, big), keys
}

func onePath100k() (all []model.Host, keys [][2][]byte) {
	h := model.Host{Name: "big.example", Listeners: port80, Blocks: []model.Block{{}}}
	for i := range 100_000 {
		r := rule(model.PathKind(1+i%2), fmt.Sprintf("/tenant-%d/app/%x", i%977, i*2654435761))
		h.Blocks[0].Rules = append(h.Blocks[0].Rules, r)
		path := r.Path.Value
		if i%2 == 1 {
			path += "/deep/below/it"
		}
		keys = append(keys, [2][]byte{[]byte("big.example"), []byte(path)})
	}
	return []model.Host{h}, keys
}

func benchmarkMatch(b *testing.B, all []model.Host, keys [][2][]byte) {
	table := compile(b, all)
	r := rand.New(rand.NewPCG(3, 4))
	r.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	b.ReportAllocs()
	b.ResetTimer()
	var request policy.Request
	for i := range b.N {
		key := keys[i%len(keys)]
		request.Host, request.Path = key[0], key[1]
		if _, found := table.Match(port80[0], &request, nil); !found {
			b.Fatalf("%s%s not found", key[0], key[1])
		}
	}
}

func BenchmarkMatchMixed100k(b *testing.B) {
	all, keys := manyRoutes()
	benchmarkMatch(b, all, keys)
}

func BenchmarkMatchOneHost100k(b *testing.B) {
	all, keys := onePath100k()
	benchmarkMatch(b, all, keys)
}

func TestMatchDoesNotAllocate(t *testing.T) {
	all, keys := onePath100k()
	table := compile(t, all)
	i := 0
	var request policy.Request
	if n := testing.AllocsPerRun(1000, func() {
		request.Host, request.Path = keys[i][0], keys[i][1]
		table.Match(port80[0], &request, nil)
		i++
	}); n != 0 {
		t.Errorf("%v allocations a match", n)
	}
}
