package main

import (
	"flag"
	"strings"
	"testing"

	"windrose.dev/windrose/internal/proxy/serve"
)

// Every flag of the data planes is on the page of commands.
func TestCommandsHaveTheDataPlanes(t *testing.T) {
	page := commands()
	for _, p := range planes {
		_, section, found := strings.Cut(page, "\n## `"+p.name+" ")
		if !found {
			t.Errorf("%s has no section", p.name)
			continue
		}
		section, _, _ = strings.Cut(section, "\n## ")
		serve.Flags(p.name).VisitAll(func(f *flag.Flag) {
			if !strings.Contains(section, "| `--"+f.Name+"` | "+f.DefValue+" | ") {
				t.Errorf("%s lacks --%s", p.name, f.Name)
			}
		})
	}
}
