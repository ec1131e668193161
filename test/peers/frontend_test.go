//go:build peers

package peers

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"windrose.dev/windrose/bench/rig"
	"windrose.dev/windrose/internal/standalone"
)

// frontends are proxies in front of the gateway that forward the client's address.
var frontends = []struct {
	name  string
	start func(t *testing.T, r *rig.Rig, listen, gateway string)
}{
	{"nginx", nginxFront},
	{"haproxy", haproxyFront},
}

func nginxFront(t *testing.T, r *rig.Rig, listen, gateway string) {
	startNginx(t, r, fmt.Sprintf(`
	map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
	upstream gateway { server %[2]s; keepalive 32; }
	server {
		listen %[1]s;
		location / {
			proxy_pass http://gateway;
			proxy_http_version 1.1;
			proxy_set_header Host $host;
			proxy_set_header Upgrade $http_upgrade;
			proxy_set_header Connection $connection_upgrade;
			proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
			proxy_set_header X-Forwarded-Proto https;
		}
	}`, listen, gateway), listen)
}

func haproxyFront(t *testing.T, r *rig.Rig, listen, gateway string) {
	startHaproxy(t, r, fmt.Sprintf(`
frontend front
	bind %s
	option forwardfor
	http-request set-header X-Forwarded-Proto https
	default_backend gateway
backend gateway
	server one %s
`, listen, gateway), listen)
}

// echoed returns what the echo application saw of a request.
func echoed(t *testing.T, answer rig.Answer) standalone.Answer {
	t.Helper()
	var seen standalone.Answer
	if err := json.Unmarshal(answer.Body, &seen); err != nil || answer.Status != 200 {
		t.Fatalf("status %d, %v: %q", answer.Status, err, answer.Body)
	}
	return seen
}

// clientAddress is the source address of requests; it differs from that of the proxy,
// which is 127.0.0.1.
const clientAddress = "127.0.0.2"

func dialFrom(t *testing.T, from, address string) *rig.Raw {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn := must[net.Conn](t)(dialer.Dial("tcp", address))
	t.Cleanup(func() { conn.Close() })
	return rig.NewRaw(conn, "shop.example.com")
}

// TestBehindFrontend sends requests through a proxy in front of the gateway, which trusts
// it or not.
func TestBehindFrontend(t *testing.T) {
	for _, front := range frontends {
		for _, c := range []struct {
			name       string
			flags      []string
			chain      string // all X-Forwarded-For fields, joined
			realClient string
			proto      string
		}{
			{"trusted", []string{"--trusted-proxies", "127.0.0.1/32"}, "203.0.113.7, " + clientAddress + ", 127.0.0.1", "", "https"},
			{"not trusted", nil, "127.0.0.1", "127.0.0.1", "http"},
		} {
			t.Run(front.name+"/"+c.name, func(t *testing.T) {
				r := newRig(t)
				g := startGateway(t, r, startEcho(t), c.flags...)
				listen := ports(t, 1)[0]
				front.start(t, r, listen, g.plain)
				client := dialFrom(t, clientAddress, listen)
				for range 5 { // the later ones over a reused connection
					seen := echoed(t, must[rig.Answer](t)(client.Do("GET", "/a?b=c", "X-Forwarded-For: 203.0.113.7\r\n", "")))
					got := []string{seen.Path, seen.Host, strings.Join(seen.Headers["X-Forwarded-For"], ", "), strings.Join(seen.Headers["X-Forwarded-Proto"], ", ")}
					want := []string{"/a?b=c", "shop.example.com", c.chain, c.proto}
					if diff := cmp.Diff(want, got); diff != "" {
						t.Fatalf("path, host, chain and scheme (-want +got):\n%s", diff)
					}
					if ip := strings.Join(seen.Headers["X-Real-Ip"], ", "); c.realClient != "" && ip != c.realClient {
						t.Errorf("X-Real-IP is %q, want %q", ip, c.realClient)
					}
				}
			})
		}
	}
}

// TestLoadThroughFrontends sends load through each of the frontends.
func TestLoadThroughFrontends(t *testing.T) {
	for _, front := range frontends {
		t.Run(front.name, func(t *testing.T) {
			r := newRig(t)
			backend, listen := ports(t, 1)[0], ports(t, 1)[0]
			startNginx(t, r, pageServer(backend, ""), backend)
			g := startGateway(t, r, backend)
			front.start(t, r, listen, g.plain)
			noFailure(t, rig.Wrk{URL: "http://" + listen + "/", Connections: clients, Duration: loadTime})
		})
	}
}
