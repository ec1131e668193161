package crd

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

const group = "gateway.networking.k8s.io"

// objectOf reads YAML as an API server does.
func objectOf(tb testing.TB, text string) map[string]any {
	tb.Helper()
	object := map[string]any{}
	if err := read(text, &object); err != nil {
		tb.Fatal(err)
	}
	return object
}

func read(text string, into *map[string]any) error {
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		return err
	}
	return utiljson.Unmarshal(raw, into)
}

// specOf makes an object of a kind in v1 from its spec.
func specOf(tb testing.TB, kind, spec string) map[string]any {
	tb.Helper()
	return objectOf(tb, fmt.Sprintf("apiVersion: %s/v1\nkind: %s\nmetadata: {name: x}\nspec: %s\n", group, kind, spec))
}

// allKinds returns every served version of every kind.
func allKinds() []*Kind {
	var all []*Kind
	for name := range catalog() {
		for _, version := range Versions(name.group, name.kind) {
			all = append(all, Find(version, name.kind))
		}
	}
	slices.SortFunc(all, func(a, b *Kind) int { return strings.Compare(a.Name+a.APIVersion, b.Name+b.APIVersion) })
	return all
}

func TestServedVersions(t *testing.T) {
	var got []string
	for _, k := range allKinds() {
		version := k.Name + " " + strings.TrimPrefix(k.APIVersion, group+"/")
		if k.Storage {
			version += " stored"
		}
		got = append(got, version)
	}
	want := []string{
		"BackendTLSPolicy v1 stored", "BackendTLSPolicy v1alpha3", "GRPCRoute v1 stored", "GatewayClass v1 stored", "GatewayClass v1beta1",
		"Gateway v1 stored", "Gateway v1beta1", "HTTPRoute v1 stored", "HTTPRoute v1beta1", "ListenerSet v1 stored",
		"ReferenceGrant v1", "ReferenceGrant v1beta1 stored", "TCPRoute v1 stored", "TCPRoute v1alpha2",
		"TLSRoute v1 stored", "TLSRoute v1alpha2", "TLSRoute v1alpha3", "UDPRoute v1 stored", "UDPRoute v1alpha2",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if Find(group+"/v1alpha1", "HTTPRoute") != nil || Find("example.com/v1", "HTTPRoute") != nil || Find("", "") != nil {
		t.Error("a kind was found that is not served")
	}
}

// TestEveryRuleIsJudged: no definition has a rule that takes the slow way for
// good objects too, and none is lost on the fast way.
func TestEveryRuleIsJudged(t *testing.T) {
	for _, k := range allKinds() {
		s := k.schema()
		if !s.judged {
			t.Errorf("%s %s: rules cannot be judged", k.APIVersion, k.Name)
		}
		if fast, exact := s.rules.count(), countExact(reflect.ValueOf(s.exact())); fast != exact {
			t.Errorf("%s %s: %d rules on the fast way, %d in the API server's validator", k.APIVersion, k.Name, fast, exact)
		}
	}
}

// count returns the number of rules.
func (r *rules) count() int {
	if r == nil {
		return 0
	}
	n := len(r.programs) + r.items.count() + r.additional.count()
	for _, property := range r.properties {
		n += property.count()
	}
	return n
}

// countExact counts the rules of the API server's validator that judge an
// object without an older version. They are not exported.
func countExact(v reflect.Value) int {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return 0
		}
		return countExact(v.Elem())
	case reflect.Map:
		n := 0
		for _, key := range v.MapKeys() {
			n += countExact(v.MapIndex(key))
		}
		return n
	}
	n := 0
	for compiled := range sequence(v.FieldByName("compiledRules")) {
		if !compiled.FieldByName("UsesOldSelf").Bool() {
			n++
		}
	}
	for allOf := range sequence(v.FieldByName("AllOfValidators")) {
		n += countExact(allOf)
	}
	return n + countExact(v.FieldByName("Items")) + countExact(v.FieldByName("AdditionalProperties")) + countExact(v.FieldByName("Properties"))
}

func sequence(list reflect.Value) func(yield func(reflect.Value) bool) {
	return func(yield func(reflect.Value) bool) {
		for i := range list.Len() {
			if !yield(list.Index(i)) {
				return
			}
		}
	}
}

// TestRefuses: what a cluster refuses, in its words. The rest of what users of
// the Gateway API get wrong is in the goldens of the package above.
func TestRefuses(t *testing.T) {
	for _, test := range []struct {
		name, kind, spec string
		want             []string // "path: message"
	}{
		{"nothing", "HTTPRoute", `{}`, nil},
		{
			"a redirect with backends", "HTTPRoute", `{rules: [{filters: [{type: RequestRedirect, requestRedirect: {}}], backendRefs: [{name: a, port: 1}]}]}`,
			[]string{"spec.rules[0]: Invalid value: RequestRedirect filter must not be used together with backendRefs"},
		},
		{
			"a long value is cut", "HTTPRoute", `{hostnames: ["` + strings.Repeat("A", 100) + `"]}`,
			[]string{`spec.hostnames[0]: Invalid value: "` + strings.Repeat("A", 60) + `…": spec.hostnames[0] in body should match '^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$'`},
		},
		{
			"a rule within an item of a list in a list", "HTTPRoute", `{rules: [{}, {backendRefs: [{name: a, port: 1, filters: [{type: CORS}]}]}]}`,
			[]string{"spec.rules[1].backendRefs[0].filters[0]: Invalid value: filter.cors must be specified for CORS filter.type"},
		},
		{
			"unknown fields at any depth", "Gateway", `{gatewayClassName: a, listeners: [{name: a, port: 1, protocol: HTTP, hots: a}], extra: {a: 1}}`,
			[]string{`spec.extra: unknown field "spec.extra"`, `spec.listeners[0].hots: unknown field "spec.listeners[0].hots"`},
		},
		{
			"addresses", "Gateway", `{gatewayClassName: a, listeners: [{name: a, port: 1, protocol: HTTP}], addresses: [{type: IPAddress, value: a}]}`,
			[]string{
				`spec.addresses[0]: Invalid value: "": "spec.addresses[0]" must validate one and only one schema (oneOf). Found none valid`,
				`spec.addresses[0].value: Invalid value: "": "spec.addresses[0].value" must validate at least one schema (anyOf)`,
				`spec.addresses[0].value: Invalid value: "a": spec.addresses[0].value in body must be of type ipv4: "a"`,
			},
		},
		{"a set's items", "GRPCRoute", `{hostnames: [a.b, a.b]}`, nil}, // atomic: no set
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, p := range Find(group+"/v1", test.kind).Admit(specOf(t, test.kind, test.spec), 10) {
				got = append(got, p.Path+": "+p.Message)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestCompletes: defaults come, null is nothing, the client's status goes.
func TestCompletes(t *testing.T) {
	object := objectOf(t, `
apiVersion: gateway.networking.k8s.io/v1alpha2
kind: TLSRoute
metadata: {name: x}
spec:
  hostnames: ~
  parentRefs: [{name: edge}]
  rules: [{name: ~, backendRefs: [{name: db, port: 5432, weight: ~}]}]
status: {parents: [{controllerName: mine}]}
`)
	if problems := Find(group+"/v1alpha2", "TLSRoute").Admit(object, 10); len(problems) > 0 {
		t.Fatal(problems)
	}
	Find(group+"/v1", "TLSRoute").Convert(object)
	want := objectOf(t, `
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {name: x}
spec:
  parentRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: edge}]
  rules: [{backendRefs: [{group: "", kind: Service, name: db, port: 5432, weight: 1}]}]
`)
	if diff := cmp.Diff(want, object); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestTooLarge: size is checked before any other work.
func TestTooLarge(t *testing.T) {
	object := specOf(t, "HTTPRoute", `{hostnames: [x]}`)
	long := strings.Repeat("x", MaxObjectBytes/2)
	object["spec"].(map[string]any)["hostnames"] = []any{long, long}
	problems := Find(group+"/v1", "HTTPRoute").Admit(object, 10)
	if len(problems) != 1 || problems[0].Type != TooLarge {
		t.Error(problems)
	}
}

// TestMost: the number of problems is bounded, and which are kept does not
// change from run to run.
func TestMost(t *testing.T) {
	first := ""
	for range 10 {
		problems := Find(group+"/v1", "HTTPRoute").Admit(specOf(t, "HTTPRoute", `{hostnames: [A, B, C, D, E], a: 1, b: 2}`), 3)
		got := fmt.Sprint(problems)
		if first == "" {
			first = got
		}
		if len(problems) != 3 || got != first {
			t.Fatalf("%s, then %s", first, got)
		}
	}
}

// TestConcurrentFirstUse: many may ask for a kind that nobody has used.
func TestConcurrentFirstUse(t *testing.T) {
	d := readDefinition("schemas/TLSRoute." + group + ".json.gz")
	kinds := kindsOf(d)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if problems := kinds["v1"].Admit(specOf(t, "TLSRoute", `{hostnames: [a.b], rules: [{backendRefs: [{name: a, port: 1}]}]}`), 10); len(problems) > 0 {
				t.Error(problems)
			}
		})
	}
	all.Wait()
}

var fuzzSeeds = []string{
	typicalRoute,
	`{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, spec: {rules: [{filters: [{type: RequestRedirect, requestRedirect: {}}], backendRefs: [{name: a, port: 1}]}]}}`,
	`{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, spec: {rules: [{filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}], timeouts: {request: 1s, backendRequest: 2s}}], parentRefs: [{name: a}, {name: a}]}}`,
	`{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, spec: {gatewayClassName: a, listeners: [{name: a, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: a}]}}, {name: b, port: 80, protocol: HTTP}], addresses: [{value: 10.0.0.1}]}}`,
	`{apiVersion: gateway.networking.k8s.io/v1beta1, kind: GatewayClass, spec: {controllerName: a.b/c}}`,
	`{apiVersion: gateway.networking.k8s.io/v1, kind: ListenerSet, spec: {parentRef: {name: a}, listeners: [{name: a, port: 80, protocol: HTTP}]}}`,
	`{apiVersion: gateway.networking.k8s.io/v1, kind: GRPCRoute, spec: {rules: [{matches: [{method: {service: a.B, method: C}}], backendRefs: [{name: a, port: 1}]}]}}`,
	`{apiVersion: gateway.networking.k8s.io/v1alpha2, kind: TLSRoute, spec: {rules: [{backendRefs: [{name: a, port: 1}]}]}}`,
	`{apiVersion: gateway.networking.k8s.io/v1, kind: TCPRoute, spec: {rules: [{backendRefs: [{name: a, port: 1}]}]}}`,
	`{apiVersion: gateway.networking.k8s.io/v1, kind: BackendTLSPolicy, spec: {targetRefs: [{group: "", kind: Service, name: a}], validation: {hostname: a, wellKnownCACertificates: System}}}`,
	`{apiVersion: gateway.networking.k8s.io/v1beta1, kind: ReferenceGrant, spec: {from: [{group: a, kind: B, namespace: c}], to: [{group: "", kind: D}]}}`,
}

// FuzzAdmit changes objects in random places: nothing panics, the fast judge of
// rules agrees with the API server's validator, and an object that was
// admitted stays as it is when it is admitted again.
func FuzzAdmit(f *testing.F) {
	for _, seed := range fuzzSeeds {
		f.Add(seed, []byte{})
		f.Add(seed, []byte("change some of it, and then some more"))
	}
	f.Fuzz(func(t *testing.T, text string, changes []byte) {
		object := map[string]any{}
		if len(text) > 16<<10 || read(text, &object) != nil {
			return
		}
		version, _ := object["apiVersion"].(string)
		name, _ := object["kind"].(string)
		kind := Find(version, name)
		if kind == nil {
			return
		}
		(&changer{choices: changes}).change(object)
		problems := kind.Admit(object, 100)
		if len(problems) > 0 {
			compareJudges(t, kind.schema(), object)
			return
		}
		again := runtime.DeepCopyJSON(object)
		if problems := kind.Admit(again, 100); len(problems) > 0 || !cmp.Equal(object, again) {
			t.Errorf("admitted, then %v\n%s", problems, cmp.Diff(object, again))
		}
		compareJudges(t, kind.schema(), object)
	})
}

func compareJudges(t *testing.T, s *compiledSchema, object map[string]any) {
	budget := int64(celconfig.RuntimeCELCostBudget)
	keeps := s.rules.keeps(context.Background(), object, &budget)
	errs, left := s.exact().Validate(context.Background(), nil, s.structural, object, nil, celconfig.RuntimeCELCostBudget)
	if keeps != (len(errs) == 0) || keeps && budget != left {
		t.Errorf("fast: %v with %d left; exact: %v with %d left", keeps, budget, errs, left)
	}
}

// changer changes an object as its choices say.
type changer struct{ choices []byte }

func (c *changer) next() int {
	if len(c.choices) == 0 {
		return 255
	}
	choice := c.choices[0]
	c.choices = c.choices[1:]
	return int(choice)
}

func (c *changer) change(value any) any {
	switch value := value.(type) {
	case map[string]any:
		keys := make([]string, 0, len(value))
		for key := range value {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		for _, key := range keys {
			if key == "apiVersion" || key == "kind" {
				continue
			}
			switch choice := c.next(); {
			case choice < 16:
				delete(value, key)
			case choice < 24:
				value[keys[choice%len(keys)]] = runtime.DeepCopyJSONValue(value[key])
			default:
				value[key] = c.change(value[key])
			}
		}
	case []any:
		for i := range value {
			value[i] = c.change(value[i])
		}
		switch choice := c.next(); {
		case choice < 32 && len(value) > 0:
			return append(value, runtime.DeepCopyJSONValue(value[choice%len(value)]))
		case choice < 48:
			return []any{}
		}
	default:
		others := []any{nil, "", "/", "a.b", "Service", "HTTPS", "TLS", "Passthrough", int64(0), int64(80), int64(-1), 1.5, true, []any{}, map[string]any{}, strings.Repeat("x", 300)}
		if choice := c.next(); choice < len(others) {
			return others[choice]
		}
	}
	return value
}

// TestHostileObjectsEnd: objects that break everything, or as much as the size
// lets them, are refused and do not keep the program busy. Without the bound
// on errors, the second takes hours.
func TestHostileObjectsEnd(t *testing.T) {
	labels := map[string]any{}
	for i := range 100_000 {
		labels[fmt.Sprint("k.", i)] = "!"
	}
	for _, test := range []struct {
		kind, first string
		spec        map[string]any
	}{
		{"HTTPRoute", "spec.hostnames: Too many: 200000: must have at most 16 items", map[string]any{"hostnames": repeated("A", 200_000)}},
		{"HTTPRoute", "spec.parentRefs: Too many: 100000: must have at most 32 items", map[string]any{"parentRefs": repeated(map[string]any{"a": "b"}, 100_000)}},
		{"Gateway", "spec.infrastructure.labels: Too many: 100000: must have at most 8 items", map[string]any{
			"gatewayClassName": "a",
			"listeners":        repeated(map[string]any{"name": "a", "port": int64(80), "protocol": "HTTP"}, 1),
			"infrastructure":   map[string]any{"labels": labels},
		}},
	} {
		problems := Find(group+"/v1", test.kind).Admit(map[string]any{"metadata": map[string]any{"name": "x"}, "spec": test.spec}, 100)
		if len(problems) == 0 || problems[0].Path+": "+problems[0].Message != test.first {
			t.Errorf("%s: %+v", test.kind, problems[:min(len(problems), 1)])
		}
	}
}

func repeated(value any, n int) []any {
	list := make([]any, n)
	for i := range list {
		list[i] = runtime.DeepCopyJSONValue(value)
	}
	return list
}
