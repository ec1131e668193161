package proxy

import (
	"errors"
	"io"
	"os"

	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy/wire/proxyproto"
	"windrose.dev/windrose/internal/reason"
)

// announced reads the PROXY header that a balancer must begin a connection with,
// and takes what it says of the client. What came behind it stays in the
// connection's buffer.
func (s *session) announced() bool {
	start := s.proxy.clock.Now()
	if err := s.awaitByte(true); err != nil {
		s.notAnnounced(start, err)
		return false
	}
	return s.announcedBy(start)
}

// announcedBy reads the header, of which some has come since start.
func (s *session) announcedBy(start int64) bool {
	s.conn.ReadBy(start + int64(s.proxy.cfg.Limits.HeaderTimeout))
	for {
		if s.conn.In != nil { // a message may have no bytes
			h, n, err := proxyproto.Parse(s.conn.In.Bytes())
			switch {
			case err == nil:
				if s.conn.In.Advance(n); s.conn.In.Len() == 0 {
					s.conn.ReleaseIn()
				}
				return s.speaksFor(&h)
			case !errors.Is(err, proxyproto.ErrIncomplete):
				s.notAnnounced(start, err)
				return false
			}
		}
		if _, err := s.conn.Fill(); err != nil {
			s.notAnnounced(start, err)
			return false
		}
	}
}

// speaksFor has the connection be that of the client that a header names.
// Whether the client is believed is decided by its own address: what it says in
// its requests passes the balancer unseen. So one whose address is not said is
// not believed, but the balancer is, when it connects on its own behalf.
func (s *session) speaksFor(h *proxyproto.Header) bool {
	counter := s.listener.stats.OwnAnnounced
	switch {
	case h.Source.IsValid():
		counter = s.listener.stats.Announced
		s.peer.Addr, s.dialled = h.Source, h.Destination
		s.peer.Trusted = s.proxy.trusts(h.Source.Addr())
		s.dialledAhead(h)
	case !h.Local:
		s.peer.Trusted = false
	}
	counter.Add(s.shard.index, 1)
	if s.proxy.trusts(s.peer.Addr.Addr()) {
		return true
	}
	s.counted = s.proxy.clients.add(s.peer.Addr.Addr(), s.proxy.cfg.Limits.ConnectionsPerClient)
	if !s.counted {
		s.listener.stats.Refused.Add(s.shard.index, 1)
	}
	return s.counted
}

// httpsPort is where clients dial a balancer that takes TLS off, if it does not
// say so: ingress-nginx goes by it, too.
const httpsPort = 443

// dialledAhead takes what a header says of how the client reached the balancer.
func (s *session) dialledAhead(h *proxyproto.Header) {
	if port := h.Destination.Port(); port != 0 {
		s.peer.PublicPort = port
	}
	s.peer.SecureAhead = h.Destination.Port() == httpsPort
	if h.TLS != nil {
		s.peer.SecureAhead = h.TLS.Client
	}
}

// notAnnounced says why a connection is closed. A balancer that left without a
// word, as it does to look whether the port is open, is not worth a line.
func (s *session) notAnnounced(start int64, err error) {
	if errors.Is(err, io.EOF) && s.conn.In == nil || s.proxy.stopping.Load() {
		return
	}
	detail := err.Error()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		detail = "the PROXY header did not come in time"
	case errors.Is(err, io.EOF):
		detail = proxyproto.ErrIncomplete.Error()
	}
	s.listener.stats.AnnounceErrors.Add(s.shard.index, 1)
	s.proxy.cfg.Log.Record(s.shard.index, &observe.Flow{
		Start: s.proxy.clock.Time(start), Duration: durationOf(start, s.proxy.clock.Now()),
		Client: s.peer.Addr, Transport: "tcp", Host: hostOf("", s.listener), Outcome: reason.BadProxyHeader, Detail: detail,
	})
}
