package proxy

import "windrose.dev/windrose/internal/proxy/msg"

// altSvc returns what tells clients that HTTP/3 is spoken here, or nil.
func (s *session) altSvc() []byte {
	if open := s.listener.http3.Load(); open != nil && s.peer.TLS {
		return open.altSvc
	}
	return nil
}

// dropAltSvc takes the backend's Alt-Svc off where we have our own: where the
// backend can be reached by other means is of no use to our clients (RFC 7838).
func (t *transfer) dropAltSvc() {
	if t.session.altSvc() != nil {
		t.x.Resp.DropName([]byte("Alt-Svc"))
	}
}

// addAltSvc says that HTTP/3 is spoken here to clients that do not speak it, if
// the rule says nothing of its own. A client that a balancer announces has
// connected to that, whose port of UDP is not ours.
func (t *transfer) addAltSvc() {
	s := t.session
	if value := s.altSvc(); value != nil && s.quic == nil && !s.announces && t.x.Resp.Lookup("Alt-Svc") == nil {
		t.x.Resp.Add(msg.OtherField, "Alt-Svc", value)
	}
}
