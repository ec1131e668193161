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

// journal prints the events of a run.
type journal interface {
	report(reason.Report)
	ready(started)
	reload(serve.Reload)
}

// started is the event that everything is being served.
type started struct {
	// Reload has the live Generation and the counts.
	serve.Reload
	// Admin is the address of the admin API.
	Admin string `json:"admin"`
	// CA is the file with the certificate of the authority that signs certificates, if it
	// is kept.
	CA          string       `json:"ca,omitempty"`
	EntryPoints []entryPoint `json:"entryPoints"`
}

// newJournal returns the journal for -o text or -o json.
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

// ready writes all at once, so that no other line comes in between.
func (j textJournal) ready(s started) {
	var text bytes.Buffer
	writeEntryPoints(&text, s.EntryPoints)
	if s.CA != "" {
		fmt.Fprintf(&text, "certificates are signed by %s\n", s.CA)
	}
	text.WriteString("ready\n")
	j.out.Write(text.Bytes())
}

// jsonJournal is for programs: one object a line on standard output, with the member
// event. Lines of the access log have no such member.
type jsonJournal struct{ out io.Writer }

func (j jsonJournal) report(r reason.Report) {
	j.write(struct {
		Event  string        `json:"event"`
		Report reason.Report `json:"report"`
	}{"report", r})
}

func (j jsonJournal) ready(s started) {
	s.EntryPoints = append([]entryPoint{}, s.EntryPoints...) // an empty list, not null
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
	j.out.Write(append(line, '\n')) // a closed reader must not end the run
}

// streams says where the access log and the output of programs go.
type streams struct{ log, programs io.Writer }

// streamsOf keeps standard output parsable: if its lines are JSON, the programs of pods
// print to standard error.
func streamsOf(flags *runFlags, out, errOut io.Writer) streams {
	if flags.output == "json" || flags.log == "json" {
		return streams{log: out, programs: errOut}
	}
	return streams{log: out, programs: out}
}

// sharedWriter lets several goroutines write to one writer; each call's output stays
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
