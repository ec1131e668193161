package cli

import (
	"encoding/json"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"windrose.dev/windrose/internal/control"
	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
)

// talker is a pod whose program prints a line that is not JSON.
const talker = `apiVersion: v1
kind: Pod
metadata: {name: talker, namespace: shop, annotations: {windrose.dev/command: "sh -c 'echo loud; exec sleep 100'"}}
spec: {containers: [{name: talker, image: example.com/talker}]}
`

// event is a line of standard output with -o json.
type event struct {
	Event string
	// of the access log, whose lines have no event
	Status  int
	Outcome string
	// of ready and reload
	Generation                 int
	Hash                       string
	Errors, Warnings, Resolved int
	Admin                      string
	EntryPoints                []struct{ URL, AnsweredBy, WrittenAt string }
	Report                     struct{ Code, Message, Fix string }
}

// startJSON runs the site and returns its standard error, and a function that ends the
// run.
func startJSON(s *site, args ...string) (errOut *readySignal, end func()) {
	s.t.Helper()
	s.out = &readySignal{ready: make(chan struct{}), marker: `"event":"ready"`}
	errOut = &readySignal{ready: make(chan struct{}), marker: "loud"}
	end = startRunTo(s.t, s.out, errOut, append(s.args(), args...)...)
	return errOut, end
}

func TestRunJSON(t *testing.T) {
	s := newSite(t)
	s.save("talker.yaml", talker)
	errOut, end := startJSON(s, "-o", "json")
	<-errOut.ready
	if got := s.status("/a"); got != 200 {
		t.Fatalf("status %d", got)
	}
	s.save("ingress.yaml", strings.Replace(runIngress, "name: web, port", "name: gone, port", 1))
	s.until("/a", 503)
	s.save("ingress.yaml", runIngress)
	s.until("/a", 200)
	end()
	var events []event
	for line := range strings.Lines(s.out.String()) {
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		events = append(events, e)
	}
	last := map[string]event{}
	resolved, codes, outcomes := 0, map[string]bool{}, map[string]bool{}
	for _, e := range events {
		last[e.Event] = e
		resolved += e.Resolved
		codes[e.Report.Code], outcomes[e.Outcome] = true, true
	}
	if ready := last["ready"]; ready.Generation == 0 || len(ready.Hash) != 32 || ready.Admin != s.admin || len(ready.EntryPoints) != 1 ||
		ready.EntryPoints[0].AnsweredBy != "shop/web:80, 2 endpoints" || !strings.HasSuffix(ready.EntryPoints[0].WrittenAt, "ingress.yaml:12") {
		t.Errorf("ready %+v", ready)
	}
	if reload := last["reload"]; reload.Generation < 3 || reload.Errors != 0 || resolved != 1 {
		t.Errorf("reload %+v, %d resolved", reload, resolved)
	}
	if !codes["CertificateGenerated"] || !codes["ServiceNotFound"] || !outcomes["ok"] || !outcomes["backend_invalid"] {
		t.Errorf("reports %v, outcomes %v", codes, outcomes)
	}
	if strings.Contains(s.out.String(), "loud") || strings.Contains(s.out.String(), "PRIVATE") {
		t.Error("standard output has what a program printed, or a key")
	}
}

// With --log json alone, standard output has only lines of the log, and each one parses.
func TestLogJSONIsNotMixedWithPrograms(t *testing.T) {
	s := newSite(t)
	s.save("talker.yaml", talker)
	s.out = &readySignal{ready: make(chan struct{}), marker: "\nready\n"}
	errOut := &readySignal{ready: make(chan struct{}), marker: "[shop/talker] loud\n"}
	end := startRunTo(t, s.out, errOut, append(s.args(), "--log", "json")...)
	<-errOut.ready
	if got := s.status("/a"); got != 200 {
		t.Fatalf("status %d", got)
	}
	end()
	_, log, _ := strings.Cut(s.out.String(), "\nready\n")
	lines := 0
	for line := range strings.Lines(log) {
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Status != 200 {
			t.Errorf("%q: %v", line, err)
		}
		lines++
	}
	if lines != 1 {
		t.Errorf("%d lines: %s", lines, log)
	}
}

func TestRunOutputFlag(t *testing.T) {
	for _, tt := range []struct{ flags, want string }{
		{"-o yaml", "-o yaml: write text or json"},
		{"-o json --log compact", "-o json goes with --log json or off"},
		{"--log x", `log format "x"`},
	} {
		var errOut strings.Builder
		if code := Main("", append([]string{"run", t.TempDir()}, strings.Fields(tt.flags)...), io.Discard, &errOut); code != 1 || !strings.Contains(errOut.String(), tt.want) {
			t.Errorf("%s: exit status %d: %s", tt.flags, code, &errOut)
		}
	}
}

// Each reload prints one line, and a listener whose port was taken opens once it is free.
func TestReloadLines(t *testing.T) {
	s := newSite(t)
	s.save("ingress.yaml", strings.Replace(runIngress, "  tls: [{hosts: [a.localhost], secretName: made}]\n", "", 1))
	taken, err := net.Listen("tcp", s.https)
	if err != nil {
		t.Fatal(err)
	}
	s.run()
	s.save("ingress.yaml", runIngress)
	s.says("error ListenFailed: port 443 cannot be opened at " + s.https)
	s.says("windrose: reloaded: generation 2 ")
	s.says("errors 1, warnings 0, resolved 0")
	taken.Close()
	s.says("errors 0, warnings 0, resolved 1")
	conn, err := net.Dial("tcp", s.https)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	s.save("ingress.yaml", strings.Replace(runIngress, "spec:\n", "spec:\n  rulez: []\n", 1))
	s.says("errors 1, warnings 1, resolved 0")
	s.save("ingress.yaml", runIngress)
	s.says("errors 0, warnings 0, resolved 2")
}

// A pod that cannot start does not end the run.
func TestStartErrors(t *testing.T) {
	served := model.Freeze(model.Parts{Config: model.Config{Listeners: []model.Listener{{ID: model.ListenerID{Port: 80}}}}})
	for _, tt := range []struct {
		code reason.Code
		ends bool
	}{{reason.ListenFailed, true}, {reason.WorkloadIncomplete, false}, {reason.CommandFailed, false}} {
		r := &runner{flags: &runFlags{}}
		err := r.startError(control.Result{Snapshot: served, Reports: []reason.Report{reason.New(tt.code, reason.Origin{}, "x")}})
		if (err != nil) != tt.ends {
			t.Errorf("%s: %v", tt.code, err)
		}
	}
}

func TestEntryPointTableIsBounded(t *testing.T) {
	var out strings.Builder
	writeEntryPoints(&out, make([]entryPoint, maxEntryPoints+7))
	if n := strings.Count(out.String(), "\n"); n != maxEntryPoints+2 || !strings.Contains(out.String(), "and 7 more") {
		t.Errorf("%d lines:\n%s", n, &out)
	}
	s := model.Freeze(model.Parts{})
	if got := entryPoints(s, func(model.ListenerID) net.Addr { return net.TCPAddrFromAddrPort(netip.AddrPort{}) }); len(got) != 0 {
		t.Errorf("%v", got)
	}
}
