package msg

import "windrose.dev/windrose/internal/reason"

// Error is the error of a message that breaks a rule. Each Error is a variable of the
// codec that returns it, so that errors can be compared.
type Error struct {
	Outcome reason.Outcome
	// Text says which rule was broken. It contains nothing of the message.
	Text string
}

func (e *Error) Error() string { return e.Text }

// Errors for a head that exceeds the limits, in any protocol.
var (
	ErrTargetTooLong = &Error{reason.URITooLong, "the request target is longer than the limit"}
	ErrHeadTooLong   = &Error{reason.HeadersTooLarge, "the header section is longer than the limit"}
	ErrTooManyFields = &Error{reason.HeadersTooLarge, "more fields than the limit"}
	ErrHeadTimeout   = &Error{reason.ClientTimeout, "the request's head did not arrive in time"}
)

// Limits bounds a head. The zero value permits nothing.
type Limits struct {
	// HeadBytes bounds the whole head, in bytes.
	HeadBytes int
	// TargetBytes bounds the request target, in bytes.
	TargetBytes int
	// Fields bounds the number of fields.
	Fields int
}
