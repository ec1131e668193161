package standalone

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"windrose.dev/windrose/internal/reason"
)

const (
	// probeQuick is how often a program's ports are probed at first, probeSlow how often
	// after slowAfter, when the pod also gets a Report.
	probeQuick = 10 * time.Millisecond
	probeSlow  = 250 * time.Millisecond
	slowAfter  = 3 * time.Second
)

// condition is the state of a pod: ready, or not ready because of code and message. The
// zero value is a pod that is starting.
type condition struct {
	ready   bool
	code    reason.Code
	message string
}

// commandConfig configures a commandPod.
type commandConfig struct {
	pod   plannedPod
	ports map[int32]int32
	// env is the whole environment.
	env    []string
	output *output
	// guard kills the program's processes if this process is killed.
	guard *sentinel
	// changed is called after each change of condition.
	changed func()
}

// commandPod runs the program of one pod and restarts it when it ends.
type commandPod struct {
	commandConfig
	// ending asks the program to end, killing kills it.
	ending, killing context.Context
	end, kill       context.CancelFunc
	done            chan struct{}

	mu  sync.Mutex
	now condition
}

// startCommand starts the program and keeps it running until stop is called.
func startCommand(c commandConfig) *commandPod {
	p := &commandPod{commandConfig: c, done: make(chan struct{})}
	p.ending, p.end = context.WithCancel(context.Background())
	p.killing, p.kill = context.WithCancel(context.Background())
	go p.keepRunning()
	return p
}

func (p *commandPod) loopbackPorts() map[int32]int32 { return p.ports }

func (p *commandPod) condition() condition {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

// stop asks the program to end, kills it when ctx is done, and returns when it has ended.
func (p *commandPod) stop(ctx context.Context) {
	p.end()
	defer p.kill()
	defer context.AfterFunc(ctx, p.kill)()
	<-p.done
}

func (p *commandPod) keepRunning() {
	defer close(p.done)
	var wait backoff
	for {
		started := time.Now()
		err := p.runOnce()
		if p.ending.Err() != nil {
			p.set(condition{})
			return
		}
		wait = wait.after(time.Since(started))
		p.set(condition{code: reason.CommandFailed, message: failure(err)})
		select {
		case <-time.After(wait.delay()):
		case <-p.ending.Done():
			return
		}
	}
}

func failure(err error) string {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return "ended with exit status 0, but a pod's program is to stay"
	case errors.As(err, &exit):
		return "ended with " + exit.String()
	}
	return "could not start: " + err.Error()
}

func (p *commandPod) runOnce() error {
	words := p.pod.command.words
	lines := &lineWriter{out: p.output, prefix: "[" + p.pod.name.String() + "] "}
	defer lines.flush()
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Dir, cmd.Env = p.pod.command.dir, p.env
	cmd.Stdout, cmd.Stderr = lines, lines

	alive, died := context.WithCancel(p.ending)
	var prober sync.WaitGroup
	err := runProcess(p.ending, p.killing, p.guard, cmd, func() {
		prober.Go(func() { p.probe(alive) })
	})
	died()
	prober.Wait()
	return err
}

// probe waits until every port accepts connections: a pod is ready when all Services can
// reach it.
func (p *commandPod) probe(alive context.Context) {
	waiting := p.pod.ports
	datagrams := p.pod.udp
	started := time.Now()
	for interval := probeQuick; ; {
		waiting = slices.DeleteFunc(slices.Clone(waiting), func(port int32) bool { return accepts(alive, p.ports[port]) })
		datagrams = slices.DeleteFunc(slices.Clone(datagrams), func(port int32) bool { return isBound(p.ports[port]) })
		if len(waiting)+len(datagrams) == 0 {
			p.setIfAlive(alive, condition{ready: true})
			return
		}
		if interval == probeQuick && time.Since(started) > slowAfter {
			interval = probeSlow
			p.reportSlow(alive, slices.Concat(waiting, datagrams))
		}
		select {
		case <-time.After(interval):
		case <-alive.Done():
			return
		}
	}
}

func accepts(ctx context.Context, port int32) bool {
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", address(port))
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// reportSlow reports a program that does not accept connections. If the program failed
// before, it keeps that Report, which says more.
func (p *commandPod) reportSlow(alive context.Context, waiting []int32) {
	if p.condition().code == reason.CommandFailed {
		return
	}
	missing := make([]string, len(waiting))
	for i, port := range waiting {
		missing[i] = fmt.Sprintf("%s (PORT_%d)", address(p.ports[port]), port)
	}
	p.setIfAlive(alive, condition{
		code:    reason.WorkloadIncomplete,
		message: "runs, but does not accept connections at " + strings.Join(missing, ", "),
	})
}

// setIfAlive sets the condition unless the program has ended: its end sets the last one.
func (p *commandPod) setIfAlive(alive context.Context, now condition) {
	if alive.Err() == nil {
		p.set(now)
	}
}

func (p *commandPod) set(now condition) {
	p.mu.Lock()
	same := p.now == now
	p.now = now
	p.mu.Unlock()
	if !same {
		p.changed()
	}
}
