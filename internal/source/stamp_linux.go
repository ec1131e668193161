package source

import (
	"io/fs"
	"syscall"
	"time"
)

// stamp is what changes when a file's content does. The change time is the
// part to rely on: unlike the modification time, no program can set it.
type stamp struct {
	dev, ino         uint64
	size             int64
	modified, change syscall.Timespec
}

// stampOf returns the stamp of a file, and whether it will be another one once
// the content changes: a file that changed only just now may change again
// within the granularity of its file system's clock.
func stampOf(info fs.FileInfo, now time.Time, settle time.Duration) (stamp, bool) {
	sys, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return stamp{}, false
	}
	settled := now.Sub(time.Unix(sys.Ctim.Sec, sys.Ctim.Nsec)) > settle
	return stamp{uint64(sys.Dev), sys.Ino, sys.Size, sys.Mtim, sys.Ctim}, settled
}
