package main

import "syscall"

// raiseFileLimit lets this process, and those that it starts, have as many
// open files as the system allows: ten thousand connections have two ends.
func raiseFileLimit() {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return
	}
	limit.Cur = limit.Max
	syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) // without it the section says so
	if limit.Max < 65536 {
		limit.Cur, limit.Max = 65536, 65536
		syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) // for root only
	}
}
