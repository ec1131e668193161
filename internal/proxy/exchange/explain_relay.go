package exchange

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
)

// relaySchemes are the URLs of layer 4, which name a port and, for TLS, a server
// name.
var relaySchemes = []string{"tcp", "tls", "udp"}

// relay explains a connection that a relay takes, or would have to take. It
// returns nil for what is HTTP's.
func (q Question) relay(g *Generation) (*Explanation, error) {
	u, err := url.Parse(q.URL)
	if err != nil || u.Host == "" {
		return nil, nil // the error is that of a request
	}
	layer4 := slices.Contains(relaySchemes, u.Scheme)
	if !layer4 && u.Scheme != "https" {
		return nil, nil
	}
	id, err := q.listener(g, u)
	if err != nil {
		if layer4 {
			return nil, err
		}
		return nil, nil
	}
	relays, name := g.Relays(id), ""
	switch {
	case relays == nil && layer4:
		return nil, fmt.Errorf("listener %s speaks HTTP alone: ask with http:// or https://", id)
	case relays == nil:
		return nil, nil
	case relays.Named:
		name = strings.ToLower(u.Hostname())
	}
	relay, http := relays.Match(name)
	if http {
		if layer4 {
			return nil, fmt.Errorf("server name %s of listener %s belongs to HTTP: ask with https://", name, id)
		}
		return nil, nil
	}
	return g.explainRelay(q, id, name, relay), nil
}

func (g *Generation) explainRelay(q Question, id model.ListenerID, name string, relay *Relay) *Explanation {
	out := &Explanation{URL: q.URL, Listener: id.String(), Open: true, Host: name, Relayed: true}
	for i := range g.Snapshot.Config.Relays {
		other := &g.Snapshot.Config.Relays[i]
		if other.Listener != id || relay != nil && other.Name == relay.Rule.Name {
			continue
		}
		lost := Lost{Rule: other.ID, At: g.Snapshot.Origins[other.ID].Place(), Failed: "server name", Expected: other.Name, Got: name}
		if relay != nil && slices.Contains(patternsOf(name), other.Name) {
			lost.Failed, lost.Expected = "order", relay.Rule.Name
		}
		out.LostRelays = append(out.LostRelays, lost)
	}
	if relay == nil {
		return out
	}
	origin := g.Snapshot.Origins[relay.Rule.ID]
	out.Rule = &ExplainedRule{relay.Rule.ID, origin.Object(), origin.Place(), origin.Field, relay.Rule.Does()}
	in := q.inbound(id, name, relay.Rule.Terminate)
	if v := g.MayOpen(&in); v.Outcome == reason.Denied {
		out.Answer = &ExplainedAnswer{Outcome: v.Outcome.String(), Why: v.Detail}
		return out
	}
	if r := relay.Rule.Respond; r != nil {
		out.Answer = &ExplainedAnswer{Outcome: r.Outcome.String(), Why: r.Why}
		return out
	}
	out.Forward = g.explainRelayed(relay)
	out.Forward.Host = name
	return out
}

func (g *Generation) explainRelayed(relay *Relay) *ExplainedForward {
	out := &ExplainedForward{Limits: []string{"connect within " + relay.Connect.String()}}
	if relay.Idle > 0 {
		out.Limits = append(out.Limits, "silence of both sides at most "+relay.Idle.String())
	}
	for i := range relay.Rule.Backends {
		b := &relay.Rule.Backends[i]
		one := ExplainedBackend{Service: b.Service.String(), Weight: b.Weight, Endpoints: []ExplainedEndpoint{}}
		if relay.total > 0 {
			one.Share = 100 * float64(b.Weight) / float64(relay.total)
		}
		if b.Respond != nil {
			one.Answer = &ExplainedAnswer{Outcome: b.Respond.Outcome.String(), Why: b.Respond.Why}
		} else {
			one.Balance, one.Endpoints = g.explainService(b.Service)
		}
		out.Backends = append(out.Backends, one)
	}
	return out
}

// portsOf are those that a URL may mean: its own, and the standard one of its
// scheme, which may be published elsewhere.
func portsOf(u *url.URL) ([]uint16, error) {
	standard := map[string]uint16{"http": 80, "https": 443, "tls": 443}[u.Scheme]
	text := u.Port()
	if text == "" {
		if standard == 0 {
			return nil, errors.New("the URL names no port, and " + u.Scheme + " has no standard one")
		}
		return []uint16{standard}, nil
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("%q is not a port", text)
	}
	if standard == 0 {
		return []uint16{uint16(n)}, nil
	}
	return []uint16{uint16(n), standard}, nil
}
