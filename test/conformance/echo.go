package conformance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// echoPackage is the suite's backend, at the version in go.mod.
const echoPackage = "sigs.k8s.io/gateway-api/conformance/echo-basic"

// buildEcho builds echo-basic into a directory, and returns its path. Go's cache makes a
// second build quick.
func buildEcho(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "echo-basic")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-buildid= -s -w", "-o", path, echoPackage)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", echoPackage, err, out)
	}
	return path, nil
}
