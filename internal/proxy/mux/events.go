package mux

import (
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/wire/http2"
	"windrose.dev/windrose/internal/reason"
)

// events is Conn as the codec's Handler. The mutex is held.
type events Conn

func streamOf(s *http2.Stream) *Stream { return s.Owner.(*Stream) }

// Full tells that no more memory may be taken.
func (e *events) Full() bool { return e.cfg.Full() }

// Open makes room for a request.
func (e *events) Open() *http2.Stream { return &newStream((*Conn)(e)).codec }

// Head starts what serves a request, or tells that an answer has begun.
func (e *events) Head(cs *http2.Stream) {
	s := streamOf(cs)
	switch {
	case !s.started:
		s.started = true
		s.charge(cs.Head.Size())
		e.opened = append(e.opened, s)
		return
	case cs.Head.Status >= 200:
		s.headed = true
		s.charge(cs.Head.Size())
	case len(s.interim) >= maxInterim:
		e.codec.Cancel(cs, http2.EnhanceYourCalm)
		e.Reset(cs, http2.EnhanceYourCalm, "too many interim answers")
		return
	default:
		s.interim = append(s.interim, cs.Head)
		cs.Head = msg.Head{} // whoever reads it keeps its memory
	}
	s.reads.signal()
}

// Data keeps a part of a body.
func (e *events) Data(cs *http2.Stream, p []byte) {
	s := streamOf(cs)
	if e.cfg.Full() {
		const text = "the limit on buffers is reached: --max-buffer-bytes"
		cs.Broken = &msg.Error{Outcome: reason.Overloaded, Text: text}
		e.codec.Cancel(cs, http2.EnhanceYourCalm)
		e.Reset(cs, http2.EnhanceYourCalm, text)
		return
	}
	s.body.add(p, e.pool)
	s.reads.signal()
}

// End tells that a body is over.
func (e *events) End(cs *http2.Stream) { streamOf(cs).reads.signal() }

// Reset tells whoever uses the stream that it is over.
func (e *events) Reset(cs *http2.Stream, code http2.ErrorCode, text string) {
	s := streamOf(cs)
	if !s.started {
		e.codec.Release(cs)
		s.recycle()
		return
	}
	s.err = &Error{code, text}
	s.reads.signal()
	s.writes.signal()
	s.HungUp()
}

// Refused tells that a request was malformed.
func (e *events) Refused(cs *http2.Stream, text string) {
	streamOf(cs).recycle()
	e.server.Refused(text)
}

// Denied tells that there was no room for a request.
func (e *events) Denied() { e.server.Denied() }

// Window has those that wait for it write on.
func (e *events) Window(cs *http2.Stream) {
	if cs == nil {
		(*Conn)(e).passOn()
		return
	}
	streamOf(cs).writes.signal()
}

// Settled has those go on that wait to know what the other side takes.
func (e *events) Settled() { (*Conn)(e).unblock(forPeer) }

// Leaving tells the owner that the other side takes no more streams.
func (e *events) Leaving(uint32, http2.ErrorCode) {
	(*Conn)(e).left()
	e.leaving = true
}
