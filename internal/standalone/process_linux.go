package standalone

import (
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// isolate prepares cmd to run in a process group of its own, without access to more
// privileges than ours (no set-user-id, no file capabilities), and to be killed when this
// process ends, even if it is killed itself. The last applies to the program only, and
// works without the sentinel; the processes that the program starts are killed by the
// sentinel.
//
// No-new-privileges and the death signal belong to the calling thread. The goroutine
// locks that thread and never unlocks it: the kernel sends the death signal when the
// thread that started the program ends, and no other goroutine must inherit the lost
// privileges. The thread ends with the goroutine.
func isolate(cmd *exec.Cmd) error {
	runtime.LockOSThread()
	ownGroup(cmd)
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
}

// awaitExit returns when the program has ended but still has its process id, so that
// signals to its group cannot hit another process. Call reap to release the id.
func awaitExit(cmd *exec.Cmd) (reap func() error) {
	for {
		err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			return cmd.Wait
		}
	}
}
