package crd

import (
	"context"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apimachinery/pkg/runtime"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
)

const typicalRoute = `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop, namespace: shop}
spec:
  parentRefs: [{name: edge, namespace: infra, sectionName: https}]
  hostnames: [shop.example.com, www.shop.example.com]
  rules:
  - matches:
    - path: {type: PathPrefix, value: /cart}
      headers: [{name: x-version, value: two}]
    filters:
    - type: RequestHeaderModifier
      requestHeaderModifier: {set: [{name: x-route, value: cart}], remove: [x-debug]}
    backendRefs: [{name: cart-v1, port: 8080, weight: 90}, {name: cart-v2, port: 8080, weight: 10}]
    timeouts: {request: 10s, backendRequest: 2s}
  - backendRefs: [{name: front, port: 8080}]
`

// BenchmarkAdmit is what one HTTPRoute costs.
func BenchmarkAdmit(b *testing.B) {
	object := objectOf(b, typicalRoute)
	route := Find("gateway.networking.k8s.io/v1", "HTTPRoute")
	if problems := route.Admit(runtime.DeepCopyJSON(object), 100); len(problems) > 0 {
		b.Fatal(problems)
	}
	b.ReportAllocs()
	for b.Loop() {
		route.Admit(runtime.DeepCopyJSON(object), 100)
	}
}

// BenchmarkParts is where that time goes.
func BenchmarkParts(b *testing.B) {
	object := objectOf(b, typicalRoute)
	s := Find("gateway.networking.k8s.io/v1", "HTTPRoute").schema()
	defaulting.Default(object, s.structural)
	for _, part := range []struct {
		name string
		run  func()
	}{
		{"prune", func() { s.prune(object) }},
		{"default", func() { defaulting.Default(object, s.structural) }},
		{"schema", func() { validateSchema(s.openapi, object) }},
		{"lists", func() { listtype.ValidateListSetsAndMaps(nil, s.structural, object) }},
		{"rules", func() {
			budget := int64(celconfig.RuntimeCELCostBudget)
			s.rules.keeps(context.Background(), object, &budget)
		}},
		{"exact", func() {
			s.exact().Validate(context.Background(), nil, s.structural, object, nil, celconfig.RuntimeCELCostBudget)
		}},
	} {
		b.Run(part.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				part.run()
			}
		})
	}
}

// BenchmarkCompile is what the first HTTPRoute of a process costs.
func BenchmarkCompile(b *testing.B) {
	d := readDefinition("schemas/HTTPRoute.gateway.networking.k8s.io.json.gz")
	b.ReportAllocs()
	for b.Loop() {
		compile(d.Spec.Versions[0].parse())
	}
}
