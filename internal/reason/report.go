package reason

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Severity orders Reports by what they cost the user.
type Severity uint8

const (
	// Info: traffic flows as written, but there is something worth knowing.
	Info Severity = iota
	// Warning: traffic flows, but not all of what was written is honoured.
	Warning
	// Error: something that was written is not served, or is closed.
	Error
)

func (s Severity) String() string {
	return [...]string{"info", "warning", "error"}[s]
}

// MarshalText returns the severity's word.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Report is a value that says what is wrong or lost in a user's resource.
// Reports are collected and sorted; they never stop a build.
type Report struct {
	Origin   Origin   `json:"origin"`
	Code     Code     `json:"code"`
	Severity Severity `json:"severity"`
	Message  string   `json:"message"`
	// Fix is the next step for the user.
	Fix string `json:"fix,omitempty"`
}

// New returns a Report with the severity and the fix that the table has for the code.
func New(code Code, at Origin, message string) Report {
	row := code.Row()
	return Report{Origin: at, Code: code, Severity: row.Severity, Message: message, Fix: row.Fix}
}

// WithFix returns r with a more specific next step.
func (r Report) WithFix(fix string) Report {
	r.Fix = fix
	return r
}

// String returns one line: "file:line: severity Code: Kind ns/name: field: message; fix:
// …".
func (r Report) String() string {
	out := ""
	if place := r.Origin.Place(); place != "" {
		out = place + ": "
	}
	out += r.Severity.String() + " " + r.Code.String() + ": "
	if object := r.Origin.Object(); object != "" {
		out += object + ": "
	}
	if r.Origin.Field != "" {
		out += r.Origin.Field + ": "
	}
	out += r.Message
	if r.Fix != "" {
		out += "; fix: " + r.Fix
	}
	return Printable(out)
}

// Printable escapes control characters: names and messages come from users, and must not
// control the reader's terminal.
func Printable(text string) string {
	if strings.IndexFunc(text, unicode.IsControl) < 0 {
		return text
	}
	var b strings.Builder
	for _, c := range text {
		if unicode.IsControl(c) {
			fmt.Fprintf(&b, `\x%02x`, c)
		} else {
			b.WriteRune(c)
		}
	}
	return b.String()
}

// Compare orders by origin, then code, then message.
func (r Report) Compare(q Report) int {
	return cmp.Or(r.Origin.Compare(q.Origin), cmp.Compare(r.Code, q.Code), cmp.Compare(r.Message, q.Message))
}

// Sorted returns the Reports sorted and without duplicates.
func Sorted(reports []Report) []Report {
	out := slices.Clone(reports)
	slices.SortFunc(out, Report.Compare)
	return slices.Compact(out)
}

// Count returns the number of Reports with the severity.
func Count(reports []Report, severity Severity) (n int) {
	for _, r := range reports {
		if r.Severity == severity {
			n++
		}
	}
	return n
}
