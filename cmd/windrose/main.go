// Command windrose is the whole program: the command line, the control plane
// and the engine with every filter.
package main

import (
	"os"

	"windrose.dev/windrose/internal/cli"
)

func main() {
	self, err := os.Executable()
	if err != nil {
		self = "" // run works without a sentinel then
	}
	os.Exit(cli.Main(self, os.Args[1:], os.Stdout, os.Stderr))
}
