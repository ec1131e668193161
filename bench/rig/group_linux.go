package rig

import "syscall"

// ownGroup puts a program into a process group of its own, and has the system
// end it should we die without a word.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

// killGroup ends what is left of a process group.
func killGroup(pid int) { syscall.Kill(-pid, syscall.SIGKILL) }
