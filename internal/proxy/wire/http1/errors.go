package http1

import (
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/reason"
)

// bad returns the error of an invalid message. If it is a request, the response is 400.
func bad(text string) *msg.Error { return &msg.Error{Outcome: reason.BadRequest, Text: text} }

// beyond returns the error of a request for something that this codec does not
// implement.
func beyond(text string) *msg.Error { return &msg.Error{Outcome: reason.NotImplemented, Text: text} }

// The errors of invalid messages, besides msg's limits.
var (
	ErrBareCR         = bad("a CR without LF (RFC 9112 §2.2)")
	ErrBareLF         = bad("a line that does not end in CRLF (RFC 9112 §2.2)")
	ErrRequestLine    = bad("the request line is not method, target and version with single spaces (RFC 9112 §3)")
	ErrMethod         = bad("the method is not a token (RFC 9110 §9.1)")
	ErrTarget         = bad("the request target is not valid (RFC 9112 §3.2)")
	ErrVersion        = beyond("the version is not HTTP/1.0 or HTTP/1.1 (RFC 9112 §2.3)")
	ErrStatusLine     = bad("the status line is not valid (RFC 9112 §4)")
	ErrFolding        = bad("a folded field line (RFC 9112 §5.2)")
	ErrFieldName      = bad("a field name that is not a token directly before its colon (RFC 9112 §5.1)")
	ErrFieldValue     = bad("a control character in a field value (RFC 9110 §5.5)")
	ErrHostCount      = bad("not exactly one Host field (RFC 9112 §3.2)")
	ErrHostValue      = bad("the host is not valid (RFC 9110 §7.2)")
	ErrLengthValue    = bad("Content-Length is not one number (RFC 9112 §6.3)")
	ErrLengthTwice    = bad("more than one Content-Length (RFC 9112 §6.3)")
	ErrLengthAndTE    = bad("both Content-Length and Transfer-Encoding (RFC 9112 §6.1)")
	ErrTransferCoding = beyond("a transfer coding other than chunked (RFC 9112 §6.1)")
	ErrCodingTwice    = bad("more than one transfer coding (RFC 9112 §6.1)")
	ErrCoding10       = bad("Transfer-Encoding in an HTTP/1.0 message (RFC 9112 §6.1)")
	ErrChunkSize      = bad("a chunk size that is not plain hexadecimal (RFC 9112 §7.1)")
	ErrChunkExtension = bad("a chunk extension that is too long or not valid (RFC 9112 §7.1.1)")
	ErrChunkEnd       = bad("chunk data that does not end in CRLF (RFC 9112 §7.1)")
	ErrTrailer        = bad("a trailer section that is too long or not valid (RFC 9112 §7.1.2)")
	ErrConnection     = bad("more names in Connection than anyone needs")
)
