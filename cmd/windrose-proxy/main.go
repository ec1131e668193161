// Command windrose-proxy is the data plane of the mesh: sidecar, node and
// waypoint. It links no Kubernetes code and stays small: no QUIC, which nothing in
// the mesh speaks, and what the mesh does not need, such as compression, is in the
// table of filters of the edge alone.
package main

import (
	"os"

	"windrose.dev/windrose/internal/proxy/filter"
	"windrose.dev/windrose/internal/proxy/serve"
)

func main() { os.Exit(serve.Main("windrose-proxy", os.Args[1:], serve.Parts{Filters: filter.Table()})) }
