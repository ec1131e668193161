//go:build unix

package standalone

import (
	"os/exec"
	"syscall"
)

// ownGroup makes cmd the leader of a process group of its own.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func signalEnd(cmd *exec.Cmd)  { signalGroup(cmd.Process.Pid, syscall.SIGTERM) }
func signalKill(cmd *exec.Cmd) { killGroup(cmd.Process.Pid) }
func killGroup(pid int)        { signalGroup(pid, syscall.SIGKILL) }

// signalGroup fails only when nobody is left in the group.
func signalGroup(pid int, signal syscall.Signal) { syscall.Kill(-pid, signal) }
