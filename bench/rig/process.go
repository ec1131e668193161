package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Spec says how to start a program.
type Spec struct {
	Name string
	Args []string
	// CPUs pins the program to a list such as "0" or "0,1"; empty does not pin it.
	CPUs string
	// Env is added to our own environment.
	Env []string
	// Stdout receives the standard output; nil is /dev/null.
	Stdout io.Writer
}

// Process is a started program, with all processes that it starts.
type Process struct {
	Name string
	Pid  int

	cmd    *exec.Cmd
	stderr string // file
	done   chan struct{}
}

// Start starts a program in a process group of its own.
func (r *Rig) Start(spec Spec) (*Process, error) {
	path, err := resolve(spec.Name)
	if err != nil {
		return nil, err
	}
	args := append([]string{path}, spec.Args...)
	if spec.CPUs != "" {
		taskset, err := Tool("taskset")
		if err != nil {
			return nil, err
		}
		args = append([]string{taskset, "-c", spec.CPUs}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), spec.Env...)
	cmd.Stdout, cmd.Dir = spec.Stdout, r.Dir
	cmd.SysProcAttr = ownGroup()
	p := &Process{Name: filepath.Base(spec.Name), cmd: cmd, done: make(chan struct{})}
	return p, r.launch(p)
}

// resolve returns the path of a program; an absolute path is returned unchanged.
func resolve(name string) (string, error) {
	if filepath.IsAbs(name) {
		return name, nil
	}
	return Tool(name)
}

func (r *Rig) launch(p *Process) error {
	log, err := os.Create(filepath.Join(r.Dir, r.unique(p.Name)+".stderr"))
	if err != nil {
		return err
	}
	defer log.Close()
	p.cmd.Stderr, p.stderr = log, log.Name()
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	p.Pid = p.cmd.Process.Pid
	go func() {
		p.cmd.Wait() // its standard error says how it ended
		close(p.done)
	}()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.processes = append(r.processes, p)
	return nil
}

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Signal sends a signal to the program, not to its group.
func (p *Process) Signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// stopPatience is how long a program may take to end before it is killed.
const stopPatience = 5 * time.Second

// Stop ends the program and all that it started.
func (p *Process) Stop() {
	select {
	case <-p.done:
	default:
		p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(stopPatience):
		}
	}
	killGroup(p.Pid)
	<-p.done
}

// Stderr returns what the program has written to its standard error.
func (p *Process) Stderr() string {
	text, err := os.ReadFile(p.stderr)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// ErrEnded is wrapped if a program ended that should be serving.
var ErrEnded = errors.New("it ended")

// Accepting waits until all addresses accept connections. It fails if the program or ctx
// ends before.
func (p *Process) Accepting(ctx context.Context, addresses ...string) error {
	for _, address := range addresses {
		if err := p.Await(ctx, func() bool { return accepts(address) }); err != nil {
			return fmt.Errorf("%s does not accept connections at %s: %w", p.Name, address, err)
		}
	}
	return nil
}

// Await waits until ready returns true. It fails if the program or ctx ends before.
func (p *Process) Await(ctx context.Context, ready func() bool) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ready() {
		select {
		case <-p.done:
			return fmt.Errorf("%w: %s", ErrEnded, p.Stderr())
		case <-ctx.Done():
			return fmt.Errorf("%w: %s", ctx.Err(), p.Stderr())
		case <-tick.C:
		}
	}
	return nil
}

func accepts(address string) bool {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}
