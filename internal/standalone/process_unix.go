//go:build unix && !linux

package standalone

import (
	"os/exec"
	"syscall"
)

// isolate prepares cmd to run in a process group of its own. Systems other
// than Linux offer no way to let it die with us when we are killed.
func isolate(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return nil
}

// awaitExit returns when the program has ended.
func awaitExit(cmd *exec.Cmd) (reap func() error) {
	err := cmd.Wait()
	return func() error { return err }
}

func signalEnd(cmd *exec.Cmd)  { signalGroup(cmd, syscall.SIGTERM) }
func signalKill(cmd *exec.Cmd) { signalGroup(cmd, syscall.SIGKILL) }

// signalGroup fails only when nobody is left in the group.
func signalGroup(cmd *exec.Cmd, signal syscall.Signal) { syscall.Kill(-cmd.Process.Pid, signal) }
