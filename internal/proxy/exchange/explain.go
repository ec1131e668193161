package exchange

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/policy"
	"windrose.dev/windrose/internal/proxy/route"
	"windrose.dev/windrose/internal/proxy/upstream"
	"windrose.dev/windrose/internal/proxy/wire/http1"
	"windrose.dev/windrose/internal/reason"
)

// Question is a request whose fate is to be explained.
type Question struct {
	Method string
	// URL is absolute: its scheme and port tell the listener. With tcp, tls and
	// udp the question is one of a connection, or a flow, and not of a request.
	URL     string
	Headers []model.Header
	// Gateway is namespace/name of the Gateway that the request comes to, where
	// each has ports of its own.
	Gateway string
	// Client is the peer's address; the zero one is 127.0.0.1.
	Client netip.Addr
}

// Explanation is the fate of a request and why: what Decide computes, with the
// rules that lost.
type Explanation struct {
	Method   string `json:"method"`
	URL      string `json:"url"`
	Listener string `json:"listener"`
	// Open reports whether anything is served on the listener.
	Open bool `json:"open"`
	// Host and Path are what rules are compared with.
	Host string `json:"host"`
	Path string `json:"path"`
	// Layer4 tells that this is of a connection that is not HTTP's. LostL4Routes
	// are those of the listener that did not take it.
	Layer4       bool   `json:"layer4,omitempty"`
	LostL4Routes []Lost `json:"lostL4Routes,omitempty"`
	// Hosts are those that were asked, in that order.
	Hosts []ExplainedHost `json:"hosts,omitempty"`
	// Rule is the one that won; nil if none did.
	Rule *ExplainedRule `json:"rule,omitempty"`
	// Filters are those that ran, in order.
	Filters []Effect `json:"filters,omitempty"`
	// Answer is set when the proxy answers by itself.
	Answer *ExplainedAnswer `json:"answer,omitempty"`
	// Forward is set when a backend is asked.
	Forward *ExplainedForward `json:"forward,omitempty"`
}

// Matched reports whether a rule takes the request.
func (e *Explanation) Matched() bool { return e.Rule != nil }

// ExplainedHost is a virtual host that was asked.
type ExplainedHost struct {
	Name     string           `json:"name"`
	Fallback bool             `json:"fallback,omitempty"`
	Blocks   []ExplainedBlock `json:"blocks"`
}

// ExplainedBlock is what the rules of one dialect had to say.
type ExplainedBlock struct {
	Dialect string `json:"dialect"`
	// Path is the path as this dialect sees it.
	Path string `json:"path"`
	Rule string `json:"rule,omitempty"`
	Lost []Lost `json:"lost,omitempty"`
}

// Lost is a rule that did not take the request.
type Lost struct {
	Rule string `json:"rule"`
	At   string `json:"at,omitempty"`
	// Failed is path, method, header, query, server name, or order when a more
	// specific rule comes first.
	Failed   string `json:"failed"`
	Expected string `json:"expected"`
	Got      string `json:"got,omitempty"`
}

// ExplainedRule is the rule that won.
type ExplainedRule struct {
	ID     string `json:"id"`
	Object string `json:"object,omitempty"`
	At     string `json:"at,omitempty"`
	Field  string `json:"field,omitempty"`
	Does   string `json:"does"`
}

// Effect is what a filter did to the request.
type Effect struct {
	Filter string `json:"filter"`
	// Changes are lines of what is other than before; none is no effect.
	Changes []string `json:"changes,omitempty"`
}

// ExplainedAnswer is an answer of the proxy's own.
type ExplainedAnswer struct {
	Status   int    `json:"status"`
	Outcome  string `json:"outcome"`
	Why      string `json:"why,omitempty"`
	Location string `json:"location,omitempty"`
}

// ExplainedForward is where the request would go.
type ExplainedForward struct {
	// Target and Host are those of the request to the backend.
	Target   string             `json:"target"`
	Host     string             `json:"host"`
	Backends []ExplainedBackend `json:"backends"`
	Limits   []string           `json:"limits"`
}

// ExplainedBackend is one backend of the rule.
type ExplainedBackend struct {
	Service string `json:"service,omitempty"`
	// Answer stands for a backend that cannot be had.
	Answer *ExplainedAnswer `json:"answer,omitempty"`
	Weight uint32           `json:"weight"`
	// Share is the part of the requests in percent.
	Share float64 `json:"share"`
	// Drawn marks the backend that this explanation has followed.
	Drawn     bool                `json:"drawn,omitempty"`
	Balance   string              `json:"balance,omitempty"`
	Endpoints []ExplainedEndpoint `json:"endpoints"`
}

// ExplainedEndpoint is one endpoint and whether it is used.
type ExplainedEndpoint struct {
	Addr string `json:"addr"`
	Pod  string `json:"pod,omitempty"`
	// Locality is region/zone/sub-zone, and Weight the share; 0 counts as 1.
	Locality string `json:"locality,omitempty"`
	Weight   uint32 `json:"weight,omitempty"`
	// Active is the number of requests under way, and Failures how often the endpoint
	// has failed in a row, in the process that is asked.
	Active   int64  `json:"active,omitempty"`
	Failures uint32 `json:"failures,omitempty"`
	// Name is the host that Addr was found for, if it was.
	Name string `json:"name,omitempty"`
	// Out is why it is not used; empty if it is.
	Out string `json:"out,omitempty"`
}

// explainLimits are wide: who asks is the administrator.
var explainLimits = msg.Limits{HeadBytes: 256 << 10, TargetBytes: 64 << 10, Fields: 1000}

// Explain decides a request as the hot path would, with the same code, and says
// why. The error is that of a question which is not a request.
func Explain(g *Generation, q Question) (*Explanation, error) {
	if layer4, err := q.l4Route(g); layer4 != nil || err != nil {
		return layer4, err
	}
	x, p, err := q.exchange(g)
	if err != nil {
		return nil, err
	}
	out := &Explanation{Method: cmp.Or(q.Method, "GET"), URL: q.URL, Listener: p.Listener.String()}
	before := view(x)
	x.watch = func(filter string) {
		now := view(x)
		out.Filters = append(out.Filters, Effect{filter, changes(before, now)})
		before = now
	}
	if v := g.Access(p.Listener).Opens(&p.Inbound); !v.Allowed() {
		out.Open, out.Answer = true, &ExplainedAnswer{Outcome: v.Outcome.String(), Why: v.Detail}
		return out, nil
	}
	var trace route.Trace
	x.Decide(g, p, &trace)
	out.Open, out.Host, out.Path = trace.Open, string(x.Host), string(x.Path.Bytes)
	origins := g.Snapshot.Origins
	for _, h := range trace.Hosts {
		out.Hosts = append(out.Hosts, explainHost(h, origins))
	}
	if x.Route != nil {
		origin := origins[x.Route.Rule.ID]
		out.Rule = &ExplainedRule{x.Route.Rule.ID, origin.Object(), origin.Place(), origin.Field, x.Route.Rule.Does()}
	}
	if x.Answered {
		out.Answer = &ExplainedAnswer{x.Resp.Status, x.Outcome.String(), x.Detail, string(x.Resp.Lookup("Location"))}
	}
	if x.Route != nil && x.Route.Rule.Forward != nil {
		out.Forward = x.explainForward(g)
	}
	return out, nil
}

// maxExplained bounds the text of a decision in a response field, in bytes.
const maxExplained = 2 << 10

// DecideExplained is Decide, and has the answer say in X-Windrose-Explained how
// it was decided: listener, host, rule and place, and each rule of the host that
// lost with the condition that it failed.
func (x *Exchange) DecideExplained(g *Generation, p *Peer) {
	var trace route.Trace
	x.Req.DropName([]byte("X-Windrose-Explain")) // not the backend's business
	x.Decide(g, p, &trace)
	text := fmt.Sprintf("generation=%d listener=%s", g.Number, p.Listener)
	for _, h := range trace.Hosts {
		text += " host=" + h.Name
		for _, b := range h.Blocks {
			text += " block=" + b.Dialect + " rule=" + cmp.Or(b.Rule, "none")
			if b.Rule != "" {
				text += " at=" + g.Snapshot.Origins[b.Rule].Place()
			}
			for _, m := range b.Misses {
				if len(text) < maxExplained {
					text += " lost=" + m.Rule + ":" + string(m.Condition)
				}
			}
		}
	}
	if x.Answered {
		text += " answer=" + x.Outcome.String()
	}
	x.explained = []byte(strings.Map(func(c rune) rune {
		if c < ' ' || c >= 0x7f {
			return '?'
		}
		return c
	}, text[:min(len(text), maxExplained)]))
}

// exchange makes the Exchange of a question, as if it had come over the wire.
func (q Question) exchange(g *Generation) (*Exchange, *Peer, error) {
	u, err := url.Parse(q.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, nil, fmt.Errorf("%q is not a URL such as http://shop.example.com/cart", q.URL)
	}
	id, err := q.listener(g, u)
	if err != nil {
		return nil, nil, err
	}
	var head bytes.Buffer
	fmt.Fprintf(&head, "%s %s HTTP/1.1\r\n", cmp.Or(q.Method, "GET"), u.RequestURI())
	if !slices.ContainsFunc(q.Headers, func(h model.Header) bool { return strings.EqualFold(h.Name, "host") }) {
		fmt.Fprintf(&head, "Host: %s\r\n", u.Host)
	}
	for _, h := range q.Headers {
		fmt.Fprintf(&head, "%s: %s\r\n", h.Name, h.Value)
	}
	head.WriteString("\r\n")
	x := &Exchange{}
	var parser http1.Parser
	n, err := parser.Request(&x.Req, head.Bytes(), &explainLimits)
	if err == nil && n != head.Len() {
		err = errors.New("a line break in it")
	}
	if err == nil {
		_, _, err = http1.RequestFraming(&x.Req)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("this is no request: %w", err)
	}
	http1.DropHopByHop(&x.Req)
	return x, &Peer{
		Inbound: q.inbound(id, strings.ToLower(u.Hostname()), u.Scheme == "https"),
		Trusts:  func(netip.Addr) bool { return false }, PublicPorts: func(port uint16) uint16 { return port },
	}, nil
}

// inbound is the connection that a question comes by.
func (q Question) inbound(id model.ListenerID, name string, tls bool) policy.Inbound {
	client := q.Client
	if !client.IsValid() {
		client = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return policy.Inbound{
		Listener: id, Remote: netip.AddrPortFrom(client, 0), Addr: netip.AddrPortFrom(client, 0), PublicPort: id.Port,
		TLS: tls, ServerName: name,
	}
}

// listener finds the listener that a URL leads to: the one with its port, or
// else the one with the standard port of its scheme, which may be published
// elsewhere.
func (q Question) listener(g *Generation, u *url.URL) (model.ListenerID, error) {
	ports, err := portsOf(u)
	if err != nil {
		return model.ListenerID{}, err
	}
	var open []string
	for _, port := range ports {
		for _, l := range g.Snapshot.Config.Listeners {
			if l.ID == (model.ListenerID{Gateway: q.Gateway, Port: port, UDP: u.Scheme == "udp"}) {
				return l.ID, nil
			}
		}
	}
	for _, l := range g.Snapshot.Config.Listeners {
		open = append(open, l.ID.String())
	}
	if len(open) == 0 {
		return model.ListenerID{}, errors.New("nothing is served: there is no listener")
	}
	return model.ListenerID{}, fmt.Errorf("no listener for %s; there are %s", u.Host, strings.Join(open, ", "))
}

func explainHost(h route.HostTrace, origins map[string]reason.Origin) ExplainedHost {
	out := ExplainedHost{Name: h.Name, Fallback: h.Fallback, Blocks: []ExplainedBlock{}}
	for _, b := range h.Blocks {
		block := ExplainedBlock{Dialect: b.Dialect, Path: b.Path, Rule: b.Rule}
		for _, m := range b.Misses {
			block.Lost = append(block.Lost, Lost{m.Rule, origins[m.Rule].Place(), string(m.Condition), m.Expected, m.Got})
		}
		out.Blocks = append(out.Blocks, block)
	}
	return out
}

// view lists what a filter may change of a request, a line each.
func view(x *Exchange) []string {
	lines := []string{}
	if x.Rewritten != nil {
		lines = append(lines, "target "+string(x.Rewritten))
	}
	if x.MaxBody > 0 {
		lines = append(lines, fmt.Sprintf("body at most %d bytes", x.MaxBody))
	}
	if x.Answered {
		lines = append(lines, fmt.Sprintf("answer %d %s", x.Resp.Status, x.Outcome))
	}
	h := &x.Req
	for i := range h.Fields {
		if f := &h.Fields[i]; !f.Dropped {
			lines = append(lines, fmt.Sprintf("%s: %s", h.Name(f), h.Value(f)))
		}
	}
	return lines
}

// changes lists the lines that are new, behind a +, and those that are gone,
// behind a -.
func changes(before, now []string) []string {
	var out []string
	for _, line := range before {
		if !slices.Contains(now, line) {
			out = append(out, "-"+line)
		}
	}
	for _, line := range now {
		if !slices.Contains(before, line) {
			out = append(out, "+"+line)
		}
	}
	return out
}

func (x *Exchange) explainForward(g *Generation) *ExplainedForward {
	f, r := x.Route.Rule.Forward, x.Route
	out := &ExplainedForward{Target: string(x.ForwardTarget()), Host: string(x.Req.Get(msg.Host)), Limits: limitsOf(r, f)}
	for i := range f.Backends {
		b := &f.Backends[i]
		one := ExplainedBackend{Service: b.Service.String(), Weight: b.Weight, Endpoints: []ExplainedEndpoint{}}
		if r.total > 0 {
			one.Share = 100 * float64(b.Weight) / float64(r.total)
		}
		one.Drawn = x.backend == &r.backends[i]
		if b.Respond != nil {
			one.Answer = &ExplainedAnswer{Status: b.Respond.Status, Outcome: b.Respond.Outcome.String(), Why: b.Respond.Why}
		} else {
			one.Balance, one.Endpoints = g.explainService(b.Service)
		}
		out.Backends = append(out.Backends, one)
	}
	return out
}

// explainService lists the endpoints of a service, and why some are not used.
func (g *Generation) explainService(id model.ServiceID) (policy string, out []ExplainedEndpoint) {
	out = []ExplainedEndpoint{}
	live := g.liveHosts(id)
	for _, s := range g.Snapshot.Config.Services {
		if s.ID == id {
			text, _ := s.Balance.MarshalText()
			policy = string(text)
		}
	}
	for _, e := range g.Snapshot.Endpoints {
		if e.Service != id {
			continue
		}
		used := upstream.UsedEndpoints(e)
		for _, ep := range e.Endpoints {
			one := ExplainedEndpoint{Addr: ep.Addr.String(), Pod: ep.Pod, Locality: string(ep.Locality), Weight: ep.Weight}
			if host := live[ep.Addr]; host != nil {
				one.Active, one.Failures = host.Active.Load(), host.Failures.Load()
			}
			if why := upstream.RefusedAddress(ep.Addr.Addr()); why != "" {
				one.Out = "it is " + why
			} else if !slices.ContainsFunc(used, func(u model.Endpoint) bool { return u.Addr == ep.Addr }) {
				one.Out = "it is terminating, and others are ready"
			}
			out = append(out, one)
		}
		out = append(out, g.explainNames(id)...)
	}
	return policy, out
}

// liveHosts are those of a service's endpoints, by address.
func (g *Generation) liveHosts(id model.ServiceID) map[netip.AddrPort]*upstream.Host {
	out := map[netip.AddrPort]*upstream.Host{}
	if c := g.Clusters[id]; c != nil {
		for _, e := range c.Endpoints() {
			out[e.Addr] = e.Host
		}
	}
	return out
}

// explainNames lists what the names among the endpoints of a service stand for
// now, and those that stand for nothing.
func (g *Generation) explainNames(service model.ServiceID) (out []ExplainedEndpoint) {
	c := g.Clusters[service]
	if c == nil {
		return nil
	}
	for _, n := range c.NamedAddrs() {
		host := model.NamedEndpoint{Host: n.Host, Port: n.Port}.String()
		for _, addr := range n.Addrs {
			out = append(out, ExplainedEndpoint{Addr: netip.AddrPortFrom(addr, n.Port).String(), Name: host})
		}
		if len(n.Addrs) == 0 {
			out = append(out, ExplainedEndpoint{Addr: host, Name: host, Out: n.Lack})
		}
	}
	return out
}

// limitsOf writes the timeouts and retries that apply.
func limitsOf(r *Route, f *model.Forward) []string {
	out := []string{
		"connect within " + r.Connect.String(), "pause of the answer at most " + r.Read.String(),
		"pause of the request at most " + r.Send.String(),
	}
	for _, one := range []struct {
		what  string
		limit time.Duration
	}{{"the whole exchange within ", f.Timeout}, {"each attempt within ", f.AttemptTimeout}} {
		if one.limit > 0 {
			out = append(out, one.what+one.limit.String())
		}
	}
	if f.Retry != nil {
		out = append(out, fmt.Sprintf("repeated up to %d times on a failed connection and on %v, no sooner than %v", f.Retry.Attempts, f.Retry.Codes, f.Retry.Backoff))
	}
	if f.Affinity != nil {
		out = append(out, "a client stays at its endpoint: affinity "+f.Affinity.Name)
	}
	return out
}
