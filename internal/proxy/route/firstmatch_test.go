package route

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"windrose.dev/windrose/internal/identity"
	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/policy"
)

// randomRules returns rules with all kinds of paths, some of them with a condition.
func randomRules(r *rand.Rand, n int) (all []model.Rule) {
	paths := []string{"/", "/a", "/a/b", "/ab", "/b", "/a/", "/a/b/c"}
	prefixes := []string{"/", "/a", "/a/b", "/ab", "/b", "/a/b/c"}
	for i := range n {
		one := model.Rule{ID: fmt.Sprint(i), Respond: &model.Respond{Status: 204}}
		switch kind := model.PathKind(r.IntN(5)); kind {
		case model.AnyPath:
		case model.PrefixPath:
			one.Path = model.PathMatch{Kind: kind, Value: pick(r, prefixes...)}
		case model.RegexPath:
			one.Path = model.PathMatch{Kind: kind, Value: pick(r, "^/a", "b$", "^/a/[bc]", "^$")}
		default:
			one.Path = model.PathMatch{Kind: kind, Value: pick(r, paths...)}
		}
		if r.IntN(2) == 0 {
			one.When = &model.Predicate{Test: model.MethodIs, Value: pick(r, "GET", "PUT", "POST")}
		}
		all = append(all, one)
	}
	return all
}

// TestMatchTakesTheFirst compares random blocks of both orders with a loop over the
// rules in the order of the model, which is by specificity in blocks of that order.
func TestMatchTakesTheFirst(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for round := range 2000 {
		order := model.Order(r.IntN(2))
		frozen := model.Freeze(model.Parts{Config: model.Config{Hosts: []model.Host{{
			Name: "*", Listeners: port80, Blocks: []model.Block{{Order: order, Rules: randomRules(r, r.IntN(20))}},
		}}}})
		rules := frozen.Config.Hosts[0].Blocks[0].Rules
		table := compile(t, frozen.Config.Hosts)
		for range 20 {
			path, method := pick(r, "/", "/a", "/a/b", "/ab", "/abc", "/b", "/a/", "/a/c", "/a/b/c", "/a/b/cd", "/x"), pick(r, "GET", "PUT", "HEAD")
			got, _ := table.Match(port80[0], &policy.Request{Host: []byte("h"), Path: []byte(path), Method: []byte(method)}, nil)
			want := ""
			for i := range rules {
				match, err := matcher(rules[i].Path)
				if err != nil {
					t.Fatal(err)
				}
				if match([]byte(path)) && (rules[i].When == nil || rules[i].When.Value == method) {
					want = "* " + rules[i].ID
					break
				}
			}
			if got != want {
				t.Fatalf("round %d: %s %s: got %q, want %q of %+v", round, method, path, got, want, rules)
			}
		}
	}
}

// firstMatch10k returns a first-match block of 10,000 rules with all kinds of paths
// that are looked up, each with a condition.
func firstMatch10k() (all []model.Host, requests []*policy.Request) {
	const rules = 10_000
	host := model.Host{Name: "*", Listeners: port80, Blocks: []model.Block{{Order: model.FirstMatch}}}
	kinds := []model.PathKind{model.ExactPath, model.PrefixPath, model.RawPrefixPath}
	for i := range rules {
		path := fmt.Sprintf("/tenant-%d/app-%d", i%97, i)
		host.Blocks[0].Rules = append(host.Blocks[0].Rules, model.Rule{
			ID: fmt.Sprint(i), Path: model.PathMatch{Kind: kinds[i%len(kinds)], Value: path},
			When: &model.Predicate{Test: model.MethodIs, Value: "GET"}, Respond: &model.Respond{Status: 204},
		})
		requests = append(requests, &policy.Request{Host: []byte("h"), Path: []byte(path), Method: []byte("GET")})
	}
	return []model.Host{host}, requests
}

// BenchmarkFirstMatch10k looks up rules in a first-match block of 10,000 rules.
func BenchmarkFirstMatch10k(b *testing.B) {
	all, requests := firstMatch10k()
	table := compile(b, all)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, found := table.Match(port80[0], requests[i*7919%len(requests)], nil); !found {
			b.Fatal("no rule")
		}
	}
}

// TestFirstMatchDoesNotAllocate also has conditions on the connection.
func TestFirstMatchDoesNotAllocate(t *testing.T) {
	host := model.Host{Name: "*", Listeners: port80, Blocks: []model.Block{{Order: model.FirstMatch, Rules: []model.Rule{
		{ID: "0", Path: model.PathMatch{Kind: model.RawPrefixPath, Value: "/a"}, When: &model.Predicate{Test: model.SourceIn, Value: "192.0.2.0/24"}},
		{ID: "1", Path: model.PathMatch{Kind: model.RawPrefixPath, Value: "/a"}, When: &model.Predicate{Test: model.ClientIn, Value: "192.0.2.0/24"}},
		{ID: "2", Path: model.PathMatch{Kind: model.RawPrefixPath, Value: "/"}, When: &model.Predicate{Test: model.PeerIs, Name: "namespace", Value: "shop"}},
	}}}}
	table := compile(t, []model.Host{host})
	in := policy.Inbound{
		Addr: netip.MustParseAddrPort("10.0.0.1:5"), Identity: &identity.Peer{Hash: "x", ID: identity.ID{Namespace: "shop"}},
	}
	request := request("GET", "h", "/ab", "X-Forwarded-For: 198.51.100.7, 10.0.0.2")
	request.From, request.Trusted = &in, true
	run := func() {
		if got, _ := table.Match(port80[0], request, nil); got != "* 2" {
			t.Fatal(got)
		}
	}
	if n := leastAllocs(run); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
