package rig

import "syscall"

// ownGroup starts a program in its own process group, and makes the kernel end it if this
// process is killed.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

// killGroup kills the remaining processes of a process group.
func killGroup(pid int) { syscall.Kill(-pid, syscall.SIGKILL) }
