package upstream_test

import (
	"testing"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/upstream"
)

// TestSameMaterial changes one Secret or bundle of a Snapshot: what a service over TLS is
// reached by is another then, and what listeners show to clients is not.
func TestSameMaterial(t *testing.T) {
	of := func(changed string, services ...model.Service) *model.Snapshot {
		p := model.Parts{Config: model.Config{Services: services, Listeners: []model.Listener{
			{ID: model.ListenerID{Port: 80}},
			{ID: model.ListenerID{Port: 443}, Protocol: model.HTTPS, BackendCertificate: "ns/shown", Certificates: []model.Certificate{{Host: "*", Secret: "ns/server"}}},
		}}}
		for _, name := range []string{"ns/own", "ns/shown", "ns/server"} {
			p.Secrets = append(p.Secrets, model.Secret{Name: name, Digest: name})
			if name == changed {
				p.Secrets[len(p.Secrets)-1].Digest = "another"
			}
		}
		for _, name := range []string{"configmap/ns/backends", "configmap/ns/clients"} {
			p.Bundles = append(p.Bundles, model.Bundle{Name: name, Digest: name})
			if name == changed {
				p.Bundles[len(p.Bundles)-1].Digest = "another"
			}
		}
		return model.Freeze(p)
	}
	plain := model.Service{ID: model.ParseServiceID("a")}
	secure := model.Service{ID: model.ParseServiceID("b"), TLS: &model.UpstreamTLS{Bundles: []string{"configmap/ns/backends"}, Certificate: "ns/own"}}
	for changed, another := range map[string]bool{
		"": false, "ns/own": true, "ns/shown": true, "ns/server": false, "configmap/ns/backends": true, "configmap/ns/clients": false,
	} {
		if got := upstream.SameMaterial(of(changed, plain, secure), of("", plain, secure)); got == another {
			t.Errorf("%q changed: the same: %t", changed, got)
		}
		if !upstream.SameMaterial(of(changed, plain), of("", plain)) {
			t.Errorf("%q changed: another, without a service over TLS", changed)
		}
	}
}
