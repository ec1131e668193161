package standalone

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
)

// sentinel is a separate process that kills the process groups of our programs if this
// process is killed. It learns the groups through a pipe. The kernel closes the pipe
// however this process ends, and that tells the sentinel. It starts with the first
// program.
//
// It cannot reach a process that has left its program's group, such as a daemon that
// called setsid; that would take a container.
type sentinel struct {
	// command starts this program again so that it runs Sentinel; if empty, there is no
	// sentinel.
	command []string
	// trouble is called once if the sentinel cannot be started.
	trouble func(error)

	mu      sync.Mutex
	process *exec.Cmd
	pipe    io.WriteCloser
	ended   bool
}

// watch adds a process group to those that must not outlive this process.
func (s *sentinel) watch(pid int) { s.say('+', pid) }

// forget removes a process group. It must be called before the process is reaped, while
// its id cannot belong to another process.
func (s *sentinel) forget(pid int) { s.say('-', pid) }

func (s *sentinel) say(sign byte, pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || len(s.command) == 0 {
		return
	}
	err := s.start()
	if err == nil {
		_, err = fmt.Fprintf(s.pipe, "%c%d\n", sign, pid)
	}
	if err != nil {
		s.ended = true
		s.trouble(err)
	}
}

func (s *sentinel) start() error {
	if s.process != nil {
		return nil
	}
	process := exec.Command(s.command[0], s.command[1:]...)
	ownGroup(process) // signals that a terminal sends to our group do not reach it
	pipe, err := process.StdinPipe()
	if err != nil {
		return err
	}
	if err := process.Start(); err != nil {
		return err
	}
	s.process, s.pipe = process, pipe
	return nil
}

// close ends the sentinel, which has nothing left to kill, and waits for it.
func (s *sentinel) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	if s.process != nil {
		s.pipe.Close()
		s.process.Wait()
	}
}

// Sentinel is the main function of the process that Config.Sentinel starts. It reads the
// process groups from in until the end of in, and then kills them.
func Sentinel(in io.Reader) {
	signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	for pid := range watched(in) {
		killGroup(pid)
	}
}

// watched reads lines of a sign and a number, and returns the numbers that were added and
// not removed. Invalid lines are skipped.
func watched(in io.Reader) map[int]bool {
	groups := map[int]bool{}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		line := lines.Text()
		if len(line) < 2 {
			continue
		}
		pid, err := strconv.Atoi(line[1:])
		switch {
		case err != nil || pid <= 1: // 0 and 1 would mean our own group, or all processes
		case line[0] == '+':
			groups[pid] = true
		case line[0] == '-':
			delete(groups, pid)
		}
	}
	return groups
}
