//go:build unix && !linux

package standalone

import "os/exec"

// isolate prepares cmd to run in a process group of its own. Systems other
// than Linux offer no way to let it die with us when we are killed, but for the
// sentinel.
func isolate(cmd *exec.Cmd) error {
	ownGroup(cmd)
	return nil
}

// awaitExit returns when the program has ended.
func awaitExit(cmd *exec.Cmd) (reap func() error) {
	err := cmd.Wait()
	return func() error { return err }
}
