package http2

import (
	"encoding/binary"
	"fmt"
)

// Preface is the start of a client's connection (RFC 9113 §3.4).
const Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// frameType is the type of a frame (RFC 9113 §6).
type frameType uint8

const (
	dataFrame frameType = iota
	headersFrame
	priorityFrame
	resetFrame
	settingsFrame
	pushPromiseFrame
	pingFrame
	goAwayFrame
	windowUpdateFrame
	continuationFrame
)

const (
	flagAck        = 0x1
	flagEndStream  = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20
)

const (
	frameHead = 9
	// maxFrame is the largest payload that we accept and send, in bytes: the size that
	// every peer must accept.
	maxFrame = 16 << 10
	// maxWindow is the largest flow-control window (RFC 9113 §6.9.1).
	maxWindow = 1<<31 - 1
	// firstWindow is the initial window of streams and connections if no setting
	// changes it.
	firstWindow = 64<<10 - 1
)

// frame is a frame header.
type frame struct {
	length int
	kind   frameType
	flags  uint8
	stream uint32
}

func (f frame) has(flag uint8) bool { return f.flags&flag != 0 }

func readFrame(b []byte) frame {
	return frame{
		length: int(b[0])<<16 | int(b[1])<<8 | int(b[2]),
		kind:   frameType(b[3]),
		flags:  b[4],
		stream: binary.BigEndian.Uint32(b[5:]) & maxWindow,
	}
}

func appendFrame(dst []byte, f frame) []byte {
	dst = append(dst, byte(f.length>>16), byte(f.length>>8), byte(f.length), byte(f.kind), f.flags)
	return binary.BigEndian.AppendUint32(dst, f.stream)
}

// ErrorCode is the code with which a stream or a connection ended (RFC 9113 §7).
type ErrorCode uint32

// The error codes.
const (
	NoError ErrorCode = iota
	ProtocolError
	InternalError
	FlowControlError
	SettingsTimeout
	StreamClosed
	FrameSizeError
	RefusedStream
	Cancel
	CompressionError
	ConnectError
	EnhanceYourCalm
	InadequateSecurity
	HTTP11Required
)

var codeNames = [...]string{
	"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
	"FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM",
	"INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
}

// String returns the name in RFC 9113.
func (c ErrorCode) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return fmt.Sprintf("error code %#x", uint32(c))
}

// ConnError is a connection error: the peer broke a rule that concerns all streams. The
// output then has our GOAWAY with the same code.
type ConnError struct {
	Code ErrorCode
	// Text says which rule was broken. It contains nothing of the input.
	Text string
}

func (e *ConnError) Error() string { return fmt.Sprintf("%v: %s", e.Code, e.Text) }

func broken(code ErrorCode, text string) error { return &ConnError{code, text} }
