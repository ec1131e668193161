package standalone

import (
	"bufio"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// If a run is killed, its programs are killed, too; with a sentinel, so are their
// children.
func TestCommandsDieWithAKilledRun(t *testing.T) {
	for _, program := range []string{"host", "family"} {
		t.Run(program, func(t *testing.T) {
			run := exec.Command(os.Args[0])
			run.Env = append(os.Environ(), programVariable+"="+program)
			stdout, err := run.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := run.Start(); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(stdout).ReadString('\n')
			port, _ := strconv.Atoi(strings.TrimSpace(line))
			if err != nil || port == 0 {
				t.Fatalf("the run printed %q, %v", line, err)
			}
			conn := hold(t, int32(port))
			run.Process.Kill()
			run.Wait()
			awaitEnd(t, conn)
		})
	}
}

func TestCommandsGainNoPrivileges(t *testing.T) {
	before := noNewPrivileges(t)
	h, _ := startHost(t, Config{})
	set := setOf(t, podOf("one", programTemplate("serve")), serviceOf("svc", "a:80:http"))
	port := endpointPorts(await(t, h, set, "endpoint", hasEndpoints(1)))[0]
	if status := ask[programState](t, port, "/").Status; !strings.Contains(status, "NoNewPrivs:\t1") {
		t.Errorf("status %s", status)
	}
	if after := noNewPrivileges(t); after != before {
		t.Errorf("another thread changed from %q to %q", before, after)
	}
}

// noNewPrivileges returns the NoNewPrivs line of the calling thread's status.
func noNewPrivileges(t *testing.T) string {
	t.Helper()
	status, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if strings.HasPrefix(line, "NoNewPrivs:") {
			return line
		}
	}
	return ""
}

// Processes that a program leaves behind end with it, as in a container.
func TestCommandTakesItsChildrenAlong(t *testing.T) {
	h, end := startHost(t, Config{})
	set := setOf(t, podOf("one", familyTemplate()), serviceOf("svc", "a:80:http"))
	conn := hold(t, endpointPorts(await(t, h, set, "endpoint", hasEndpoints(1)))[0])
	end()
	awaitEnd(t, conn)
}

// The sentinel of a run that ends normally ends, too, but not before the run.
func TestSentinelEndsWithTheRun(t *testing.T) {
	h, end := startHost(t, Config{Sentinel: []string{os.Args[0], sentinelWord}})
	if h.Reconcile(setOf(t, podOf("echo", template("80")))); h.guard.process != nil {
		t.Error("a sentinel without a program to guard")
	}
	set := setOf(t, podOf("one", programTemplate("serve")), serviceOf("svc", "a:80:http"))
	await(t, h, set, "endpoint", hasEndpoints(1))
	if h.guard.process.ProcessState != nil {
		t.Error("the sentinel has ended")
	}
	end()
	if state := h.guard.process.ProcessState; state == nil || !state.Success() {
		t.Errorf("the sentinel ended with %v", state)
	}
}
