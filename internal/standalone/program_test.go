package standalone

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"windrose.dev/windrose/internal/source"
)

// programVariable makes the test binary act as the program of a pod.
const programVariable = "STANDALONE_TEST_PROGRAM"

// sentinelWord, as the first argument, makes the test binary a sentinel.
const sentinelWord = "sentinel"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == sentinelWord {
		Sentinel(os.Stdin)
		return
	}
	if program, found := os.LookupEnv(programVariable); found {
		runProgram(program)
	}
	os.Exit(m.Run())
}

func runProgram(name string) {
	switch name {
	case "serve":
		serveProgram()
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		serveProgram()
	case "fail":
		fmt.Println("about to fail")
		os.Exit(3)
	case "host":
		hostProgram(Config{}, programTemplate("serve"))
	case "family":
		hostProgram(Config{Sentinel: []string{os.Args[0], sentinelWord}}, familyTemplate())
	}
	os.Exit(2)
}

// programState is what serveProgram says about itself.
type programState struct {
	PID    int
	Dir    string
	Env    map[string]string
	Status string // the content of /proc/self/status
}

// serveProgram responds with its state; /exit ends it with the exit code in the query.
func serveProgram() {
	fmt.Fprintln(os.Stderr, "serving")
	http.HandleFunc("/exit", func(_ http.ResponseWriter, r *http.Request) {
		code, _ := strconv.Atoi(r.URL.RawQuery)
		os.Exit(code)
	})
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		dir, _ := os.Getwd()
		status, _ := os.ReadFile("/proc/self/status") // empty on systems that have none
		state := programState{PID: os.Getpid(), Dir: dir, Env: map[string]string{}, Status: string(status)}
		for _, name := range []string{"PORT", "PORT_80", "PORT_HTTP", "POD_NAME", "POD_NAMESPACE", "SERVICE_NAME", "COLOUR"} {
			state.Env[name] = os.Getenv(name)
		}
		json.NewEncoder(w).Encode(state)
	})
	fmt.Println(http.ListenAndServe(net.JoinHostPort(loopback, os.Getenv("PORT")), nil))
}

// hostProgram is a whole run in its own process; it prints the port of its only pod.
func hostProgram(config Config, tmpl corev1.PodTemplateSpec) {
	h := New(config)
	set := &source.Set{}
	pod := podOf("one", tmpl)
	set.Pods = set.Pods.With(objectOf("Pod", pod, pod))
	service := serviceOf("svc", "http:80:http")
	set.Services = set.Services.With(objectOf("Service", service, service))
	for {
		if ports := endpointPorts(h.Reconcile(set)); len(ports) > 0 {
			fmt.Println(ports[0])
			break
		}
		<-h.Changed()
	}
	h.Run(context.Background())
}

// programTemplate returns a template that runs this test binary as a program.
func programTemplate(program string, env ...string) corev1.PodTemplateSpec {
	return withCommand(template("http:80"), `"`+os.Args[0]+`"`, append(env, programVariable+"="+program)...)
}

// familyTemplate returns a template that runs a shell with the test binary as its child.
func familyTemplate() corev1.PodTemplateSpec {
	tmpl := programTemplate("serve")
	tmpl.Annotations[CommandAnnotation] = `sh -c '"` + os.Args[0] + `" & wait'`
	return tmpl
}

// startHost runs a Host until the test ends, or until end is called.
func startHost(t *testing.T, config Config) (h *Host, end func()) {
	t.Helper()
	h = New(config)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	ended := false
	end = func() {
		cancel()
		if !ended {
			ended = true
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
		}
	}
	t.Cleanup(end)
	return h, end
}

// await calls Reconcile at each change until the result is as wanted.
func await(t *testing.T, h *Host, set *source.Set, what string, wanted func(*source.Set) bool) *source.Set {
	t.Helper()
	limit := time.After(30 * time.Second)
	for {
		out := h.Reconcile(set)
		if wanted(out) {
			return out
		}
		select {
		case <-h.Changed():
		case <-limit:
			t.Fatalf("no %s; endpoints %v, reports %v", what, slicesOf(out), out.Reports)
		}
	}
}

func hasEndpoints(n int) func(*source.Set) bool {
	return func(out *source.Set) bool { return out.EndpointSlices.Len() == n }
}

// endpointPorts returns the ports of all endpoints, by slice name.
func endpointPorts(set *source.Set) []int32 {
	var out []int32
	for slice := range set.EndpointSlices.All() {
		for _, port := range slice.Value.Ports {
			out = append(out, *port.Port)
		}
	}
	return out
}

// ask sends one request on a new connection and decodes the response.
func ask[T any](t *testing.T, port int32, path string) T {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: transport}).Get("http://" + address(port) + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var out T
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

// hold opens a connection that stays open until the pod ends.
func hold(t *testing.T, port int32) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address(port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	// The request makes sure that the program has accepted the connection.
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// awaitEnd returns when the pod has closed the connection.
func awaitEnd(t *testing.T, conn net.Conn) {
	t.Helper()
	// A reset counts as an end, too.
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection stays open")
	}
}
