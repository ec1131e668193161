package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"windrose.dev/windrose/internal/proxy/serve"
	"windrose.dev/windrose/internal/reason"
)

// journal is what a run says of itself.
type journal interface {
	report(reason.Report)
	ready(started)
	reload(serve.Reload)
}

// started is what is said once everything serves.
type started struct {
	// Reload has what is live, and the counts.
	serve.Reload
	// Admin is the address of the admin API.
	Admin string `json:"admin"`
	// CA is the file of the authority that signs certificates, if it is kept.
	CA          string       `json:"ca,omitempty"`
	EntryPoints []entryPoint `json:"entryPoints"`
}

// newJournal makes the journal for -o text or json.
func newJournal(output string, out, errOut io.Writer) (journal, error) {
	switch output {
	case "text":
		return textJournal{out, errOut}, nil
	case "json":
		return jsonJournal{out}, nil
	}
	return nil, fmt.Errorf("-o %s: write text or json", output)
}

// textJournal is for people: Reports and reloads go to standard error.
type textJournal struct{ out, errOut io.Writer }

func (j textJournal) report(r reason.Report) { fmt.Fprintln(j.errOut, r) }

func (j textJournal) reload(r serve.Reload) { fmt.Fprintln(j.errOut, "windrose:", r) }

// ready writes all at once, so that no line of another comes between.
func (j textJournal) ready(s started) {
	var text bytes.Buffer
	writeEntryPoints(&text, s.EntryPoints)
	if s.CA != "" {
		fmt.Fprintf(&text, "certificates are signed by %s\n", s.CA)
	}
	text.WriteString("ready\n")
	j.out.Write(text.Bytes())
}

// jsonJournal is for programs: an object a line on standard output, with the
// member event. Lines of the access log have none.
type jsonJournal struct{ out io.Writer }

func (j jsonJournal) report(r reason.Report) {
	j.write(struct {
		Event  string        `json:"event"`
		Report reason.Report `json:"report"`
	}{"report", r})
}

func (j jsonJournal) ready(s started) {
	s.EntryPoints = append([]entryPoint{}, s.EntryPoints...) // a list, though it be empty
	j.write(struct {
		Event string `json:"event"`
		started
	}{"ready", s})
}

func (j jsonJournal) reload(r serve.Reload) {
	j.write(struct {
		Event string `json:"event"`
		serve.Reload
	}{"reload", r})
}

func (j jsonJournal) write(v any) {
	line, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("cli: marshal %T: %v", v, err)) // plain values always marshal
	}
	j.out.Write(append(line, '\n')) // a reader that has gone must not end the run
}

// streams are where the lines of a run go.
type streams struct{ log, programs io.Writer }

// streamsOf keeps standard output free of what does not parse where its lines
// are to be parsed: there programs print to standard error.
func streamsOf(flags *runFlags, out, errOut io.Writer) streams {
	if flags.output == "json" || flags.log == "json" {
		return streams{log: out, programs: errOut}
	}
	return streams{log: out, programs: out}
}

// sharedWriter lets many write to one writer: what one call writes stays
// together.
type sharedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *sharedWriter) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}
