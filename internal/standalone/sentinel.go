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

// sentinel is a process of its own that outlives us, if we are killed, for as
// long as it takes to kill the process groups of our programs. It learns of
// them through a pipe, and of our end by the end of that pipe, which the kernel
// closes however we end. It starts with the first program.
//
// What it cannot reach is a process that has left its program's group, such as
// a daemon that called setsid; that would take a container.
type sentinel struct {
	// command starts this program again, such that it runs Sentinel; empty is
	// no sentinel.
	command []string
	// trouble is told, once, why there is none.
	trouble func(error)

	mu      sync.Mutex
	process *exec.Cmd
	pipe    io.WriteCloser
	ended   bool
}

// watch makes the group of a process one that must not outlive us.
func (s *sentinel) watch(pid int) { s.say('+', pid) }

// forget takes that back. It comes before the process is reaped, so that its
// number cannot be another's yet.
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
	ownGroup(process) // a terminal's signals to our group are not for it
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

// Sentinel is what the process of Config.Sentinel does: it reads from in, until
// that ends, which process groups there are, and then kills those.
func Sentinel(in io.Reader) {
	signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	for pid := range watched(in) {
		killGroup(pid)
	}
}

// watched reads lines of a sign and a number, and returns the numbers that
// were added and not taken back. What it does not understand it passes over.
func watched(in io.Reader) map[int]bool {
	groups := map[int]bool{}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		line := lines.Text()
		if len(line) < 2 {
			continue
		}
		pid, err := strconv.Atoi(line[1:])
		switch {
		case err != nil || pid <= 1: // 0 and 1 would be us, or everyone
		case line[0] == '+':
			groups[pid] = true
		case line[0] == '-':
			delete(groups, pid)
		}
	}
	return groups
}
