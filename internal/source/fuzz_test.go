package source

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// FuzzLoad reads any bytes as a file: nothing panics or hangs, every Report and
// object has a line within the file, and what a later, shorter version of the
// file makes of it holds to the same.
func FuzzLoad(f *testing.F) {
	cases, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range cases {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range filesUnder(archive, "step") {
			f.Add(file.Data)
		}
	}
	for _, text := range oddDocuments {
		f.Add([]byte(text))
	}
	r := newReader(Config{Guards: guardsInTests}.withDefaults())
	f.Fuzz(func(t *testing.T, content []byte) {
		text := string(content)
		last := loadText(t, r, text, nil)
		loadText(t, r, text[:len(text)/2], last)
	})
}

// loadText does what Load does with one file.
func loadText(t *testing.T, r *reader, text string, last map[objectKey]*claim) map[objectKey]*claim {
	s := newSettling(r.kinds, last)
	for _, c := range splitAny(text) {
		s.document(located{file: "f", chunk: c, doc: r.document(c.text)})
	}
	lines := strings.Count(text, "\n") + 1
	for _, report := range s.reports {
		if report.Origin.Line < 1 || report.Origin.Line > lines {
			t.Errorf("a file of %d lines: %s", lines, report)
		}
	}
	for key, c := range s.next {
		if last[key] != nil && c.state != Current {
			continue // its place is that of the version before
		}
		if c.origin.Line < 1 || c.origin.Line > lines || key.name.Name == "" {
			t.Errorf("a file of %d lines: %v at %v", lines, key.name, c.origin)
		}
	}
	s.finish()
	return s.next
}
