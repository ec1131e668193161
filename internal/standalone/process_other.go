//go:build !unix

package standalone

import "os/exec"

// isolate does nothing: there are no process groups.
func isolate(*exec.Cmd) error { return nil }

// ownGroup does nothing: there are no process groups.
func ownGroup(*exec.Cmd) {}

// killGroup does nothing: programs outlive a run that is killed.
func killGroup(int) {}

// awaitExit returns when the program has ended.
func awaitExit(cmd *exec.Cmd) (reap func() error) {
	err := cmd.Wait()
	return func() error { return err }
}

// signalEnd kills the program: there is no signal that asks it to end.
func signalEnd(cmd *exec.Cmd) { signalKill(cmd) }

// signalKill ignores the error: it fails only if the program has ended.
func signalKill(cmd *exec.Cmd) { cmd.Process.Kill() }
