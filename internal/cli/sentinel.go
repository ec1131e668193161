package cli

import (
	"github.com/spf13/cobra"

	"windrose.dev/windrose/internal/standalone"
)

const sentinelName = "sentinel"

// sentinelCommand is used by run only, which starts it together with the first program of
// a pod.
func sentinelCommand() *cobra.Command {
	return &cobra.Command{
		Use: sentinelName, Short: "end what the programs of a run that was killed have started",
		Hidden: true, Args: cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) { standalone.Sentinel(cmd.InOrStdin()) },
	}
}

// sentinelOf returns the command line that starts a sentinel.
func sentinelOf(self string) []string {
	if self == "" {
		return nil
	}
	return []string{self, sentinelName}
}
