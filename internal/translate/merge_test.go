package translate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source/dir"
	"windrose.dev/windrose/internal/translate/fragment"
	"windrose.dev/windrose/internal/translate/secret"
	"windrose.dev/windrose/internal/translate/status"
)

// answering returns a block with one rule that responds.
func answering(dialect, host string) *model.Block {
	return &model.Block{Dialect: dialect, Rules: []model.Rule{{
		ID: dialect + "/" + host, Respond: &model.Respond{Status: 200, Outcome: reason.Answered},
	}}}
}

// dialectOf returns a Fragment with hosts on ports 80 and 443.
func dialectOf(name string, hosts ...string) owned {
	id80, id443 := model.ListenerID{Port: 80}, model.ListenerID{Port: 443}
	o := owned{dialect: dialect{owner: "a " + name, owners: name + "s"}}
	o.Origins = map[string]reason.Origin{}
	o.Listeners = []fragment.Listener{{Listener: model.Listener{ID: id80}}, {Listener: model.Listener{ID: id443, Protocol: model.HTTPS}}}
	for _, host := range hosts {
		block := answering(name, host)
		o.Hosts = append(o.Hosts, fragment.Host{Listeners: []model.ListenerID{id80, id443}, Name: host, Block: block})
		o.Origins[block.Rules[0].ID] = reason.Origin{Kind: name, Name: host, File: name + ".yaml", Line: 1}
	}
	return o
}

func mergedOf(all []owned, closeUnsound bool) (*model.Snapshot, []reason.Report) {
	r := mergeAll(all, closeUnsound)
	return r.Snapshot, r.Reports
}

func mergeAll(all []owned, closeUnsound bool) Result {
	set := dir.NewLoader(dir.Config{}).Load()
	_, pairs := secret.Apart(set)
	return merge(set, pairs, all, closeUnsound)
}

// TestStatusesOfAll: the merge has the statuses of all dialects, and joins those of one
// object.
func TestStatusesOfAll(t *testing.T) {
	first, second := dialectOf("Alpha"), dialectOf("Beta")
	said := func(kind string, condition string) status.Object {
		return status.Object{Ref: status.Ref{Kind: kind, Name: "a"}, Conditions: []status.Condition{{Type: condition, Status: status.True, Reason: "Yes"}}}
	}
	first.Status = []status.Object{said("Service", "Bound"), said("Gateway", "Accepted")}
	second.Status = []status.Object{said("Service", "Watched"), said("Ingress", "Served")}
	want := "gateway a Accepted=Yes\ningress a Served=Yes\nservice a Bound=Yes Watched=Yes\n"
	if got := mergeAll([]owned{first, second}, false).Status.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestMergeOfThree: the merge knows no dialect. If three Fragments have the same host,
// the result is one host with their blocks in order, and each overlap is reported. A
// request that the more specific host of an earlier Fragment does not match goes to a
// later one.
func TestMergeOfThree(t *testing.T) {
	first, second, third := dialectOf("Alpha", "a.example.com", "only.example.com"), dialectOf("Beta", "a.example.com", "*.example.com"), dialectOf("Gamma", "a.example.com", "*")
	third.L4 = []model.L4Route{
		{ID: "Gamma/raw", Listener: model.ListenerID{Port: 443}, Name: "raw.example.com", Respond: &model.Respond{Status: 503, Outcome: reason.Closed}},
		{ID: "Gamma/a", Listener: model.ListenerID{Port: 443}, Name: "a.example.com", Respond: &model.Respond{Status: 503, Outcome: reason.Closed}},
	}
	second.Listeners[1].ClientAuth = &model.ClientAuth{Mode: model.RequestCertificate, Bundles: []string{"ca"}}
	second.Certificates = []fragment.Certificate{{Listener: model.ListenerID{Port: 443}, Host: "a.example.com", Origin: reason.Origin{Kind: "Beta", Name: "a"}}}
	snapshot, reports := mergedOf([]owned{first, second, third}, false)
	text := model.Format(snapshot)
	for _, want := range []string{
		"host a.example.com 443 fallback\nblock Alpha by-specificity\nrule Alpha/a.example.com any: respond=200:answered\nblock Beta by-specificity\nrule Beta/a.example.com any: respond=200:answered\nblock Gamma by-specificity\n",
		"host only.example.com 80,443 fallback\n",
		"host *.example.com 80,443 fallback\n",
		"host * 80,443\n",
		"l4-route Gamma/raw 443 name=raw.example.com",
		"listener 443 https",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "l4-route Gamma/a") {
		t.Error("a route of layer 4 took what an earlier dialect has")
	}
	var said []string
	for _, r := range reports {
		said = append(said, r.Message)
	}
	for _, want := range []string{
		"host a.example.com on port 80 belongs to Alpha a.example.com first, Alpha.yaml:1",
		"host a.example.com on port 443 belongs to Alpha a.example.com first, Alpha.yaml:1",
		"a Beta that shares port 443 with Alphas asks clients for certificates: those of the Alphas need them too",
	} {
		if !slices.Contains(said, want) {
			t.Errorf("no report %q among\n%s", want, strings.Join(said, "\n"))
		}
	}
}

// TestShuffledFragments: the order within Fragments does not change the Snapshot. Where
// they do not overlap, neither does the order of the Fragments.
func TestShuffledFragments(t *testing.T) {
	draw := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var all []owned
		for d := range 2 + draw.IntN(3) {
			var hosts []string
			for i := range 1 + draw.IntN(6) {
				hosts = append(hosts, fmt.Sprintf("h%d.d%d.example.com", i, d))
			}
			o := dialectOf(fmt.Sprintf("D%d", d), hosts...)
			o.L4 = []model.L4Route{{ID: fmt.Sprintf("raw%d", d), Listener: model.ListenerID{Port: 443}, Name: fmt.Sprintf("raw.d%d.example.com", d), Respond: &model.Respond{Status: 503, Outcome: reason.Closed}}}
			all = append(all, o)
		}
		want, _ := mergedOf(all, true)
		for range 5 {
			draw.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			for _, o := range all {
				draw.Shuffle(len(o.Hosts), func(i, j int) { o.Hosts[i], o.Hosts[j] = o.Hosts[j], o.Hosts[i] })
				draw.Shuffle(len(o.Listeners), func(i, j int) { o.Listeners[i], o.Listeners[j] = o.Listeners[j], o.Listeners[i] })
			}
			if got, _ := mergedOf(all, true); got.Root != want.Root {
				t.Fatalf("%s\nis not\n%s", model.Format(got), model.Format(want))
			}
		}
	}
}
