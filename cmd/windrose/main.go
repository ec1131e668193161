// Command windrose is the whole program: the command line, the control plane
// and the engine with every filter.
package main

import (
	"os"

	"windrose.dev/windrose/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr)) }
