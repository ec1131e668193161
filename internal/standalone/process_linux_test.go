package standalone

import (
	"bufio"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// The programs of a run that is killed die with it.
func TestCommandsDieWithAKilledRun(t *testing.T) {
	run := exec.Command(os.Args[0])
	run.Env = append(os.Environ(), programVariable+"=host")
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

// noNewPrivileges is that line of the calling thread's status.
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

// What a program leaves behind ends with it, as in a container.
func TestCommandTakesItsChildrenAlong(t *testing.T) {
	h, end := startHost(t, Config{})
	tmpl := programTemplate("serve")
	// The shell stays, and the program is its child.
	tmpl.Annotations[CommandAnnotation] = `sh -c '"` + os.Args[0] + `" & wait'`
	set := setOf(t, podOf("one", tmpl), serviceOf("svc", "a:80:http"))
	conn := hold(t, endpointPorts(await(t, h, set, "endpoint", hasEndpoints(1)))[0])
	end()
	awaitEnd(t, conn)
}
