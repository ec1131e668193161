package dir

import (
	"io/fs"
	"os"
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

// pseudoFiles are the file systems whose files are made as they are read: one
// may have no end, or wait for something to say, and calls itself regular.
var pseudoFiles = map[int64]bool{
	0x9fa0: true, 0x62656572: true, 0x64626720: true, 0x74726163: true, // proc, sysfs, debugfs, tracefs
}

// isPseudo reports whether a file is one of those.
func isPseudo(f *os.File) bool {
	raw, err := f.SyscallConn()
	if err != nil {
		return false
	}
	var on syscall.Statfs_t
	raw.Control(func(fd uintptr) { err = syscall.Fstatfs(int(fd), &on) })
	return err == nil && pseudoFiles[int64(on.Type)]
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
