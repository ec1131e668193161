package httpx

import (
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/sock"
)

// HTTP3Stream is one request and its answer.
type HTTP3Stream interface {
	timed
	Gone() bool
	AbortOnHangup(partner *sock.Partner) bool
	KeepOnHangup(partner *sock.Partner) bool

	// Request waits for the request and makes head a view of it, which is valid
	// until the stream is finished; fault is how it breaks a limit. ok is false when
	// there is none to be served.
	Request(head *msg.Head) (fault *msg.Error, ok bool)
	// BodyLength is that of the request's body, or -1.
	BodyLength() int64
	// Early takes what has come of the body, without waiting, and reports whether that
	// was all of it. It stays where it is until the stream is finished.
	Early() (data []byte, whole bool, err error)
	// More waits for more of the body, which stays where it is until the next More.
	More() (data []byte, whole bool, err error)
	// Trailer returns the lines behind the body, once that has ended.
	Trailer() []byte

	// Interim sends a 1xx answer. Answer sends the head of the final one and the
	// first of its body, and Write more of it; the stream ends with the last.
	Interim(head *msg.Head) (sent int, err error)
	Answer(head *msg.Head, data []byte, last bool, trailer []byte) (sent int, err error)
	Write(data []byte, last bool, trailer []byte) (sent int, err error)
	// Abort resets the stream. Of one that is not, what is left of the request is
	// discarded once it was served.
	Abort()
}
