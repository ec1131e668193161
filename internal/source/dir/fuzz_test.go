package dir

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
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
		text, b := string(content), source.NewBuilder()
		before := map[string]bool{}
		checkText(t, r, b, text, before)
		checkText(t, r, b, text[:len(text)/2], before)
	})
}

// checkText does what Load does with one file. before are the objects of its last
// version, whose places may be kept.
func checkText(t *testing.T, r *reader, b *source.Builder, text string, before map[string]bool) {
	s := b.Begin()
	for _, c := range splitAny(text) {
		addDocument(s, located{file: "f", chunk: c, doc: r.document(c.text)})
	}
	set, lines := s.Set(), strings.Count(text, "\n")+1
	for _, report := range set.Reports {
		if line := report.Origin.Line; (line < 1 || line > lines) && !before[report.Origin.Object()] {
			t.Errorf("a file of %d lines: %s", lines, report)
		}
	}
	eachObject(set, func(_ any, at reason.Origin, state source.State) {
		kept := before[at.Object()] && state != source.Current
		if !kept && (at.Line < 1 || at.Line > lines || at.Name == "") {
			t.Errorf("a file of %d lines: %v at %s", lines, at.Object(), at.Place())
		}
		before[at.Object()] = true
	})
}
