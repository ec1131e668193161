package exchange

import (
	"crypto/hmac"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strconv"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/upstream"
)

// affinity keeps clients at the endpoint that answered them first (Gateway API
// GEP-1619). All state is with the client: a token that names the endpoint by a
// keyed hash, says when the session began and was last used, and is signed.
type affinity struct {
	*model.Affinity
	name []byte
}

func newAffinity(s *model.Affinity) *affinity {
	if s == nil {
		return nil
	}
	return &affinity{s, []byte(s.Name)}
}

// carried is a token as clients carry it: when the session began, when it was
// last used, both in Unix seconds, the endpoint, and a signature over these.
const carriedLength = 4 + 4 + len(upstream.Token{}) + 8

var tokenText = base64.RawURLEncoding

// findAffinity finds the endpoint of the client's session. It returns the
// backend that has it, whatever its weight, or otherwise the one that was drawn.
func (x *Exchange) findAffinity(s *affinity, drawn int) int {
	at, issued, used, ok := s.read(x.Gen.affinityKey, s.carriedBy(&x.Req))
	if !ok || !s.lives(issued, used, x.Gen.chance.unix()) {
		return drawn
	}
	for i := range x.Route.backends {
		b := &x.Route.backends[i]
		if b.respond != nil {
			continue
		}
		if e := b.cluster.For(x.Peer.Listener).ByToken(at); e != nil {
			x.sticky, x.issued, x.used = e, issued, used
			return i
		}
	}
	return drawn
}

// lives reports whether a session is within its bounds at now.
func (s *affinity) lives(issued, used, now uint32) bool {
	within := func(since uint32, bound time.Duration) bool {
		return bound == 0 || time.Duration(int64(now)-int64(since))*time.Second < bound
	}
	return within(issued, s.Absolute) && within(used, s.Idle)
}

// carriedBy is the token in a request's head, as it was sent, or nil.
func (s *affinity) carriedBy(h *msg.Head) []byte {
	if s.Header {
		return h.Lookup(s.Name)
	}
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.Dropped || !msg.EqualFold(h.Name(f), "cookie") {
			continue
		}
		if value := cookieIn(h.Value(f), s.name); value != nil {
			return value
		}
	}
	return nil
}

// cookieIn finds a cookie in a Cookie field (RFC 6265 §4.2).
func cookieIn(field, name []byte) []byte {
	for rest := field; len(rest) > 0; {
		pair := rest
		if i := slices.Index(rest, ';'); i >= 0 {
			pair, rest = rest[:i], rest[i+1:]
		} else {
			rest = nil
		}
		pair = msg.TrimOWS(pair)
		if n := len(name); len(pair) > n && pair[n] == '=' && string(pair[:n]) == string(name) {
			return pair[n+1:]
		}
	}
	return nil
}

func (s *affinity) read(key, text []byte) (at upstream.Token, issued, used uint32, ok bool) {
	var raw [carriedLength]byte
	if len(text) != tokenText.EncodedLen(carriedLength) {
		return at, 0, 0, false
	}
	if _, err := tokenText.Decode(raw[:], text); err != nil {
		return at, 0, 0, false
	}
	signed := len(raw) - len(upstream.Token{})
	signature := upstream.Sign(key, "session", s.Name, raw[:signed])
	issued, used = binary.BigEndian.Uint32(raw[:]), binary.BigEndian.Uint32(raw[4:])
	return upstream.Token(raw[8:signed]), issued, used, hmac.Equal(signature[:], raw[signed:])
}

func (s *affinity) write(key []byte, at upstream.Token, issued, used uint32) []byte {
	raw := binary.BigEndian.AppendUint32(nil, issued)
	raw = append(binary.BigEndian.AppendUint32(raw, used), at[:]...)
	signature := upstream.Sign(key, "session", s.Name, raw)
	return tokenText.AppendEncode(nil, append(raw, signature[:]...))
}

// Stick has the client come back to the endpoint that has answered: where its
// session is new or has moved, or its use is to be noted.
func (x *Exchange) Stick(e *upstream.Endpoint) {
	s := x.Route.affinity
	if s == nil {
		return
	}
	now := x.Gen.chance.unix()
	if x.sticky == nil || x.sticky.Pool != e.Pool {
		x.issued = now
	} else if s.Idle == 0 || x.used == now {
		return
	}
	text := s.write(x.Gen.affinityKey, x.Cluster.Token(e), x.issued, now)
	if s.Header {
		x.Resp.SetName(s.Name, text)
		return
	}
	x.Resp.Add(msg.OtherField, "Set-Cookie", s.cookie(text, now-x.issued, x.HTTPS))
}

// cookie writes the cookie of a session that is age seconds old.
func (s *affinity) cookie(text []byte, age uint32, secure bool) []byte {
	c := append(append(append(make([]byte, 0, 128), s.Name...), '='), text...)
	if s.Path != "" {
		c = append(append(c, "; Path="...), s.Path...)
	}
	if s.Permanent && s.Absolute > 0 {
		left := max(int64(s.Absolute/time.Second)-int64(age), 1)
		c = strconv.AppendInt(append(c, "; Max-Age="...), left, 10)
	}
	if secure {
		c = append(c, "; Secure"...)
	}
	return append(c, "; HttpOnly; SameSite=Strict"...)
}
