package standalone

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
)

// transcript is an Output that tests can read while it is written.
type transcript struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *transcript) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *transcript) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func reports(code reason.Code) func(*source.Set) bool {
	return func(out *source.Set) bool {
		return slices.ContainsFunc(out.Reports, func(r reason.Report) bool { return r.Code == code })
	}
}

func TestCommandPod(t *testing.T) {
	out := &transcript{}
	h, end := startHost(t, Config{Output: out})
	pod := podOf("one", programTemplate("serve", "COLOUR=red", "PORT=80"))
	set := setOf(t, pod, serviceOf("svc", "a:80:http"))
	dir := t.TempDir()
	set.Pods.Get("shop", "one").Origin.File = filepath.Join(dir, "shop.yaml")

	first := h.Reconcile(set)
	if n := first.EndpointSlices.Len(); n != 0 {
		t.Errorf("%d endpoints before the program listens", n)
	}
	port := endpointPorts(await(t, h, set, "endpoint", hasEndpoints(1)))[0]
	state := ask[programState](t, port, "/")
	number := state.Env["PORT"]
	if number == "80" || state.Env["PORT_80"] != number || state.Env["PORT_HTTP"] != number ||
		state.Env["POD_NAME"] != "one" || state.Env["POD_NAMESPACE"] != "shop" || state.Env["SERVICE_NAME"] != "svc" || state.Env["COLOUR"] != "red" {
		t.Errorf("environment %v", state.Env)
	}
	if want, _ := filepath.EvalSymlinks(dir); state.Dir != want {
		t.Errorf("directory %s, want %s", state.Dir, want)
	}
	end()
	if text := out.String(); text != "[shop/one] serving\n" {
		t.Errorf("output %q", text)
	}
}

func TestCommandIsStartedAgain(t *testing.T) {
	h, _ := startHost(t, Config{})
	set := setOf(t, podOf("one", programTemplate("serve")), serviceOf("svc", "a:80:http"))
	port := endpointPorts(await(t, h, set, "endpoint", hasEndpoints(1)))[0]
	first := ask[programState](t, port, "/").PID
	process, err := os.FindProcess(first)
	if err != nil {
		t.Fatal(err)
	}
	process.Kill()

	down := await(t, h, set, "CommandFailed", reports(reason.CommandFailed))
	if down.EndpointSlices.Len() != 0 {
		t.Errorf("endpoints %v", slicesOf(down))
	}
	want := "pod shop/one: " + os.Args[0] + " ended with signal: killed"
	if got := down.Reports[0]; got.Message != want || got.Origin.Field != "metadata.annotations[windrose.dev/command]" {
		t.Errorf("report %v, want %q", got, want)
	}

	up := await(t, h, set, "endpoint again", hasEndpoints(1))
	if len(up.Reports) != 0 || endpointPorts(up)[0] != port {
		t.Errorf("reports %v, endpoints %v, port %d before", up.Reports, slicesOf(up), port)
	}
	if second := ask[programState](t, port, "/").PID; second == first {
		t.Error("the same process still")
	}
}

func TestCommandThatCannotStart(t *testing.T) {
	h, _ := startHost(t, Config{})
	set := setOf(t, podOf("one", withCommand(template("80"), "./no-such-program")))
	down := await(t, h, set, "CommandFailed", reports(reason.CommandFailed))
	if got := down.Reports[0].Message; !strings.Contains(got, "./no-such-program could not start") {
		t.Errorf("message %q", got)
	}
}

func TestCommandWithoutPorts(t *testing.T) {
	h, _ := startHost(t, Config{})
	pod := podOf("one", programTemplate("stubborn"))
	pod.Spec.Containers[0].Ports = nil
	pod.Spec.Containers[0].Env[0].Value = "serve"
	set := setOf(t, pod)
	await(t, h, set, "ready pod", func(out *source.Set) bool { return out.Pods.Get("shop", "one").Value.Status.PodIP != "" })
}

// A pod without a free port is reported and does not affect other pods.
func TestPodWithoutAPort(t *testing.T) {
	h, _ := startHost(t, Config{})
	for port := range int32(programPorts) {
		h.free.taken[firstProgramPort+port] = true
	}
	program := programTemplate("serve")
	program.Labels = map[string]string{"app": "program"}
	set := setOf(t, podOf("echo", template("http:80")), podOf("program", program), serviceOf("svc", "a:80:http"))
	out := h.Reconcile(set)
	if len(out.Reports) != 1 || out.Reports[0].Code != reason.WorkloadIncomplete || out.Reports[0].Origin.Name != "program" {
		t.Errorf("reports %v", out.Reports)
	}
	ask[Answer](t, endpointPorts(out)[0], "/")

	h.free.taken = map[int32]bool{}
	selected := serviceOf("program", "a:80:http")
	selected.Spec.Selector = program.Labels
	set = setOf(t, podOf("echo", template("http:80")), podOf("program", program), serviceOf("svc", "a:80:http"), selected)
	await(t, h, set, "endpoint of the program", hasEndpoints(2))
}

// If a change does not work, the old pods stay; if it works, the new ones replace them.
func TestCommandsRoll(t *testing.T) {
	h, _ := startHost(t, Config{Grace: time.Millisecond})
	service := serviceOf("svc", "a:80:http")
	db := func(program string) *source.Set {
		return setOf(t, statefulSetOf("db", 1, programTemplate(program)), service)
	}
	port := endpointPorts(await(t, h, db("serve"), "endpoint", hasEndpoints(1)))[0]

	broken := await(t, h, db("fail"), "CommandFailed", reports(reason.CommandFailed))
	if !slices.Equal(endpointPorts(broken), []int32{port}) {
		t.Errorf("endpoints %v, port %d before", slicesOf(broken), port)
	}
	unparsable := setOf(t, statefulSetOf("db", 1, withCommand(template("http:80"), `'`)), service)
	if out := h.Reconcile(unparsable); !slices.Equal(endpointPorts(out), []int32{port}) {
		t.Errorf("endpoints %v, port %d before", slicesOf(out), port)
	}
	conn := hold(t, port)
	next := programTemplate("serve", "COLOUR=blue")
	mended := await(t, h, setOf(t, statefulSetOf("db", 1, next), service), "new pod", func(out *source.Set) bool {
		ports := endpointPorts(out)
		return len(ports) == 1 && ports[0] != port
	})
	if got := ask[programState](t, endpointPorts(mended)[0], "/").Env["COLOUR"]; got != "blue" {
		t.Errorf("colour %q", got)
	}
	h.Applied()
	awaitEnd(t, conn)
}

func TestCommandsEndWithTheRun(t *testing.T) {
	for _, program := range []string{"serve", "stubborn"} {
		t.Run(program, func(t *testing.T) {
			h, end := startHost(t, Config{Grace: 50 * time.Millisecond})
			set := setOf(t, podOf("one", programTemplate(program)), serviceOf("svc", "a:80:http"))
			conn := hold(t, endpointPorts(await(t, h, set, "endpoint", hasEndpoints(1)))[0])
			end()
			awaitEnd(t, conn)
		})
	}
}
