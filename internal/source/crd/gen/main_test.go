package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestCopyIsTheModules: the definitions in the repository are those of the
// module that go.mod names.
func TestCopyIsTheModules(t *testing.T) {
	definitions, err := fromModule()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range definitions {
		if got, err := read(filepath.Join("../schemas", name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is stale (%v): run go generate ./internal/source/crd", name, err)
		}
	}
	files, err := os.ReadDir("../schemas")
	if err != nil || len(files) != len(definitions) {
		t.Errorf("%d files for %d definitions (%v): remove those that are not needed", len(files), len(definitions), err)
	}
}
