package httpx

import (
	"time"

	"windrose.dev/windrose/internal/proxy/l4"
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/sock"
)

// timed bounds how long reads and writes take, and ends reads from another
// goroutine. Connections do it, and streams of connections.
type timed interface {
	LimitReads(now int64, limit time.Duration)
	LimitWrites(now int64, limit time.Duration)
	ReadBy(at int64)
	WriteBy(at int64)
	Interrupt()
}

// client is the end of an exchange that asked.
type client interface {
	timed
	// Gone, AbortOnHangup and KeepOnHangup are those of sock.Hangup.
	Gone() bool
	AbortOnHangup(partner *sock.Partner) bool
	KeepOnHangup(partner *sock.Partner) bool
	// fault is what was wrong with a request that was broken off for it; nil where
	// the client has gone by itself.
	fault() *msg.Error

	// early takes what has come of the request's body, without waiting. It stays
	// where it is until the exchange ends.
	early() ([]byte, error)
	// park keeps head and early where they are while more is read.
	park()
	// more waits for more of the body, which took gives back.
	more() ([]byte, error)
	took()
	// whole reports whether all of the body was taken, and trailer returns the lines
	// that followed it.
	whole() bool
	trailer() []byte
	// skip passes over what has come of a body that nobody wants, and reports whether
	// that was all of it. discard waits for the rest, if a client of this protocol
	// needs that in front of an answer whose status says that all is well.
	skip() bool
	discard()

	// interim sends a 1xx answer, to clients that know of them.
	interim(h *msg.Head) (sent int, err error)
	// begin sends the head of an answer and the first of its body, and write more of
	// it. They return how many bytes were written.
	begin(a *answer) (sent int, err error)
	write(p part) (sent int, err error)
	// accept tells that the protocol is switched, as the head says, and tunnel
	// returns the end of what follows, with what has come of it already.
	accept(h *msg.Head, to *upgrade) (sent int, err error)
	tunnel() (end l4.End, early []byte)
	// closeAfter has the connection end after this exchange, where the next
	// request would begin behind what is left of this one.
	closeAfter()
	// abort ends an answer that has broken off, so that the client notices.
	abort()
	// goesOn reports whether the connection can carry another exchange.
	goesOn() bool
	// finish gives back what the exchange held.
	finish()
}

// part is a piece of a body.
type part struct {
	data []byte
	// last tells that the body ends with it. trailer are the lines behind it.
	last    bool
	trailer []byte
}

// answer begins an answer to a client.
type answer struct {
	head *msg.Head
	// length is that of the body, or -1.
	length int64
	// own tells that it is one of ours.
	own bool
	// requestDone tells that the whole request was read.
	requestDone bool
	part
}

// backend is the end of an exchange that is asked.
type backend interface {
	timed
	Partner() *sock.Partner
	// reused reports whether the connection has carried a request before.
	reused() bool

	// ask sends the request's head and what is there of its body. When that is
	// all, it also waits for the first of the answer.
	ask(o *outgoing) (sent int, err error)
	// give sends more of the body.
	give(p part) error

	// wait waits for more of the answer.
	wait() error
	// head reads the head of an answer; done is false when it is not all there.
	head(h *msg.Head) (done bool, err error)
	// begin finds how the body of a final answer ends, and returns what has come
	// of it.
	begin(h *msg.Head) ([]byte, error)
	// length is that of the answer's body, or -1.
	length() int64
	// data returns what has come of the body, and took gives back what head or
	// data returned.
	data() ([]byte, error)
	took()
	// done reports whether the body is over, and ends whether the end of the
	// connection means so. trailer are the lines behind it.
	done() bool
	ends() bool
	trailer() []byte

	// switched reports whether an answer accepts the protocol that was asked for, or
	// why it cannot be taken for that, and tunnel is as the client's.
	switched(h *msg.Head) (accepted bool, err error)
	tunnel() (end l4.End, early []byte)
	// cut makes writes fail, also those of another goroutine.
	cut()
	// close ends the work at the backend, and release keeps the connection for
	// another request if that can be.
	close()
	release()
}
