package proxy_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/quic-go/quic-go"
	quichttp3 "github.com/quic-go/quic-go/http3"

	"windrose.dev/windrose/internal/model"
)

// twoPorts has one certificate on two ports, of which 443 asks clients for theirs
// and 444 does not. Each has a host of its own, and one that both have.
func twoPorts(t *testing.T, endpoint string, server keyPair, mode model.ClientAuthMode, ca []byte) *model.Snapshot {
	t.Helper()
	parts := secure(t, `listener 443 https
listener 444 https
certificate 443 * ns/x
certificate 444 * ns/x
bundle configmap/ns/ca 00
host guarded.example 443
block test by-specificity
rule guarded prefix:/ forward=s:80
host open.example 444
block test by-specificity
rule open prefix:/ forward=s:80
host both.example 443,444
block test by-specificity
rule both prefix:/ forward=s:80
service s:80 round-robin
endpoint s:80 `+endpoint+"\n", map[string]keyPair{"ns/x": server}).Parts
	parts.Bundles[0].PEM = ca
	for i := range parts.Config.Listeners {
		if l := &parts.Config.Listeners[i]; l.ID.Port == 443 {
			l.ClientAuth = &model.ClientAuth{Bundles: []string{"configmap/ns/ca"}, Mode: mode}
		}
	}
	return model.Freeze(parts)
}

// visit is one request to a port over one connection of its own.
type visit struct {
	port uint16
	host string
	cfg  *tls.Config
}

// visits are the ways to make one. The status is 0 where there is no answer.
var visits = map[string]func(*rig, visit) (status int, resumed bool){
	"TCP": func(r *rig, v visit) (int, bool) {
		nc, err := tls.Dial("tcp", r.addr(v.port), v.cfg)
		if err != nil {
			return 0, false
		}
		defer nc.Close()
		c := newPeer(r.t, nc)
		c.send("GET / HTTP/1.1\r\nHost: " + v.host + "\r\n\r\n")
		c.patient()
		answer, err := http.ReadResponse(c.r, nil) // in TLS 1.3 a client that is refused learns it here
		if err != nil {
			return 0, false
		}
		io.Copy(io.Discard, answer.Body)
		return answer.StatusCode, nc.ConnectionState().DidResume
	},
	"QUIC": func(r *rig, v visit) (int, bool) {
		var conn *quic.Conn
		transport := &quichttp3.Transport{TLSClientConfig: v.cfg.Clone(), Dial: func(ctx context.Context, _ string, cfg *tls.Config, q *quic.Config) (c *quic.Conn, err error) {
			conn, err = quic.DialAddr(ctx, r.addr(v.port), cfg, q)
			return conn, err
		}}
		defer transport.Close()
		req, err := http.NewRequestWithContext(patientContext(r.t), "GET", "https://"+v.host+"/", nil)
		if err != nil {
			r.t.Fatal(err)
		}
		answer, err := transport.RoundTrip(req)
		if err != nil {
			return 0, false
		}
		defer answer.Body.Close()
		io.Copy(io.Discard, answer.Body)
		return answer.StatusCode, conn.ConnectionState().TLS.DidResume
	},
}

// What one port asks of its clients another port does not lift, though name and
// certificate are the same: no session of one is resumed at the other, in either
// direction.
func TestSessionsStayAtTheirPort(t *testing.T) {
	b := newBackend(t, always(ok2))
	server, ca := newKeyPair(t, "x"), newAuthority(t)
	ours := []tls.Certificate{ca.client(nil)}
	for name, visits := range visits {
		for _, mode := range []model.ClientAuthMode{model.RequireCertificate, model.RequestCertificate} {
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				if name == "QUIC" && version == tls.VersionTLS12 {
					continue
				}
				t.Run(fmt.Sprintf("%s mode %d TLS %x", name, mode, version), func(t *testing.T) {
					r := newRig3(t, nil)
					r.applySnapshot(twoPorts(t, b.addr, server, mode, ca.pem))
					cache := oneSession{tls.NewLRUClientSessionCache(1)}
					for i, step := range []struct {
						port         uint16
						certificates []tls.Certificate
						served       bool
						resumed      bool
					}{
						{444, nil, true, false},
						{444, nil, true, true},
						{443, nil, mode == model.RequestCertificate, false},
						{443, ours, true, mode == model.RequestCertificate}, // a session of this port, then
						{443, ours, true, true},
						{444, ours, true, false},
						{444, nil, true, true},
						{443, ours, true, false},
					} {
						cfg := &tls.Config{InsecureSkipVerify: true, ServerName: "both.example", ClientSessionCache: cache, Certificates: step.certificates, MaxVersion: version}
						status, resumed := visits(r, visit{step.port, "both.example", cfg})
						if (status == 200) != step.served || resumed != step.resumed {
							t.Errorf("step %d, port %d: status %d, resumed %v", i, step.port, status, resumed)
						}
					}
				})
			}
		}
	}
}

// A request reaches the routes of its own port alone, whatever host it names.
func TestRoutesStayAtTheirPort(t *testing.T) {
	b := newBackend(t, always(ok2))
	server, ca := newKeyPair(t, "x"), newAuthority(t)
	r := newRig3(t, nil)
	r.applySnapshot(twoPorts(t, b.addr, server, model.RequireCertificate, ca.pem))
	for name, visits := range visits {
		for _, test := range []struct {
			port             uint16
			serverName, host string
			want             int
		}{
			{443, "guarded.example", "guarded.example", 200},
			{444, "guarded.example", "guarded.example", 404},
			{444, "open.example", "guarded.example", 404},
			{444, "both.example", "guarded.example", 404},
			{444, "", "guarded.example", 404},
			{444, "open.example", "guarded.example:443", 404},
			{444, "open.example", "open.example", 200},
			{443, "open.example", "open.example", 404},
		} {
			cfg := &tls.Config{InsecureSkipVerify: true, ServerName: test.serverName}
			if test.port == 443 {
				cfg.Certificates = []tls.Certificate{ca.client(nil)}
			}
			if test.serverName == "" && name == "QUIC" {
				continue // quic-go's client makes up a name
			}
			if status, _ := visits(r, visit{test.port, test.host, cfg}); status != test.want && (test.want != 404 || status != 421) {
				t.Errorf("%s, port %d, server name %q, host %s: %d, want %d", name, test.port, test.serverName, test.host, status, test.want)
			}
		}
	}
}

// spoofs are the ways in which a client says who vouches for it.
var spoofs = http.Header{
	"X-Forwarded-Client-Cert": {`Hash=00;Subject="CN=admin"`, `Hash=01;Subject="CN=admin"`},
	"x_forwarded_client_cert": {`Hash=02;Subject="CN=admin"`},
	"X_Forwarded-Client_Cert": {`Hash=03;Subject="CN=admin"`, ""},
	"X-Forwarded_Client-Cert": {`Hash=04;Subject="CN=admin"`},
}

// identities are the values of all fields, in whatever spelling, by which a
// backend could take a client for another.
func identities(message string) []string {
	var out []string
	for line := range strings.SplitSeq(message, "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		if strings.EqualFold(strings.ReplaceAll(name, "_", "-"), "X-Forwarded-Client-Cert") {
			out = append(out, strings.TrimSpace(value))
		}
	}
	return out
}

// Whatever a client says of its certificate, over whatever protocol: the backend
// learns of the one that was verified, once, or of none.
func TestClientCertificatesCannotBeSpoofed(t *testing.T) {
	b := newBackend(t, echo)
	server, ours, theirs := newKeyPair(t, "x"), newAuthority(t), newAuthority(t)
	r := newRig3(t, nil)
	r.applySnapshot(asking(t, b.addr, server, model.RequestCertificate, ours.pem))
	for _, test := range []struct {
		name         string
		certificates []tls.Certificate
		verified     bool
	}{
		{"none", nil, false},
		{"one of others", []tls.Certificate{theirs.client(nil)}, false},
		{"one of ours", []tls.Certificate{ours.client(nil)}, true},
	} {
		cfg := &tls.Config{InsecureSkipVerify: true, ServerName: "a.example", Certificates: test.certificates}
		second := &http.Transport{TLSClientConfig: cfg.Clone(), Protocols: new(http.Protocols)}
		second.Protocols.SetHTTP2(true)
		second.DialTLSContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			c := cfg.Clone()
			c.NextProtos = []string{"h2"}
			return (&tls.Dialer{Config: c}).DialContext(ctx, network, r.addr(443))
		}
		third := r.client3(func(c *tls.Config) { c.Certificates = test.certificates })
		for version, transport := range map[int]http.RoundTripper{2: second, 3: third} {
			for _, trailers := range []bool{false, true} {
				req := third.request("POST", "/", io.MultiReader(strings.NewReader("body")))
				req.Header = spoofs.Clone()
				if trailers {
					req.Header, req.Trailer = http.Header{}, spoofs.Clone()
				}
				answer, err := transport.RoundTrip(req)
				if err != nil {
					t.Fatalf("HTTP/%d: %v", version, err)
				}
				data, _ := io.ReadAll(answer.Body)
				answer.Body.Close()
				seen := identities(string(data))
				if answer.StatusCode != 200 || answer.ProtoMajor != version || strings.Contains(string(data), "admin") {
					t.Errorf("HTTP/%d, %s, trailers %v: %d %q", version, test.name, trailers, answer.StatusCode, data)
				}
				if test.verified != (len(seen) == 1) || !test.verified && len(seen) > 0 ||
					slices.ContainsFunc(seen, func(s string) bool { return !strings.HasPrefix(s, "Hash=") }) {
					t.Errorf("HTTP/%d, %s, trailers %v: the backend sees %q", version, test.name, trailers, seen)
				}
			}
		}
		second.CloseIdleConnections()
		spoofHTTP1(t, r, cfg, test.name, test.verified)
	}
}

// spoofHTTP1 does the same over HTTP/1.1, where a client can also name a field in
// Connection, to have it taken away on the next hop.
func spoofHTTP1(t *testing.T, r *rig, cfg *tls.Config, name string, verified bool) {
	t.Helper()
	c, _, err := r.shake(cfg.Clone())
	if err != nil {
		t.Fatal(err)
	}
	c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: X-Forwarded-Client-Cert, x_forwarded_client_cert\r\n")
	for field, values := range spoofs {
		for _, value := range values {
			c.send(field + ": " + value + "\r\n")
		}
	}
	c.send("\r\n")
	got := bodyOf(c.answer("POST"))
	if seen := identities(got); strings.Contains(got, "admin") || verified != (len(seen) == 1) || !verified && len(seen) > 0 {
		t.Errorf("HTTP/1.1, %s: %q", name, got)
	}
}
