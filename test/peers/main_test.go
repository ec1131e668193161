//go:build peers

package peers

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"windrose.dev/windrose/bench/rig"
)

// built is the rig with the commands under test, built once for all tests.
var built *rig.Rig

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	if built, err = rig.New(); err == nil {
		defer built.Close()
		err = built.Build(context.Background(), "windrose", "windrose-gateway")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// newRig makes a rig that ends with the test and has the built commands.
func newRig(t *testing.T) *rig.Rig {
	t.Helper()
	r, err := rig.New()
	ok(t, err)
	t.Cleanup(func() { ok(t, r.Close()) })
	ok(t, os.Symlink(built.Dir+"/bin", r.Dir+"/bin"))
	return r
}

// startTime bounds the start of a program.
const startTime = 20 * time.Second

// soon returns a context for the start of a program.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	t.Cleanup(cancel)
	return ctx
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		ok(t, err)
		return v
	}
}

// ports returns free addresses.
func ports(t *testing.T, n int) []string {
	t.Helper()
	numbers := must[[]int](t)(rig.FreePorts(n))
	addresses := make([]string, n)
	for i, port := range numbers {
		addresses[i] = rig.Loopback(port)
	}
	return addresses
}
