package serve

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	quichttp3 "github.com/quic-go/quic-go/http3"

	"windrose.dev/windrose/internal/model"
)

// secureSnapshot writes a Snapshot that serves port 443 to a file.
func secureSnapshot(t *testing.T, endpoint string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	id := model.ListenerID{Port: 443}
	wire, err := model.Encode(model.Freeze(model.Parts{
		Config: model.Config{
			Listeners: []model.Listener{{ID: id, Protocol: model.HTTPS, Certificates: []model.Certificate{{Host: "*", Secret: "a/tls"}}}},
			Hosts: []model.Host{{Name: "*", Listeners: []model.ListenerID{id}, Blocks: []model.Block{{Dialect: "ingress", Rules: []model.Rule{{
				ID: "r", Path: model.PathMatch{Kind: model.PrefixPath, Value: "/"},
				Forward: &model.Forward{Backends: []model.Backend{{Service: model.ParseServiceID("a/b:80"), Weight: 1}}},
			}}}}}},
			Services: []model.Service{{ID: model.ParseServiceID("a/b:80")}},
		},
		Endpoints: []model.Endpoints{{Service: model.ParseServiceID("a/b:80"), Endpoints: []model.Endpoint{{Addr: netip.MustParseAddrPort(endpoint)}}}},
		Secrets: []model.Secret{{
			Name: "a/tls", Chain: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
			Key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}),
		}},
	}))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "snapshot")
	if err := os.WriteFile(file, wire, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// get3 sends a request over HTTP/3 and returns the response body.
func get3(t *testing.T, client *quichttp3.Transport) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", "https://a.example/", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return string(body), err
}

// TestTakeoverOfHTTP3: a QUIC socket is not handed over. The predecessor serves its
// connections until they end. Until then the successor runs without HTTP/3, and reports
// that.
func TestTakeoverOfHTTP3(t *testing.T) {
	working, finish := make(chan struct{}), make(chan struct{})
	slow := backendOf(t, func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("X-Slow") != "" {
			close(working)
			<-finish
		}
		io.WriteString(w, "hello")
	})
	address := freeAddress(t)
	args := []string{
		"--snapshot", secureSnapshot(t, slow), "--publish", "443=" + address, "--admin", "", "--telemetry", "",
		"--log", "off", "--drain-grace", "0s", "--takeover", filepath.Join(t.TempDir(), "takeover"),
	}
	dial := func(ctx context.Context, _ string, tlsCfg *tls.Config, cfg *quic.Config) (*quic.Conn, error) {
		return quic.DialAddr(ctx, address, tlsCfg, cfg)
	}
	client := &quichttp3.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, Dial: dial}
	defer client.Close()
	current := start(t, args...)
	current.await(t, "ready")
	done := make(chan string)
	go func() {
		req, _ := http.NewRequest("GET", "https://a.example/", nil)
		req.Header.Set("X-Slow", "1")
		answer, err := client.RoundTrip(req)
		if err != nil {
			done <- err.Error()
			return
		}
		body, _ := io.ReadAll(answer.Body)
		done <- string(body)
	}()
	<-working
	next := start(t, args...)
	next.await(t, "HTTP3Unavailable")
	next.await(t, "ready")
	current.await(t, "a successor has taken over")
	close(finish)
	if body := <-done; body != "hello" {
		t.Errorf("what was under way: %q", body)
	}
	if err := current.Wait(); err != nil {
		t.Errorf("the predecessor ended with %v", err)
	}
	next.await(t, "warnings 0, resolved 1")
	if body, err := get3(t, client); body != "hello" {
		t.Errorf("the successor: %q %v", body, err)
	}
}

// TestHTTP3CanBeTurnedOff: without HTTP/3 no UDP socket is opened.
func TestHTTP3CanBeTurnedOff(t *testing.T) {
	o, err := parse("x", []string{"--snapshot", "f", "--http3=false"}, io.Discard)
	if err != nil || o.limits.HTTP3 {
		t.Errorf("%+v %v", o, err)
	}
	if o, err = parse("x", []string{"--snapshot", "f"}, io.Discard); err != nil || !o.limits.HTTP3 {
		t.Errorf("%+v %v", o, err)
	}
}

// backendOf starts a server and returns its address.
func backendOf(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return l.Addr().String()
}
