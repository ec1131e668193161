package main

import "syscall"

// raiseFileLimit raises the limit of open files for this process and its children as far
// as the system allows: ten thousand connections have two ends each.
func raiseFileLimit() {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return
	}
	limit.Cur = limit.Max
	syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) // the section reports a failure
	if limit.Max < 65536 {
		limit.Cur, limit.Max = 65536, 65536
		syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) // works for root only
	}
}
