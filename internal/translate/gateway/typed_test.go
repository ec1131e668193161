package gateway

import (
	"encoding/json"
	"reflect"
	"testing"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/translate/status"
)

// TestTyped: a List converts to statuses that an API server accepts: conditions have
// their generation, empty lists are present, and unset fields of references are absent.
func TestTyped(t *testing.T) {
	edge, web := source.Name{Namespace: "infra", Name: "edge"}, source.Name{Namespace: "shop", Name: "web"}
	accepted := []status.Condition{{Type: "Accepted", Status: status.False, Reason: "Invalid", Message: "why"}}
	section, port := gatewayv1.SectionName("http"), gatewayv1.PortNumber(80)
	got := Typed(status.Merge([]status.Object{
		{Ref: refOf("GatewayClass", source.Name{Name: "ours"}), Features: []string{"Gateway"}},
		{
			Ref: refOf("Gateway", edge), Generation: 3, Conditions: accepted, Addresses: []status.Address{{Type: status.IPAddress, Value: "192.0.2.1"}},
			Listeners: []status.Listener{{Name: "http", AttachedRoutes: 1, Conditions: accepted}},
		},
		{Ref: refOf("HTTPRoute", web), Parents: []status.Parent{
			{Ref: parentRef(gatewayv1.ParentReference{Name: "edge", SectionName: &section, Port: &port}), Controller: "c"},
		}},
		{Ref: refOf("BackendTLSPolicy", web), Ancestors: []status.Parent{{Ref: status.ParentRef{Ref: refOf("Gateway", edge)}}}},
		{Ref: status.Ref{Group: "networking.istio.io", Kind: "Gateway", Name: "theirs"}, Conditions: accepted},
	}))
	for _, tt := range []struct {
		what any
		want string
	}{
		{got.GatewayClasses, `{"ours":{"supportedFeatures":[{"name":"Gateway"}]}}`},
		{got.Gateways, `{"infra/edge":{"addresses":[{"type":"IPAddress","value":"192.0.2.1"}],` +
			`"conditions":[{"type":"Accepted","status":"False","observedGeneration":3,"lastTransitionTime":null,"reason":"Invalid","message":"why"}],` +
			`"listeners":[{"name":"http","supportedKinds":[],"attachedRoutes":1,` +
			`"conditions":[{"type":"Accepted","status":"False","observedGeneration":3,"lastTransitionTime":null,"reason":"Invalid","message":"why"}]}]}}`},
		{got.Parents[refOf("HTTPRoute", web)], `[{"parentRef":{"group":"gateway.networking.k8s.io","kind":"Gateway","name":"edge","sectionName":"http","port":80},"controllerName":"c"}]`},
		{got.Ancestors[refOf("BackendTLSPolicy", web)], `[{"ancestorRef":{"group":"gateway.networking.k8s.io","kind":"Gateway","namespace":"infra","name":"edge"},"controllerName":""}]`},
	} {
		if text, err := json.Marshal(tt.what); err != nil || !equalJSON(t, string(text), tt.want) {
			t.Errorf("%v\n%s\n%s", err, text, tt.want)
		}
	}
	if len(got.ListenerSets) != 0 {
		t.Errorf("%v", got.ListenerSets)
	}
}

func equalJSON(t *testing.T, a, b string) bool {
	var x, y any
	if err := json.Unmarshal([]byte(a), &x); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(b), &y); err != nil {
		t.Fatal(err)
	}
	return reflect.DeepEqual(x, y)
}
