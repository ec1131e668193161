package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

const rootLong = `Windrose carries every direction that traffic takes: ingress and service mesh
in one program. It reads the resources that you already have and says why it
did what it did.`

// Root returns the command with all its subcommands. self is the path of this program,
// which starts it again as a sentinel; "" means that it cannot be started again.
func Root(self string) *cobra.Command {
	root := &cobra.Command{
		Use: "windrose", Short: "ingress and service mesh in one program", Long: rootLong,
		SilenceErrors: true, SilenceUsage: true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(runCommand(self), translateCommand(), explainCommand(), callCommand(), sentinelCommand())
	return root
}

// Main runs the command in args and returns the exit status. The first interrupt ends the
// command gracefully, a second one at once. self is as in Root.
func Main(self string, args []string, out, errOut io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	root := Root(self)
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errOut)
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(errOut, "windrose:", err)
		return 1
	}
	return 0
}
