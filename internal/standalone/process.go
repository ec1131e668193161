package standalone

import (
	"context"
	"fmt"
	"os/exec"
	"sync"
	"time"
)

// drainOutput is how long the output of a program that ended is still read: a
// process that it left behind may hold it open.
const drainOutput = time.Second

// runProcess starts cmd and returns when it has ended, and with it every
// process of its group. started is called once it runs. When ending is done
// the group is asked to end; when killing is done it is killed. If we are
// killed, guard kills it.
func runProcess(ending, killing context.Context, guard *sentinel, cmd *exec.Cmd, started func()) error {
	cmd.WaitDelay = drainOutput
	result := make(chan error, 1)
	// A goroutine, and on Linux so a thread, of its own: see isolate.
	go func() { result <- runIsolated(ending, killing, guard, cmd, started) }()
	return <-result
}

func runIsolated(ending, killing context.Context, guard *sentinel, cmd *exec.Cmd, started func()) error {
	if err := isolate(cmd); err != nil {
		return fmt.Errorf("isolate %s: %w", cmd.Path, err)
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	guard.watch(cmd.Process.Pid)
	started()
	exited := make(chan struct{})
	var ender sync.WaitGroup
	ender.Go(func() { endProcess(ending, killing, exited, cmd) })
	reap := awaitExit(cmd)
	close(exited)
	ender.Wait()
	// What the program leaves behind ends with it, as in a container.
	signalKill(cmd)
	guard.forget(cmd.Process.Pid)
	return reap()
}

func endProcess(ending, killing context.Context, exited <-chan struct{}, cmd *exec.Cmd) {
	select {
	case <-exited:
		return
	case <-ending.Done():
		signalEnd(cmd)
	}
	select {
	case <-exited:
	case <-killing.Done():
		signalKill(cmd)
	}
}
