package rig

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of CPU times in /proc/PID/stat: USER_HZ, which is 100 on
// every architecture that Go runs on.
const tick = 10 * time.Millisecond

// Usage is the resource usage of a program and its children.
type Usage struct {
	// CPU is user and system time since the start, in steps of 10 ms.
	CPU time.Duration
	// RSS is the resident memory in bytes, and Anonymous the part of it that
	// is not backed by files.
	RSS, Anonymous int64
}

// Usage reads the current usage of the program and its children. It needs Linux.
func (p *Process) Usage() (Usage, error) {
	var sum Usage
	for _, pid := range append([]int{p.Pid}, p.Children()...) {
		u, err := usageOf(pid)
		if err != nil {
			return Usage{}, fmt.Errorf("%s: %w", p.Name, err)
		}
		sum.CPU += u.CPU
		sum.RSS += u.RSS
		sum.Anonymous += u.Anonymous
	}
	return sum, nil
}

// Children returns the live processes that the program has started.
func (p *Process) Children() []int {
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", p.Pid))
	if err != nil {
		panic(err) // the pattern is well-formed
	}
	var pids []int
	for _, list := range lists {
		text, _ := os.ReadFile(list) // a thread that has ended has no children
		for _, word := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(word); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// Files returns the open files of the process, sockets included.
func (p *Process) Files() ([]string, error) {
	dir := fmt.Sprintf("/proc/%d/fd", p.Pid)
	open, err := os.ReadDir(dir)
	out := make([]string, 0, len(open))
	for _, entry := range open {
		if target, err := os.Readlink(filepath.Join(dir, entry.Name())); err == nil {
			out = append(out, target)
		}
	}
	return out, err
}

func usageOf(pid int) (Usage, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Usage{}, err
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return Usage{}, err
	}
	cpu, err := cpuOf(stat)
	return Usage{CPU: cpu, RSS: kilobytes(status, "VmRSS:"), Anonymous: kilobytes(status, "RssAnon:")}, err
}

// cpuOf adds utime and stime, the 14th and 15th field of stat (proc(5)). The second
// field, the program's name, may contain spaces.
func cpuOf(stat []byte) (time.Duration, error) {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("cannot read CPU times from %q", stat)
	}
	user, err := strconv.ParseInt(string(fields[11]), 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(string(fields[12]), 10, 64)
	return time.Duration(user+system) * tick, err
}

func kilobytes(status []byte, key string) int64 {
	_, rest, found := bytes.Cut(status, []byte("\n"+key))
	fields := bytes.Fields(rest)
	if !found || len(fields) == 0 {
		return 0
	}
	n, err := strconv.ParseInt(string(fields[0]), 10, 64)
	if err != nil {
		return 0
	}
	return n << 10
}
