package msg

import "windrose.dev/windrose/internal/reason"

// Error is a message that breaks a rule. Each is a variable of the codec that
// finds it, so that they can be compared.
type Error struct {
	Outcome reason.Outcome
	// Text says which rule was broken. It holds nothing of the message.
	Text string
}

func (e *Error) Error() string { return e.Text }

// What breaks the limits on a head, in any protocol.
var (
	ErrTargetTooLong = &Error{reason.URITooLong, "the request target is longer than the limit"}
	ErrHeadTooLong   = &Error{reason.HeadersTooLarge, "the header section is longer than the limit"}
	ErrTooManyFields = &Error{reason.HeadersTooLarge, "more fields than the limit"}
	ErrHeadTimeout   = &Error{reason.ClientTimeout, "the request's head did not arrive in time"}
)

// Limits bounds a head. The zero value allows nothing.
type Limits struct {
	// HeadBytes bounds the head as a whole, in bytes.
	HeadBytes int
	// TargetBytes bounds the request target, in bytes.
	TargetBytes int
	// Fields bounds the number of fields.
	Fields int
}
