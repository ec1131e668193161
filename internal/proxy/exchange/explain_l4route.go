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

// l4RouteSchemes are the URLs of layer 4, which name a port and, for TLS, a server
// name.
var l4RouteSchemes = []string{"tcp", "tls", "udp"}

// l4Route explains a connection that an L4 route takes, or would have to take. It
// returns nil for what is HTTP's.
func (q Question) l4Route(g *Generation) (*Explanation, error) {
	u, err := url.Parse(q.URL)
	if err != nil || u.Host == "" {
		return nil, nil // the error is that of a request
	}
	layer4 := slices.Contains(l4RouteSchemes, u.Scheme)
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
	l4Routes, name := g.L4Routes(id), ""
	switch {
	case l4Routes == nil && layer4:
		return nil, fmt.Errorf("listener %s speaks HTTP alone: ask with http:// or https://", id)
	case l4Routes == nil:
		return nil, nil
	case l4Routes.Named:
		name = strings.ToLower(u.Hostname())
	}
	l4Route, http := l4Routes.Match(name)
	if http {
		if layer4 {
			return nil, fmt.Errorf("server name %s of listener %s belongs to HTTP: ask with https://", name, id)
		}
		return nil, nil
	}
	return g.explainL4Route(q, id, name, l4Route), nil
}

func (g *Generation) explainL4Route(q Question, id model.ListenerID, name string, l4Route *L4Route) *Explanation {
	out := &Explanation{URL: q.URL, Listener: id.String(), Open: true, Host: name, Layer4: true}
	for i := range g.Snapshot.Config.L4Routes {
		other := &g.Snapshot.Config.L4Routes[i]
		if other.Listener != id || l4Route != nil && other.Name == l4Route.Rule.Name {
			continue
		}
		lost := Lost{Rule: other.ID, At: g.Snapshot.Origins[other.ID].Place(), Failed: "server name", Expected: other.Name, Got: name}
		if l4Route != nil && slices.Contains(patternsOf(name), other.Name) {
			lost.Failed, lost.Expected = "order", l4Route.Rule.Name
		}
		out.LostL4Routes = append(out.LostL4Routes, lost)
	}
	if l4Route == nil {
		return out
	}
	origin := g.Snapshot.Origins[l4Route.Rule.ID]
	out.Rule = &ExplainedRule{l4Route.Rule.ID, origin.Object(), origin.Place(), origin.Field, l4Route.Rule.Does()}
	in := q.inbound(id, name, l4Route.Rule.Terminate)
	if v := g.MayOpen(&in); v.Outcome == reason.Denied {
		out.Answer = &ExplainedAnswer{Outcome: v.Outcome.String(), Why: v.Detail}
		return out
	}
	if r := l4Route.Rule.Respond; r != nil {
		out.Answer = &ExplainedAnswer{Outcome: r.Outcome.String(), Why: r.Why}
		return out
	}
	out.Forward = g.explainL4Forward(l4Route)
	out.Forward.Host = name
	return out
}

func (g *Generation) explainL4Forward(l4Route *L4Route) *ExplainedForward {
	out := &ExplainedForward{Limits: []string{"connect within " + l4Route.Connect.String()}}
	if l4Route.Idle > 0 {
		out.Limits = append(out.Limits, "silence of both sides at most "+l4Route.Idle.String())
	}
	for i := range l4Route.Rule.Backends {
		b := &l4Route.Rule.Backends[i]
		one := ExplainedBackend{Service: b.Service.String(), Weight: b.Weight, Endpoints: []ExplainedEndpoint{}}
		if l4Route.total > 0 {
			one.Share = 100 * float64(b.Weight) / float64(l4Route.total)
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
