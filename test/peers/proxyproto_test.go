//go:build peers

package peers

import (
	"fmt"
	"os"
	"testing"

	"windrose.dev/windrose/bench/rig"
	"windrose.dev/windrose/internal/model"
)

// TestProxyProtocol: a HAProxy sends PROXY protocol headers to the gateway, in each
// version and with its TLS fields, and the gateway sends them to an nginx. The HAProxy
// also names the client in a header field, for comparison.
func TestProxyProtocol(t *testing.T) {
	r := newRig(t)
	free := ports(t, 4)
	nginx, plain, secure, admin := free[0], free[1], free[2], free[3]
	startNginx(t, r, fmt.Sprintf(`
	server {
		listen %s proxy_protocol;
		location / { default_type text/plain; return 200 "$proxy_protocol_addr:$proxy_protocol_port $http_x_real_ip $http_x_forwarded_proto\n$http_x_client $http_x_proto"; }
	}`, nginx), nginx)
	cert := must[rig.Certificate](t)(r.NewCertificate("shop.example.com"))
	for _, out := range []model.ProxyProtocol{model.ProxyV1, model.ProxyV2} {
		parts := rig.ForwardAll(rig.Backends{HTTP1: nginx}, cert).Parts
		for i := range parts.Config.Services {
			parts.Config.Services[i].ProxyProtocol = out
		}
		p := must[*rig.Process](t)(r.StartDataPlane(soon(t), rig.DataPlane{
			Command: "windrose-gateway", Snapshot: model.Freeze(parts), Plain: plain, Secure: secure, Admin: admin, Log: "off",
			Flags: []string{"--proxy-protocol-from", "127.0.0.0/8"}, Stdout: os.Stderr,
		}))
		for _, in := range []string{"send-proxy", "send-proxy-v2", "send-proxy-v2-ssl-cn", "send-proxy-v2 proxy-v2-options crc32c,unique-id,authority"} {
			front := ports(t, 1)[0]
			h := startHaproxy(t, r, fmt.Sprintf(`
frontend front
	bind %s
	unique-id-format %%[src]:%%[src_port]
	http-request set-header X-Client %%[src]:%%[src_port]
	http-request set-header X-Proto http
	default_backend back
backend back
	server one %s %s
`, front, plain, in), front)
			client := dial(t, front)
			for range 2 {
				answer := must[rig.Answer](t)(client.Get("/"))
				checkAnnounced(t, in, answer)
			}
			h.Stop()
		}
		p.Stop()
	}
}

// checkAnnounced compares what nginx learned with what HAProxy says.
func checkAnnounced(t *testing.T, in string, answer rig.Answer) {
	t.Helper()
	var learned, real, proto, said, speaks string
	if _, err := fmt.Sscanf(string(answer.Body), "%s %s %s\n%s %s", &learned, &real, &proto, &said, &speaks); err != nil {
		t.Fatalf("%s: %d %q: %v", in, answer.Status, answer.Body, err)
	}
	if learned != said || real != "127.0.0.1" || proto != speaks {
		t.Errorf("%s: %q", in, answer.Body)
	}
}
