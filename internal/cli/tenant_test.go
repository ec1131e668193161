package cli

import (
	"strings"
	"testing"
)

// TestOneTenantHoldsNobodyBack: a value that no proxy takes, in one tenant's
// route, closes that rule and leaves the changes of all others live.
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
