package source

import (
	"fmt"

	"windrose.dev/windrose/internal/reason"
)

// Problem is a Report whose place is not known yet: its lines count from the first line
// of the document that the object was read from. A source without lines leaves them 0.
type Problem struct {
	Code  reason.Code
	Field string
	Line  int
	// Other is a second line that the message ends with; 0 is none.
	Other   int
	Message string
	// Fix is empty where the code's own fix says it all.
	Fix string
}

// Report places p in an object whose document begins after base lines of a file.
func (p Problem) Report(at reason.Origin, base int) reason.Report {
	message := p.Message
	if p.Other > 0 {
		message += fmt.Sprintf(" at line %d", base+p.Other)
	}
	line := 0
	if p.Line > 0 {
		line = base + p.Line
	}
	r := reason.New(p.Code, at.At(p.Field, line), message)
	if p.Fix != "" {
		r = r.WithFix(p.Fix)
	}
	return r
}
