//go:build unix

package standalone

import (
	"os/exec"
	"syscall"
)

// ownGroup makes cmd the leader of a new process group.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func signalEnd(cmd *exec.Cmd)  { signalGroup(cmd.Process.Pid, syscall.SIGTERM) }
func signalKill(cmd *exec.Cmd) { killGroup(cmd.Process.Pid) }
func killGroup(pid int)        { signalGroup(pid, syscall.SIGKILL) }

// signalGroup ignores the error: it fails only if the group has no process left.
func signalGroup(pid int, signal syscall.Signal) { syscall.Kill(-pid, signal) }
