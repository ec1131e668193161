package rig

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// Rig owns a temporary directory and the programs that run in it.
type Rig struct {
	// Dir is the temporary directory.
	Dir string

	mu        sync.Mutex
	processes []*Process
	names     int
}

// New makes a Rig.
func New() (*Rig, error) {
	dir, err := os.MkdirTemp("", "windrose-rig-")
	if err != nil {
		return nil, fmt.Errorf("make a directory to work in: %w", err)
	}
	return &Rig{Dir: dir}, nil
}

// Close ends all programs, the last started first, and removes the directory.
func (r *Rig) Close() error {
	r.mu.Lock()
	all := r.processes
	r.processes = nil
	r.mu.Unlock()
	for i := len(all) - 1; i >= 0; i-- {
		all[i].Stop()
	}
	return os.RemoveAll(r.Dir)
}

// File writes a file below the directory, with the directories that it needs, and returns
// its path.
func (r *Rig) File(name string, content []byte) (string, error) {
	path := filepath.Join(r.Dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	return path, os.WriteFile(path, content, 0o600)
}

// unique returns a name that no other program of this rig has.
func (r *Rig) unique(name string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names++
	return name + "-" + strconv.Itoa(r.names)
}

// FreePorts returns n ports of 127.0.0.1 on which nothing listens.
func FreePorts(n int) ([]int, error) {
	ports := make([]int, n)
	var errs []error
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			errs = append(errs, err)
			continue
		}
		defer l.Close() // held until all are found, so that they differ
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, errors.Join(errs...)
}

// Loopback returns 127.0.0.1 with a port.
func Loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
