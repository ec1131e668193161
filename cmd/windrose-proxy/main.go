// Command windrose-proxy is the data plane of the mesh: sidecar, node and waypoint. It
// links no Kubernetes code and stays small. It has no QUIC, which nothing in the mesh
// speaks, and none of the filters that only the edge needs, such as compression.
package main

import (
	"os"

	"windrose.dev/windrose/internal/proxy/filter"
	"windrose.dev/windrose/internal/proxy/serve"
)

func main() { os.Exit(serve.Main("windrose-proxy", os.Args[1:], serve.Parts{Filters: filter.Table()})) }
