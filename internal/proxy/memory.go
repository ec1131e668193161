package proxy

import (
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
)

// LimitMemory tells the garbage collector to stay below 90 % of what the
// cgroup of this process allows, unless GOMEMLIMIT says otherwise. Mains call
// it once.
func LimitMemory() {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	if limit := cgroupLimit("/proc/self/cgroup", "/sys/fs/cgroup"); limit > 0 {
		debug.SetMemoryLimit(limit / 10 * 9)
	}
}

// cgroupLimit is the smallest memory.max from the process's cgroup (version 2)
// up to the root, or 0.
func cgroupLimit(selfFile, root string) int64 {
	self, err := os.ReadFile(selfFile)
	if err != nil {
		return 0
	}
	_, path, found := strings.Cut(strings.TrimSpace(string(self)), "0::")
	if !found {
		return 0
	}
	limit := int64(math.MaxInt64)
	for dir := filepath.Join("/", path); ; dir = filepath.Dir(dir) {
		text, _ := os.ReadFile(filepath.Join(root, dir, "memory.max"))
		if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil {
			limit = min(limit, n)
		}
		if dir == "/" {
			break
		}
	}
	if limit == math.MaxInt64 {
		return 0
	}
	return limit
}
