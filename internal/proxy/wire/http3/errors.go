package http3

import "fmt"

// ErrorCode is the code with which a stream or a connection ended (RFC 9114 §8.1, RFC
// 9204 §6).
type ErrorCode uint64

// The error codes.
const (
	NoError             ErrorCode = 0x100
	GeneralError        ErrorCode = 0x101
	InternalError       ErrorCode = 0x102
	StreamCreationError ErrorCode = 0x103
	ClosedCritical      ErrorCode = 0x104
	FrameUnexpected     ErrorCode = 0x105
	FrameError          ErrorCode = 0x106
	ExcessiveLoad       ErrorCode = 0x107
	IDError             ErrorCode = 0x108
	SettingsError       ErrorCode = 0x109
	MissingSettings     ErrorCode = 0x10a
	RequestRejected     ErrorCode = 0x10b
	RequestCancelled    ErrorCode = 0x10c
	RequestIncomplete   ErrorCode = 0x10d
	MessageError        ErrorCode = 0x10e
	DecompressionFailed ErrorCode = 0x200
	EncoderStreamError  ErrorCode = 0x201
	DecoderStreamError  ErrorCode = 0x202
)

// StreamError is an error that ends one stream.
type StreamError struct {
	Code ErrorCode
	// Text says which rule was broken. It contains nothing of the message.
	Text string
}

func (e *StreamError) Error() string { return fmt.Sprintf("%#x: %s", uint64(e.Code), e.Text) }

// ConnError is an error that ends the connection.
type ConnError struct {
	Code ErrorCode
	// Text says which rule was broken.
	Text string
}

func (e *ConnError) Error() string { return fmt.Sprintf("%#x: %s", uint64(e.Code), e.Text) }

func broken(code ErrorCode, text string) error { return &ConnError{code, text} }

func malformed(text string) error { return &StreamError{MessageError, text} }
