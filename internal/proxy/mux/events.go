package mux

import (
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/wire/http2"
	"windrose.dev/windrose/internal/reason"
)

// events implements the codec's Handler for a Conn. The mutex is held.
type events Conn

func streamOf(s *http2.Stream) *Stream { return s.Owner.(*Stream) }

// Full reports whether no more bytes may be buffered.
func (e *events) Full() bool { return e.cfg.Full() }

// Open returns a stream for a request.
func (e *events) Open() *http2.Stream { return &newStream((*Conn)(e)).codec }

// Head starts to serve a request, or wakes the reader of a response.
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
		cs.Head = msg.Head{} // the reader of the interim response keeps its memory
	}
	s.reads.signal()
}

// Data buffers a part of a body.
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

// End is called at the end of a body.
func (e *events) End(cs *http2.Stream) { streamOf(cs).reads.signal() }

// Reset wakes the users of a stream that was reset.
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

// Refused is called for a malformed request.
func (e *events) Refused(cs *http2.Stream, text string) {
	streamOf(cs).recycle()
	e.server.Refused(text)
}

// Denied is called for a request that exceeds the limit of concurrent streams.
func (e *events) Denied() { e.server.Denied() }

// Window wakes the streams that wait for a flow control window.
func (e *events) Window(cs *http2.Stream) {
	if cs == nil {
		(*Conn)(e).passOn()
		return
	}
	streamOf(cs).writes.signal()
}

// Settled wakes the streams that wait for the peer's SETTINGS.
func (e *events) Settled() { (*Conn)(e).unblock(forPeer) }

// Leaving tells the owner that the peer accepts no more streams.
func (e *events) Leaving(uint32, http2.ErrorCode) {
	(*Conn)(e).left()
	e.leaving = true
}
