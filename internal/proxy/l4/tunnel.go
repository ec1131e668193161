package l4

import (
	"time"

	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/policy"
	"windrose.dev/windrose/internal/reason"
)

// Tunnel is an exchange that has switched protocols (RFC 9110 §15.2.2, RFC 8441 §5).
type Tunnel struct {
	Client, Up End
	// FromClient and FromUp are what has come of either before.
	FromClient, FromUp []byte
	// Idle bounds the time for which both may be silent.
	Idle time.Duration
	// WebSocket tells that the bytes are frames of RFC 6455.
	WebSocket bool
	// Allowed says whether a Generation lets the tunnel be. It may be called from any
	// goroutine.
	Allowed func(*exchange.Generation) policy.Verdict
}

// Tunnel moves the bytes of a tunnel until it ends. It returns how many went to the
// backend and to the client, and why it was closed, with the policy if one did it:
// Upgraded is that it was not, and ended by itself.
func (s *Server) Tunnel(t *Tunnel) (in, out int64, why policy.Verdict) {
	p := &Pipe{client: t.Client, up: t.Up, idle: t.Idle, engine: s.Engine, allowed: t.Allowed}
	var socket *webSocket
	if t.WebSocket {
		socket = &webSocket{End: t.Client, clock: s.Engine.Clock, idle: t.Idle}
		p.client = socket
	}
	now := s.Engine.Clock.Now()
	if sendEarly(p.client, t.FromUp, now, t.Idle) == nil && sendEarly(p.up, t.FromClient, now, t.Idle) == nil {
		s.open(p, socket)
	}
	why.Outcome = reason.Upgraded
	if ended, closed := p.outcome(); closed {
		why.Outcome = ended
	}
	if v := p.verdict.Load(); v != nil && v.Outcome == why.Outcome {
		why = *v
	}
	return p.in.Load() + int64(len(t.FromClient)), p.out.Load() + int64(len(t.FromUp)), why
}

func sendEarly(to End, data []byte, now int64, limit time.Duration) error {
	if len(data) == 0 {
		return nil
	}
	return to.Send(now, limit, data)
}
