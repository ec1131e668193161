//go:build unix && !linux

package standalone

import "os/exec"

// isolate prepares cmd to run in a process group of its own. Only Linux can kill it when
// this process is killed; on other systems the sentinel does that.
func isolate(cmd *exec.Cmd) error {
	ownGroup(cmd)
	return nil
}

// awaitExit returns when the program has ended.
func awaitExit(cmd *exec.Cmd) (reap func() error) {
	err := cmd.Wait()
	return func() error { return err }
}
