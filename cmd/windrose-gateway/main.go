// Command windrose-gateway is the data plane of the edge. It has all filters
// and links no Kubernetes code.
package main

import (
	"os"

	"windrose.dev/windrose/internal/proxy/filter/edge"
	"windrose.dev/windrose/internal/proxy/http3"
	"windrose.dev/windrose/internal/proxy/serve"
)

func main() {
	os.Exit(serve.Main("windrose-gateway", os.Args[1:], serve.Parts{Filters: edge.Table(), HTTP3: http3.New}))
}
