package status

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func object(group, kind, namespace, name string) Object {
	return Object{Ref: Ref{Group: group, Kind: kind, Namespace: namespace, Name: name}}
}

func ok(condition string) Condition {
	return Condition{Type: condition, Status: True, Reason: condition}
}

// some returns the statuses of two dialects in the order of their text, and that text.
func some() (gateway, ingress []Object, text string) {
	class, edge, set := object("gateway", "GatewayClass", "", "windrose"), object("gateway", "Gateway", "infra", "edge"), object("gateway", "ListenerSet", "infra", "more")
	web, policy := object("gateway", "HTTPRoute", "shop", "web"), object("gateway", "BackendTLSPolicy", "shop", "secure")
	class.Conditions, class.Features = []Condition{ok("Accepted")}, []string{"Gateway"}
	sets := int32(1)
	edge.AttachedListenerSets, edge.Addresses = &sets, []Address{{IPAddress, "192.0.2.1"}, {Hostname, "edge.example.com"}}
	edge.Conditions = []Condition{ok("Accepted"), {Type: "Programmed", Status: Unknown, Reason: "Pending"}}
	edge.Listeners = []Listener{{
		Name: "http", AttachedRoutes: 2, Kinds: []GroupKind{{"gateway", "HTTPRoute"}, {"gateway", "GRPCRoute"}},
		Conditions: []Condition{{Type: "Conflicted", Status: False, Reason: "NoConflicts"}},
	}}
	set.Conditions = []Condition{ok("Accepted")}
	own, elsewhere := Ref{Group: "gateway", Kind: "Gateway", Name: "own"}, Ref{Group: "gateway", Kind: "ListenerSet", Namespace: "infra", Name: "more"}
	web.Parents = []Parent{
		{Ref: ParentRef{Ref: own, Section: "http", Port: 80}, Conditions: []Condition{{Type: "Accepted", Status: False, Reason: "NoMatchingParent"}}},
		{Ref: ParentRef{Ref: elsewhere}, Conditions: []Condition{ok("Accepted")}},
	}
	policy.Ancestors = []Parent{{Ref: ParentRef{Ref: own}, Conditions: []Condition{ok("Accepted")}}}

	shop, entry := object("networking", "Ingress", "shop", "web"), object("example", "Zebra", "shop", "web")
	shop.Addresses = []Address{{IPAddress, "192.0.2.2"}}
	entry.Conditions = []Condition{ok("Reconciled")}
	return []Object{class, edge, set, web, policy}, []Object{shop, entry}, `gatewayclass windrose Accepted=Accepted
gateway infra/edge address=192.0.2.1 address=edge.example.com sets=1 Accepted=Accepted Programmed=?Pending
listener infra/edge http attached=2 kinds=HTTPRoute,GRPCRoute Conflicted=!NoConflicts
listenerset infra/more Accepted=Accepted
ingress shop/web address=192.0.2.2
httproute shop/web parent=shop/own/http:80 Accepted=!NoMatchingParent
httproute shop/web parent=listenerset:infra/more Accepted=Accepted
backendtlspolicy shop/secure ancestor=shop/own Accepted=Accepted
zebra shop/web Reconciled=Reconciled
`
}

// TestMergeOfTwo: the order within the lists of two dialects does not change the List.
// Where they name no common object, neither does the order of the lists.
func TestMergeOfTwo(t *testing.T) {
	draw := rand.New(rand.NewPCG(1, 2))
	a, b, want := some()
	for range 100 {
		draw.Shuffle(len(a), func(i, j int) { a[i], a[j] = a[j], a[i] })
		draw.Shuffle(len(b), func(i, j int) { b[i], b[j] = b[j], b[i] })
		lists := [][]Object{a, b}
		draw.Shuffle(2, func(i, j int) { lists[i], lists[j] = lists[j], lists[i] })
		if diff := cmp.Diff(want, Merge(lists...).String()); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	}
}

// TestMergeJoins: the statuses of one object from two dialects become one Object, and
// neither of the two is changed.
func TestMergeJoins(t *testing.T) {
	first, second := object("gateway", "BackendTLSPolicy", "shop", "secure"), object("gateway", "BackendTLSPolicy", "shop", "secure")
	first.Conditions = slices.Grow([]Condition{ok("Accepted")}, 5)
	first.Ancestors = slices.Grow([]Parent{{Ref: ParentRef{Ref: Ref{Kind: "Gateway", Name: "edge"}}, Controller: "a"}}, 5)
	second.Generation = 3
	second.Conditions = []Condition{{Type: "Accepted", Status: False, Reason: "Never"}, ok("ResolvedRefs")}
	second.Ancestors = []Parent{{Ref: ParentRef{Ref: Ref{Kind: "Ingress", Name: "web"}}, Controller: "b"}}

	all := Merge([]Object{first}, []Object{second})
	want := "backendtlspolicy shop/secure Accepted=Accepted ResolvedRefs=ResolvedRefs\n" +
		"backendtlspolicy shop/secure ancestor=shop/edge\n" +
		"backendtlspolicy shop/secure ancestor=ingress:shop/web\n"
	if got := all.String(); got != want || len(all) != 1 || all[0].Generation != 3 {
		t.Errorf("generation %d:\n%s", all[0].Generation, got)
	}
	if spare := first.Conditions[:2][1]; spare != (Condition{}) {
		t.Errorf("the merge wrote %v into a dialect's list", spare)
	}
	if got := Merge([]Object{second}, []Object{first})[0].Conditions[0].Reason; got != "Never" {
		t.Errorf("what two say of one condition is %s, and not the first's", got)
	}
}

// TestJSON: an empty List is written as an empty list, and the fields of a reference are
// not nested.
func TestJSON(t *testing.T) {
	web := object("gateway.networking.k8s.io", "HTTPRoute", "shop", "web")
	web.Generation = 2
	web.Parents = []Parent{{Ref: ParentRef{Ref: Ref{Kind: "Gateway", Name: "edge"}, Section: "http"}, Controller: "c", Conditions: []Condition{ok("Accepted")}}}
	for _, tt := range []struct {
		list List
		want string
	}{
		{Merge(), `[]`},
		{Merge([]Object{web}), `[{"object":{"group":"gateway.networking.k8s.io","kind":"HTTPRoute","namespace":"shop","name":"web"},"generation":2,` +
			`"parents":[{"ref":{"kind":"Gateway","name":"edge","section":"http"},"controller":"c","conditions":[{"type":"Accepted","status":"True","reason":"Accepted"}]}]}]`},
	} {
		if got, err := json.Marshal(tt.list); err != nil || string(got) != tt.want {
			t.Errorf("%v\n%s\n%s", err, got, tt.want)
		}
	}
}
