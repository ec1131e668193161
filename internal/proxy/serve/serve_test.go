package serve

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/filter"
	"windrose.dev/windrose/internal/proxy/http3"
	"windrose.dev/windrose/test/port"
)

// asProgram makes the test binary run as a data plane.
const asProgram = "WINDROSE_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(Main("windrose-test", os.Args[1:], Parts{Filters: filter.Table(), HTTP3: http3.New}))
	}
	os.Exit(m.Run())
}

// program is a data plane in its own process.
type program struct {
	*exec.Cmd
	lines chan string // lines of standard error
}

func start(t *testing.T, args ...string) *program {
	t.Helper()
	p := &program{Cmd: exec.Command(os.Args[0], args...), lines: make(chan string, 100)}
	p.Env = append(os.Environ(), asProgram+"=1")
	out, err := p.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Process.Kill() })
	go func() {
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			p.lines <- scanner.Text()
		}
		close(p.lines)
	}()
	return p
}

// await reads lines until one contains text.
func (p *program) await(t *testing.T, text string) {
	t.Helper()
	for line := range p.lines {
		if strings.Contains(line, text) {
			return
		}
	}
	t.Fatalf("the program ended without saying %q", text)
}

// backend starts a server that responds to every request with its name.
func backend(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return l
}

func freeAddress(t *testing.T) string {
	t.Helper()
	return "127.0.0.1:" + port.Free(t)
}

func snapshotFile(t *testing.T, endpoint string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "snapshot")
	text := fmt.Sprintf("listener 80 http\nhost * 80\nblock ingress by-specificity\nrule r prefix:/ forward=a/b:80\nservice a/b:80 round-robin\nendpoint a/b:80 %s\n", endpoint)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// rawGet sends one request over a new connection, without retries.
func rawGet(address string) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasSuffix(string(answer), "hello") {
		return fmt.Errorf("answer %q: %v", answer, err)
	}
	return nil
}

// TestTakeover replaces a data plane under load, twice: no request is lost.
func TestTakeover(t *testing.T) {
	address, adminAddress := freeAddress(t), freeAddress(t)
	args := []string{
		"--snapshot", snapshotFile(t, backend(t).Addr().String()), "--publish", "80=" + address,
		"--admin", adminAddress, "--telemetry", "", "--log", "off", "--drain-grace", "100ms",
		"--takeover", filepath.Join(t.TempDir(), "takeover"),
	}
	current := start(t, args...)
	current.await(t, "ready")
	stop, failed := make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(failed)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := rawGet(address); err != nil {
				failed <- fmt.Errorf("request %d: %w", n, err)
				return
			}
		}
	}()
	for range 2 {
		next := start(t, args...)
		next.await(t, "ready")
		current.await(t, "a successor has taken over")
		if err := current.Wait(); err != nil {
			t.Errorf("the predecessor ended with %v", err)
		}
		current = next
	}
	for range 50 {
		if err := rawGet(address); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	if err := <-failed; err != nil {
		t.Error(err)
	}
	if resp, err := http.Get("http://" + adminAddress + "/ready"); err != nil || resp.StatusCode != 200 {
		t.Errorf("the admin API did not come along: %v", err)
	}
	current.Process.Signal(syscall.SIGTERM)
	if err := current.Wait(); err != nil {
		t.Errorf("SIGTERM: %v", err)
	}
}

// TestTakeoverOfUDP: the successor gets the same socket, and one of the two responds to
// every datagram.
func TestTakeoverOfUDP(t *testing.T) {
	echo, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		buf := make([]byte, 100)
		for {
			n, from, err := echo.ReadFrom(buf)
			if err != nil {
				return
			}
			echo.WriteTo(buf[:n], from)
		}
	}()
	file := filepath.Join(t.TempDir(), "snapshot")
	text := fmt.Sprintf("listener 53/udp udp\nl4-route r 53/udp forward=a/b:53/udp\nservice a/b:53/udp round-robin\nendpoint a/b:53/udp %s\n", echo.LocalAddr())
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	args := []string{
		"--snapshot", file, "--publish", "53=" + address, "--admin", "", "--telemetry", "", "--log", "off",
		"--drain-grace", "0s", "--drain-wait", "10s", "--takeover", filepath.Join(t.TempDir(), "takeover"),
	}
	current := start(t, args...)
	current.await(t, "ready")
	client, err := net.Dial("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ask := func() {
		t.Helper()
		client.SetDeadline(time.Now().Add(10 * time.Second))
		client.Write([]byte("hello"))
		buf := make([]byte, 100)
		if n, err := client.Read(buf); err != nil || string(buf[:n]) != "hello" {
			t.Fatalf("%q %v", buf[:n], err)
		}
	}
	ask()
	next := start(t, args...)
	next.await(t, "ready")
	ask()
	current.await(t, "a successor has taken over")
	ask()
	if err := current.Wait(); err != nil {
		t.Errorf("the predecessor ended with %v", err)
	}
	ask()
}

// TestFailedSuccessorChangesNothing: the running data plane continues.
func TestFailedSuccessorChangesNothing(t *testing.T) {
	address := freeAddress(t)
	good := snapshotFile(t, backend(t).Addr().String())
	takeover := filepath.Join(t.TempDir(), "takeover")
	common := []string{"--publish", "80=" + address, "--admin", "", "--telemetry", "", "--log", "off", "--drain-grace", "0s", "--takeover", takeover}
	current := start(t, append([]string{"--snapshot", good}, common...)...)
	current.await(t, "ready")
	for _, err := os.Stat(takeover); err != nil; _, err = os.Stat(takeover) {
		runtime.Gosched() // it listens for successors just after this line
	}
	bad := start(t, append([]string{"--snapshot", good + ".gone"}, common...)...)
	if err := bad.Wait(); err == nil {
		t.Error("a successor without a snapshot ended well")
	}
	current.await(t, "a successor did not become ready")
	if err := rawGet(address); err != nil {
		t.Error(err)
	}
}

func TestReloadKeepsWhatWasLive(t *testing.T) {
	address := freeAddress(t)
	file := snapshotFile(t, backend(t).Addr().String())
	p := start(t, "--snapshot", file, "--publish", "80="+address, "--admin", "", "--telemetry", "", "--log", "off", "--drain-grace", "0s")
	p.await(t, "ready")
	if err := os.WriteFile(file, []byte("listener 80"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.Process.Signal(syscall.SIGHUP)
	p.await(t, "kept what was live")
	if err := rawGet(address); err != nil {
		t.Error(err)
	}
}

// TestTakenPortIsTriedAgain: the listener opens without intervention once the port is
// free.
func TestTakenPortIsTriedAgain(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	file := snapshotFile(t, backend(t).Addr().String())
	p := start(t, "--snapshot", file, "--publish", "80="+freeAddress(t), "--publish", "81="+taken.Addr().String(),
		"--admin", "", "--telemetry", "", "--log", "off", "--drain-grace", "0s")
	p.await(t, "ready")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	wider := strings.Replace(string(text), "host * 80\n", "listener 81 http\nhost * 80,81\n", 1)
	if err := os.WriteFile(file, []byte(wider), 0o600); err != nil {
		t.Fatal(err)
	}
	p.Process.Signal(syscall.SIGHUP)
	p.await(t, "ListenFailed")
	p.await(t, "reloaded: generation 2 ")
	taken.Close()
	p.await(t, "errors 0, warnings 0, resolved 1")
	if err := rawGet(taken.Addr().String()); err != nil {
		t.Error(err)
	}
}

func TestFlags(t *testing.T) {
	var out strings.Builder
	if _, err := parse("x", nil, &out); err == nil || !strings.Contains(err.Error(), "--snapshot") {
		t.Errorf("no snapshot: %v", err)
	}
	o, err := parse("x", []string{"--snapshot", "f", "--publish", "80=127.0.0.1:8080", "--trusted-proxies", "10.0.0.0/8,::1", "--bind", "::1"}, &out)
	if err != nil || o.address(model.Listener{ID: model.ListenerID{Port: 80}}) != "127.0.0.1:8080" || o.address(model.Listener{ID: model.ListenerID{Port: 443}}) != "[::1]:443" || len(o.trusted) != 2 {
		t.Errorf("%+v %v", o, err)
	}
	own := model.Listener{ID: model.ListenerID{Gateway: "a/b", Port: 80}, Address: "10.0.0.1:80"}
	if at := o.address(own); at != "10.0.0.1:80" {
		t.Errorf("a Gateway's own port 80 is opened at %s", at)
	}
	for _, bad := range [][]string{{"--publish", "80"}, {"--publish", "x=1:2"}, {"--trusted-proxies", "here"}} {
		if _, err := parse("x", append([]string{"--snapshot", "f"}, bad...), &out); err == nil {
			t.Errorf("%v was accepted", bad)
		}
	}
}
