package standalone

import (
	"context"
	"fmt"
	"os/exec"
	"sync"
	"time"
)

// drainOutput is how long the output of an ended program is still read: a process that it
// left behind may hold it open.
const drainOutput = time.Second

// runProcess starts cmd and returns when it and every process of its group have ended.
// started is called once cmd runs. When ending is done, the group is asked to end; when
// killing is done, it is killed. guard kills it if this process is killed.
func runProcess(ending, killing context.Context, guard *sentinel, cmd *exec.Cmd, started func()) error {
	cmd.WaitDelay = drainOutput
	result := make(chan error, 1)
	// The goroutine keeps its thread on Linux: see isolate.
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
	// Processes that the program leaves behind end with it, as in a container.
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
