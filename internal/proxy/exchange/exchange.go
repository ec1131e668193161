package exchange

import (
	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/balance"
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/route"
	"windrose.dev/windrose/internal/proxy/upstream"
	"windrose.dev/windrose/internal/proxy/wire/http1"
	"windrose.dev/windrose/internal/reason"
)

// Exchange is the state of one request and its response.
type Exchange struct {
	request
	decision
	ending

	// Asker carries the Calls of filters; nil carries none.
	Asker Asker

	finishers []Finisher // that have seen the request
	slots
}

// decision is what was decided for a request, and how it is carried out.
type decision struct {
	Gen   *Generation
	Route *Route
	// Cluster is the service that was drawn for the request.
	Cluster *upstream.Cluster
	backend *Backend
	// explained is the decision as text, for the client; nil for those who did
	// not ask.
	explained []byte
	// watch is told of each step that has changed the request; nil but for
	// explanations.
	watch func(filter string)
	// sticky is the endpoint that affinity leads to, if any; issued is when that
	// began, and used when it was last seen, in Unix seconds.
	sticky       *upstream.Endpoint
	issued, used uint32
	// MaxBody bounds the request's body; 0 is unbounded.
	MaxBody int64

	// Switches tells that the request asks for another protocol: what comes back
	// may be no body, but a tunnel's bytes.
	Switches bool
	// RecodeRequest and RecodeResponse change the bodies; nil leaves them. A filter
	// sets the one for the response in its Response.
	RecodeRequest, RecodeResponse Recoder
}

// Reset makes x ready for the next request. It keeps its memory.
func (x *Exchange) Reset() {
	x.closeRecoders()
	x.request.reset()
	x.decision = decision{}
	x.Resp.Reset()
	x.ending = ending{Resp: x.Resp}
	x.finishers, x.slots.all = cleared(x.finishers), cleared(x.slots.all)
}

// cleared empties a list and keeps its memory.
func cleared[T any](list []T) []T {
	clear(list)
	return list[:0]
}

// Begin pins the Generation and gives the request its id. It is for requests
// that cannot be decided; Decide does it too.
func (x *Exchange) Begin(g *Generation, p *Peer) {
	x.Gen, x.Peer = g, p
	x.identify()
}

// Unpin lets go of the Generation and of all that is compiled, but for what
// the record of the exchange needs. It is for exchanges that live long.
func (x *Exchange) Unpin() {
	r := x.Route
	x.Gen, x.backend, x.sticky = nil, nil, nil
	x.Route = &Route{Rule: &model.Rule{ID: r.Rule.ID}, Origin: r.Origin, Stats: r.Stats}
}

// Decide computes the fate of the request in x.Req: it sets Route and either
// answers, or leaves the request ready to be forwarded. trace is nil but for
// those who want to know why.
func (x *Exchange) Decide(g *Generation, p *Peer, trace *route.Trace) {
	x.Begin(g, p)
	if err := x.read(); err != nil {
		x.FailWith(err)
		return
	}
	if string(x.Req.Bytes(x.Req.Method)) == "TRACE" {
		x.Fail(reason.MethodRefused, "TRACE would show the fields that were added on the way")
		return
	}
	if p.TLS && g.misdirects(p, x.Host) {
		x.Fail(reason.Misdirected, "the server name of the connection belongs to another listener")
		return
	}
	r, found := g.table.Match(p.Listener, &x.view, trace)
	if !found {
		x.Fail(reason.NoRoute, "")
		return
	}
	x.Route = r
	x.setIdentity()
	if x.watch != nil {
		x.watch("identity")
	}
	switch {
	case x.filter(r.filters):
	case r.Rule.Forward != nil:
		x.draw()
	default:
		x.respond(r.Rule.Respond)
	}
}

// filter runs filters over the request until one has answered.
func (x *Exchange) filter(all []step) (answered bool) {
	for i := range all {
		if all[i].finisher != nil {
			x.finishers = append(x.finishers, all[i].finisher)
		}
		answered := all[i].Request(x)
		if x.watch != nil {
			x.watch(all[i].name)
		}
		if answered {
			return true
		}
	}
	return false
}

// draw chooses the backend of the request by weight, and has what belongs to
// that share alone apply.
func (x *Exchange) draw() {
	r, i := x.Route, 0
	if len(r.backends) != 1 || r.total == 0 {
		i = balance.ByWeight(r.weights, r.total, x.Gen.chance.draw())
	}
	if r.affinity != nil {
		i = x.findAffinity(r.affinity, i)
	}
	if i < 0 {
		x.Fail(reason.NoEndpoint, "all backends of the rule have weight 0")
		return
	}
	x.backend = &r.backends[i]
	switch {
	case x.filter(x.backend.filters):
	case x.backend.respond != nil:
		x.respond(x.backend.respond)
	default:
		x.Cluster = x.backend.cluster.For(x.Peer.Listener)
		if x.Cluster.Closed != "" {
			x.Fail(reason.Closed, x.Cluster.Closed)
		}
	}
}

// PrepareTunnel is for requests that switch protocols: a service that chooses
// between versions of HTTP is spoken to in HTTP/1.1 then.
func (x *Exchange) PrepareTunnel() {
	x.Switches = true
	if x.Cluster = x.Cluster.ForTunnels(); x.sticky != nil {
		x.sticky = x.Cluster.Find(x.sticky.Addr)
	}
}

// Pick says which endpoint of x.Cluster is wanted: a session goes on where it was as
// long as that works. tried are those that have just failed.
func (x *Exchange) Pick(tried []*upstream.Endpoint) upstream.Pick {
	return upstream.Pick{Preferred: x.sticky, Tried: tried}
}

// EachMirror calls do for the clusters that get a copy of this request.
func (x *Exchange) EachMirror(do func(*upstream.Cluster)) {
	for _, all := range [...][]mirror{x.Route.mirrors, x.backend.mirrors} {
		for _, m := range all {
			if m.share == m.of || x.Gen.chance.below(m.of) < m.share {
				do(m.cluster.For(x.Peer.Listener))
			}
		}
	}
}

// Mirrored reports whether the request's rule has mirrors at all.
func (x *Exchange) Mirrored() bool { return len(x.Route.mirrors)+len(x.backend.mirrors) > 0 }

// RewritePath has the backend get another path, with the request's query.
// write appends it, or returns false to leave the path alone.
func (x *Exchange) RewritePath(write func(dst []byte, x *Exchange) ([]byte, bool)) {
	path, edited := write(x.targetScratch[:0], x)
	if edited {
		x.targetScratch = x.appendQuery(path)
		x.Rewritten = x.targetScratch
	}
}

// OnResponse prepares a backend's response head for the client: what concerned
// the connection to the backend goes, and the rule's filters edit the rest.
func (x *Exchange) OnResponse() {
	http1.DropHopByHop(&x.Resp)
	x.Resp.Drop(msg.Spoof)
	x.FilterResponse()
}

// FilterResponse runs the rule's filters over the response head, the backend's
// or our own.
func (x *Exchange) FilterResponse() {
	if x.explained != nil {
		x.Resp.SetName("X-Windrose-Explained", x.explained)
	}
	if x.Route == nil {
		return
	}
	if x.backend != nil {
		x.filterBack(x.backend.filters)
	}
	x.filterBack(x.Route.filters)
}

func (x *Exchange) filterBack(all []step) {
	for i := len(all) - 1; i >= 0; i-- {
		all[i].Response(x)
	}
}
