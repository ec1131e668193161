package source

import (
	"fmt"

	"windrose.dev/windrose/internal/reason"
)

// problem is a Report before its place is known: lines count from the first
// of the document, so that it can be kept with the document's text.
type problem struct {
	code  reason.Code
	field string
	line  int
	// other is a second line that the message ends with; 0 is none.
	other   int
	message string
	// fix is empty where the code's own fix says it all.
	fix string
}

// report places p in an object that begins base lines into a file.
func (p problem) report(at reason.Origin, base int) reason.Report {
	message := p.message
	if p.other > 0 {
		message += fmt.Sprintf(" at line %d", base+p.other)
	}
	r := reason.New(p.code, at.At(p.field, base+p.line), message)
	if p.fix != "" {
		r = r.WithFix(p.fix)
	}
	return r
}
