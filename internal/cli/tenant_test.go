package cli

import (
	"strings"
	"testing"
)

// TestOneTenantHoldsNobodyBack: a value in one tenant's route that no proxy accepts
// closes that rule, and the changes of all other tenants go live.
func TestOneTenantHoldsNobodyBack(t *testing.T) {
	s := newSite(t)
	s.save("ingress.yaml", "# nothing\n")
	s.save("gateway.yaml", gatewayResources)
	s.save("grant.yaml", gatewayGrant)
	s.save("secret.yaml", secretFor(t, 1))
	s.save("odd.yaml", `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: odd, namespace: shop}
spec:
  parentRefs: [{name: edge}]
  hostnames: [odd.localhost]
  rules: [{filters: [{type: RequestRedirect, requestRedirect: {path: {type: ReplaceFullPath, replaceFullPath: "/login?next=x"}}}]}]
`)
	s.run()
	s.says("RuleInvalid")
	ask := func(host string) func(status int) bool {
		return func(status int) bool { return s.hostStatus(host) == status }
	}
	if odd := ask("odd.localhost"); !odd(503) {
		t.Error("the odd route is not closed")
	}
	moved := strings.ReplaceAll(gatewayResources, "moving.localhost", "moved.localhost")
	s.save("gateway.yaml", moved)
	s.eventually("the change of another route", func() bool { return ask("moved.localhost")(200) })
}
