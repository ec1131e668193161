package rig

import (
	"errors"
	"fmt"
	"os/exec"
	"slices"
)

// packages are the programs that this repository does not build, with their Debian
// packages.
var packages = map[string]string{
	"curl":    "curl",
	"node":    "nodejs",
	"h2load":  "nghttp2-client",
	"haproxy": "haproxy",
	"hey":     "hey",
	"nghttp":  "nghttp2-client",
	"nginx":   "nginx",
	"openssl": "openssl",
	"taskset": "util-linux",
	"wrk":     "wrk",
}

// ErrMissing is wrapped by errors about programs that are not installed.
var ErrMissing = errors.New("not installed")

// Tool finds a program. Its error names the package to install.
func Tool(name string) (string, error) {
	// Debian installs servers outside the path of ordinary users.
	for _, candidate := range []string{name, "/usr/sbin/" + name, "/usr/local/sbin/" + name} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is %w: apt-get install %s", name, ErrMissing, packages[name])
}

// Missing returns those of names that are not installed, sorted.
func Missing(names ...string) []string {
	missing := slices.DeleteFunc(slices.Sorted(slices.Values(names)), func(name string) bool {
		_, err := Tool(name)
		return err == nil
	})
	return missing
}
