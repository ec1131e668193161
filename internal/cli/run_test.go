package cli

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"windrose.dev/windrose/internal/model"
)

const runResources = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: example.com/web, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
`

const runIngress = `apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: web
  namespace: shop
  annotations:
    nginx.ingress.kubernetes.io/ssl-redirect: "false"
spec:
  tls: [{hosts: [a.localhost], secretName: made}]
  rules:
    - host: a.localhost
      http: {paths: [{path: /a, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
`

// site is a directory that `windrose run` serves.
type site struct {
	t                  *testing.T
	ctx                context.Context // bounds every wait
	dir                string
	out                *readySignal
	http, https, admin string
}

func newSite(t *testing.T) *site {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	s := &site{t: t, ctx: ctx, dir: t.TempDir()}
	s.save("resources.yaml", runResources)
	s.save("ingress.yaml", runIngress)
	ports := freePorts(t, 3)
	s.http, s.https, s.admin = "127.0.0.1:"+ports[0], "127.0.0.1:"+ports[1], "127.0.0.1:"+ports[2]
	return s
}

// run serves the site until the test ends.
func (s *site) run() *site {
	s.t.Helper()
	s.out = startRun(s.t, s.args()...)
	return s
}

func (s *site) args() []string {
	return []string{s.dir, "--publish", "80=" + s.http, "--publish", "443=" + s.https, "--admin", s.admin}
}

// save replaces a file as editors do: it writes a new file and renames it.
func (s *site) save(name, text string) {
	s.t.Helper()
	aside := filepath.Join(s.t.TempDir(), name)
	if err := os.WriteFile(aside, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(aside, filepath.Join(s.dir, name)); err != nil {
		s.t.Fatal(err)
	}
}

// status requests a path of a.localhost and returns the status.
func (s *site) status(path string) int {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.ctx, "GET", "http://"+s.http+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	request.Host = "a.localhost"
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

// until repeats the request until the response has the status, that is, until a save is
// live.
func (s *site) until(path string, status int) {
	s.t.Helper()
	for got := 0; got != status; got = s.status(path) {
		if s.ctx.Err() != nil {
			s.t.Fatalf("%s answers %d, and never %d:\n%s", path, got, status, s.out)
		}
	}
}

// says waits until the program has printed text.
func (s *site) says(text string) {
	s.t.Helper()
	for !strings.Contains(s.out.String(), text) {
		if s.ctx.Err() != nil {
			s.t.Fatalf("never said %q:\n%s", text, s.out)
		}
		runtime.Gosched()
	}
}

func (s *site) get(url string) string {
	s.t.Helper()
	response, err := http.Get(url)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	return string(body)
}

func TestSavesAreLive(t *testing.T) {
	s := newSite(t).run()
	if got := s.status("/a/x"); got != 200 {
		t.Fatalf("status %d\n%s", got, s.out)
	}
	s.save("ingress.yaml", strings.Replace(runIngress, "path: /a", "path: /b", 1))
	s.until("/b", 200)
	s.until("/a", 404)

	// Half-written: the last good version stays, and the Report names the line.
	s.save("ingress.yaml", runIngress[:len(runIngress)-40])
	s.says("ingress.yaml:12: error ParseError")
	s.says("KeptLastGood")
	if got := s.status("/b"); got != 200 {
		t.Errorf("half-written YAML took the last good version down: %d", got)
	}

	// A guard that is not honoured closes the route; removing it opens the route.
	guarded := strings.Replace(runIngress, "annotations:", "annotations:\n    nginx.ingress.kubernetes.io/auth-url: http://auth", 1)
	s.save("ingress.yaml", guarded)
	s.until("/a", 503)
	s.says("ingress.yaml:7: error GuardClosed")
	s.save("ingress.yaml", runIngress)
	s.until("/a", 200)

	// New pods take over without a lost request.
	s.save("resources.yaml", strings.Replace(runResources, "image: example.com/web", "image: example.com/web:2", 1))
	before := s.pod()
	for s.pod() == before {
		if s.ctx.Err() != nil {
			t.Fatalf("the old pods go on serving:\n%s", s.out)
		}
	}
	if err := os.Remove(filepath.Join(s.dir, "ingress.yaml")); err != nil {
		t.Fatal(err)
	}
	s.untilClosed() // the listener is closed with its last Ingress
}

// untilClosed waits until nothing listens for plain HTTP.
func (s *site) untilClosed() {
	s.t.Helper()
	for {
		conn, err := net.DialTimeout("tcp", s.http, time.Second)
		if err != nil {
			return
		}
		conn.Close()
		if s.ctx.Err() != nil {
			s.t.Fatal("the listener stays open")
		}
	}
}

// pod returns the pod that serves the request.
func (s *site) pod() string {
	s.t.Helper()
	request, _ := http.NewRequestWithContext(s.ctx, "GET", "http://"+s.http+"/a", nil)
	request.Host = "a.localhost"
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	var body struct{ Pod string }
	if err := json.NewDecoder(response.Body).Decode(&body); err != nil || response.StatusCode != 200 {
		s.t.Fatalf("status %d: %v", response.StatusCode, err)
	}
	return strings.SplitN(body.Pod, "-", 3)[1] // the template's hash
}

func TestGeneratedCertificateIsStable(t *testing.T) {
	s := newSite(t).run()
	serial := func() string {
		conn, err := tls.Dial("tcp", s.https, &tls.Config{ServerName: "a.localhost", InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	first := serial()
	s.save("ingress.yaml", strings.Replace(runIngress, "path: /a", "path: /b", 1))
	s.until("/b", 200)
	if serial() != first {
		t.Error("a reload made another certificate")
	}
	if conn, err := tls.Dial("tcp", s.https, &tls.Config{ServerName: "b.localhost", InsecureSkipVerify: true}); err == nil {
		conn.Close()
		t.Error("a handshake for an unknown name was accepted")
	}
}

func TestAdminAPI(t *testing.T) {
	s := newSite(t).run()
	s.status("/a")
	s.status("/gone")
	// A request is counted after its response is sent, which the client may see before.
	metrics := ""
	for !strings.Contains(metrics, `outcome="no_route"`) && s.ctx.Err() == nil {
		metrics = s.get("http://" + s.admin + "/metrics")
	}
	for _, want := range []string{
		`windrose_requests_total{route="ingress/shop/web/0/0",class="2xx",outcome="ok"} 1`,
		`windrose_requests_total{route="none",class="4xx",outcome="no_route"} 1`,
		`windrose_request_duration_seconds_count{service="shop/web:80"} 1`,
		`windrose_reports{code="CertificateGenerated",severity="info"} 1`,
		`windrose_generation{hash="`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("missing %s in:\n%s", want, metrics)
		}
	}
	config := s.get("http://" + s.admin + "/config")
	if !strings.Contains(config, "rule ingress/shop/web/0/0 prefix:/a ") || strings.Contains(config, "PRIVATE") {
		t.Errorf("config: %s", config)
	}
	request, _ := http.NewRequestWithContext(t.Context(), "GET", "http://"+s.admin+"/config", nil)
	request.Host = "evil.example"
	if response, err := http.DefaultClient.Do(request); err != nil || response.StatusCode != http.StatusForbidden {
		t.Errorf("a name that is not loopback's was answered: %v", err)
	}
}

func TestTranslateCommand(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a.yaml": runResources, "b.yaml": runIngress} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) (string, int) {
		var out, errOut strings.Builder
		code := Main("", append([]string{"translate", "-f", dir}, args...), &out, &errOut)
		return out.String() + errOut.String(), code
	}
	if out, code := run("--to", "model", "-o", "json"); code != 0 || !strings.Contains(out, `"prefix"`) || strings.Contains(out, "PRIVATE") {
		t.Errorf("%d %s", code, out)
	}
	if out, code := run("--to", "reports", "-o", "json"); code != 0 || !strings.Contains(out, `"code": "CertificateGenerated"`) {
		t.Errorf("%d %s", code, out)
	}
	if out, code := run("--to", "nonsense"); code != 1 || !strings.Contains(out, "model, routes, reports, status or wire") {
		t.Errorf("%d %s", code, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "b.yaml"), []byte(strings.Replace(runIngress, "name: web, port", "name: gone, port", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	out, code := run("--to", "reports")
	want := fmt.Sprintf("%s/b.yaml:12: error ServiceNotFound", dir)
	if code != 1 || !strings.Contains(out, want) {
		t.Errorf("exit status %d, want %q in %s", code, want, out)
	}
}

// TestTranslateIsReproducible: generated certificates do not change the text.
func TestTranslateIsReproducible(t *testing.T) {
	dir := t.TempDir()
	save := func(ingress string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "a.yaml"), []byte(runResources+"---\n"+ingress), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) string {
		t.Helper()
		var out strings.Builder
		if code := Main("", append([]string{"translate", "-f", dir}, args...), &out, io.Discard); code != 0 {
			t.Fatalf("exit status %d", code)
		}
		return out.String()
	}
	save(runIngress)
	for _, args := range [][]string{{"--to", "model"}, {"--to", "model", "-o", "json"}, {"--to", "reports"}} {
		if first, second := run(args...), run(args...); first != second {
			t.Errorf("%v prints\n%s\nand then\n%s", args, first, second)
		}
	}
	text := run()
	if snapshot, err := model.Load([]byte(text)); err != nil || model.Format(snapshot)+model.FormatOrigins(snapshot) != text {
		t.Errorf("the text does not read back: %v", err)
	}
	save(strings.ReplaceAll(runIngress, "a.localhost", "b.localhost"))
	if identity := regexp.MustCompile("secret shop/made generated-.*"); identity.FindString(text) == "" || identity.FindString(run()) == identity.FindString(text) {
		t.Error("a certificate for another host has the same identity")
	}
}
