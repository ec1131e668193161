//go:build peers

package peers

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"

	"windrose.dev/windrose/bench/rig"
	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/standalone"
)

// gateway is a windrose-gateway that forwards everything to one backend.
type gateway struct {
	process *rig.Process
	// plain, secure and admin are addresses.
	plain, secure, admin string
	cert                 rig.Certificate
	log                  string // file with the access log
}

// startGateway starts a gateway with an access log in JSON.
func startGateway(t *testing.T, r *rig.Rig, backend string, flags ...string) *gateway {
	t.Helper()
	return startGatewayTo(t, r, model.HTTP1, backend, flags...)
}

// startGatewayTo is startGateway with a backend that speaks another protocol.
func startGatewayTo(t *testing.T, r *rig.Rig, protocol model.BackendProtocol, backend string, flags ...string) *gateway {
	t.Helper()
	free := ports(t, 3)
	g := &gateway{plain: free[0], secure: free[1], admin: free[2]}
	g.cert = must[rig.Certificate](t)(r.NewCertificate("shop.example.com"))
	log := must[*os.File](t)(os.CreateTemp(r.Dir, "access-*.log"))
	defer log.Close()
	g.log = log.Name()
	parts := rig.ForwardAll(rig.Backends{HTTP1: backend}, g.cert).Parts
	parts.Config.Services[0].Protocol = protocol
	g.process = must[*rig.Process](t)(r.StartDataPlane(soon(t), rig.DataPlane{
		Command: "windrose-gateway", Snapshot: model.Freeze(parts),
		Plain: g.plain, Secure: g.secure, Admin: g.admin, Log: "json", Flags: flags, Stdout: log,
	}))
	t.Cleanup(func() {
		if text := g.process.Stderr(); t.Failed() || strings.Contains(text, "defect") {
			t.Errorf("the gateway's standard error:\n%s", text)
		}
	})
	return g
}

// dial opens a raw client to an address.
func dial(t *testing.T, address string) *rig.Raw {
	t.Helper()
	client := must[*rig.Raw](t)(rig.DialRaw(address, "shop.example.com"))
	t.Cleanup(func() { client.Close() })
	return client
}

// get sends a GET for a target on a new connection.
func get(t *testing.T, address, target string) rig.Answer {
	t.Helper()
	return must[rig.Answer](t)(dial(t, address).Get(target))
}

// startNginx starts an nginx with the given http block.
func startNginx(t *testing.T, r *rig.Rig, http string, listens ...string) *rig.Process {
	t.Helper()
	p := must[*rig.Process](t)(r.StartNginx(soon(t), rig.Nginx{HTTP: http, Listens: listens}))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("nginx's standard error:\n%s", p.Stderr())
		}
	})
	return p
}

// startHaproxy starts a HAProxy with the given frontends and backends.
func startHaproxy(t *testing.T, r *rig.Rig, sections string, listens ...string) *rig.Process {
	t.Helper()
	return must[*rig.Process](t)(r.StartHaproxy(soon(t), rig.Haproxy{Sections: sections, Listens: listens}))
}

// startEcho serves the echo application and returns its address.
func startEcho(t *testing.T) string {
	t.Helper()
	echo := standalone.Echo{Identity: func() standalone.Identity { return standalone.Identity{Pod: "echo-0"} }}
	server := httptest.NewServer(echo)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// metric returns the sum of a metric's series whose labels contain a text.
func metric(t *testing.T, admin, name, label string) float64 {
	t.Helper()
	request := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+admin+"/metrics", nil))
	request.Close = true // else the connection would be among windrose's open files
	answer := must[*http.Response](t)(http.DefaultClient.Do(request))
	defer answer.Body.Close()
	sum, lines := 0.0, bufio.NewScanner(answer.Body)
	for lines.Scan() {
		series, value, _ := strings.Cut(lines.Text(), " ")
		base, labels, _ := strings.Cut(series, "{")
		if base == name && strings.Contains(labels, label) {
			sum += must[float64](t)(strconv.ParseFloat(value, 64))
		}
	}
	ok(t, lines.Err())
	return sum
}

// pattern returns n bytes that differ from place to place.
func pattern(n int) []byte {
	block := make([]byte, 0, n+32)
	for i := 0; len(block) < n; i++ {
		block = fmt.Appendf(block, "%010d pattern of bytes\n", i)
	}
	return block[:n]
}

func sameBytes(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got %d bytes, want %d; or their content differs", what, len(got), len(want))
	}
}

// readAll reads a connection to its end.
func readAll(t *testing.T, conn net.Conn) []byte {
	t.Helper()
	return must[[]byte](t)(io.ReadAll(conn))
}
