package exchange

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"strconv"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/balance"
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/policy"
	"windrose.dev/windrose/internal/proxy/route"
	"windrose.dev/windrose/internal/proxy/upstream"
	"windrose.dev/windrose/internal/proxy/wire/http1"
	"windrose.dev/windrose/internal/reason"
)

// Peer is a client's connection as its requests see it. It does not change while the
// connection lives.
type Peer struct {
	policy.Inbound
	// Trusts reports whether peers at an address are believed when they say who their
	// client is.
	Trusts func(netip.Addr) bool
	// PublicPorts tells what clients dial to reach another listener of the same
	// Gateway.
	PublicPorts func(port uint16) uint16

	fields     *msg.Block // that say to backends who the client is
	clientCert []byte     // as X-Forwarded-Client-Cert has it
	ip, port   []byte
}

// Exchange is the state of one request and its response.
type Exchange struct {
	Gen  *Generation
	Peer *Peer

	Req  msg.Head
	Resp msg.Head
	// Target is the request target taken apart.
	Target http1.Target
	// Authority is the host that was asked for, as it was written.
	Authority []byte
	// Host is the same as it is matched.
	Host []byte
	// Path is the canonical path.
	Path route.Path
	// HTTPS reports whether the client speaks TLS, to us or to a trusted peer.
	HTTPS bool
	// dialled is the port that a trusted peer says the client dialled, or 0.
	dialled uint16
	// BodyLength is the length of the request's body, -1 when it is not known
	// before its end.
	BodyLength int64
	RequestID  []byte

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
	// sticky is the endpoint that the client's session is at, if any; issued is
	// when that began, and used when it was last seen, in Unix seconds.
	sticky       *upstream.Endpoint
	issued, used uint32
	// Rewritten is the target that goes to the backend; nil is the client's.
	Rewritten []byte
	// MaxBody bounds the request's body; 0 is unbounded.
	MaxBody int64

	// Switches tells that the request asks for another protocol: what comes back
	// may be no body, but a tunnel's bytes.
	Switches bool
	// RecodeRequest and RecodeResponse change the bodies; nil leaves them. A filter
	// sets the one for the response in its Response.
	RecodeRequest, RecodeResponse Recoder

	// Outcome and Detail say how the exchange ended, and Policy what allowed or denied it.
	Outcome reason.Outcome
	Detail  string
	Policy  string
	// Answered tells that the answer is our own; OwnBody is its body, if the rule has
	// one.
	Answered bool
	OwnBody  string

	// Asker carries the Calls of filters; nil carries none.
	Asker Asker

	finishers []Finisher // that have seen the request
	slots     []any      // of filters

	view                                     policy.Request // what the rules look at
	pathScratch, targetScratch, chainScratch []byte
	hostScratch                              [256]byte
	idScratch                                [32]byte
}

// Reset makes x ready for the next request. It keeps its memory.
func (x *Exchange) Reset() {
	x.closeRecoders()
	x.Req.Reset()
	x.Resp.Reset()
	x.view.Reset()
	*x = Exchange{
		Req: x.Req, Resp: x.Resp, view: x.view, Asker: x.Asker,
		finishers: cleared(x.finishers), slots: cleared(x.slots),
		pathScratch: x.pathScratch, targetScratch: x.targetScratch, chainScratch: x.chainScratch,
	}
}

// cleared empties a list and keeps its memory.
func cleared[T any](list []T) []T {
	clear(list)
	return list[:0]
}

// Answer ends the exchange with an answer of our own. Fields may be added to
// x.Resp afterwards.
func (x *Exchange) Answer(status int, outcome reason.Outcome) {
	x.Resp.Reset()
	x.Resp.Status = status
	x.Outcome = outcome
	x.Answered, x.OwnBody = true, ""
}

// Fail ends the exchange with the answer that the table has for outcome.
func (x *Exchange) Fail(outcome reason.Outcome, detail string) {
	x.Answer(outcome.Row().Status, outcome)
	x.Detail = detail
}

// Deny ends the exchange because a policy says so.
func (x *Exchange) Deny(v policy.Verdict) {
	x.Fail(v.Outcome, v.Detail)
	x.Policy = v.Policy
}

// FailWith ends the exchange because a message broke a rule.
func (x *Exchange) FailWith(err error) {
	if broken, ok := err.(*msg.Error); ok {
		x.Fail(broken.Outcome, broken.Text)
		return
	}
	x.Fail(reason.BadRequest, err.Error())
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

// respond answers in the backend's place. A rule that has nothing to say is
// closed.
func (x *Exchange) respond(r *model.Respond) {
	if r == nil {
		x.Fail(reason.Closed, "the rule has no end")
		return
	}
	x.Answer(r.Status, r.Outcome)
	x.Detail, x.OwnBody = r.Why, r.Body
	for _, h := range r.Headers {
		x.Resp.Add(msg.OtherField, h.Name, []byte(h.Value))
	}
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

// read finds host and path in the request.
func (x *Exchange) read() (err error) {
	h := &x.Req
	if x.Target, err = http1.SplitTarget(h.Bytes(h.Method), h.Bytes(h.Target)); err != nil {
		return err
	}
	x.Authority = h.Get(msg.Host)
	if x.Target.Authority != nil {
		x.Authority = x.Target.Authority
		h.Set(msg.Host, "Host", x.Authority)
	}
	if x.Authority != nil {
		if x.Host, err = http1.HostName(x.Authority, x.hostScratch[:]); err != nil {
			return err
		}
	}
	var ok bool
	if x.Path, x.pathScratch, ok = route.Canonical(x.Target.Path, x.pathScratch); !ok {
		return http1.ErrTarget
	}
	x.HTTPS = x.Peer.Secure()
	if x.Peer.Trusted {
		x.believe()
	}
	x.look()
	return nil
}

// believe reads what a trusted peer says of how the client came.
func (x *Exchange) believe() {
	if proto := x.Req.Get(msg.XForwardedProto); proto != nil {
		x.HTTPS = msg.EqualFold(proto, "https")
	}
	if port, ok := msg.ParsePort(x.Req.Get(msg.XForwardedPort)); ok {
		x.dialled = port
	}
}

// Scheme is that of the URL that the client asked for.
func (x *Exchange) Scheme() string {
	if x.HTTPS {
		return "https"
	}
	return "http"
}

// DialledPort is the port that the client connected to, here or at a trusted
// peer before us. Of one that takes TLS off and does not say, it is the
// scheme's.
func (x *Exchange) DialledPort() uint16 {
	switch {
	case x.dialled != 0:
		return x.dialled
	case x.HTTPS == x.Peer.Secure():
		return x.Peer.PublicPort
	case x.HTTPS:
		return 443
	}
	return 80
}

// look gathers what the rules look at.
func (x *Exchange) look() {
	v := &x.view
	v.Host, v.Authority, v.Path = x.Host, x.Authority, x.Path.Bytes
	v.Method, v.Query = x.Req.Bytes(x.Req.Method), x.Target.Query
	v.Head, v.Trusted, v.Trusts = &x.Req, x.Peer.Trusted, x.Peer.Trusts
	v.From, v.HTTPS = &x.Peer.Inbound, x.HTTPS
}

// View is what rules look at in the request. It may be kept, and read by
// others, as long as the request's head stays as it is.
func (x *Exchange) View() *policy.Request { return &x.view }

// identify gives the request its id: the client's own, when it is a sane one,
// or a new one.
func (x *Exchange) identify() {
	if id := x.Req.Get(msg.XRequestID); len(id) > 0 && len(id) <= 128 && msg.IsToken(id) && x.Req.Count(msg.XRequestID) == 1 {
		x.RequestID = id
		return
	}
	var raw [16]byte
	binary.LittleEndian.PutUint64(raw[:], rand.Uint64())
	binary.LittleEndian.PutUint64(raw[8:], rand.Uint64())
	hex.Encode(x.idScratch[:], raw[:])
	x.RequestID = x.idScratch[:]
	x.Req.Set(msg.XRequestID, "X-Request-ID", x.RequestID)
}

// identityFields are believed only from trusted peers.
var identityFields = [...]msg.FieldID{
	msg.Forwarded, msg.XForwardedFor, msg.XForwardedHost, msg.XForwardedPort, msg.XForwardedProto,
	msg.XForwardedScheme, msg.XForwardedPrefix, msg.XForwardedClientCert, msg.XOriginalForwardedFor,
	msg.XScheme, msg.XRealIP, msg.Spoof,
}

// setIdentity says to the backend who the client is, in the fields that
// ingress-nginx sets.
func (x *Exchange) setIdentity() {
	h, p := &x.Req, x.Peer
	if p.Trusted {
		x.extendIdentity()
		return
	}
	for _, id := range identityFields {
		h.Drop(id)
	}
	if p.fields == nil {
		p.Prepare()
	}
	h.AddBlock(p.fields)
	h.Add(msg.XForwardedHost, "X-Forwarded-Host", x.Authority)
}

// Prepare makes what a Peer keeps for its requests. It is for those whose
// requests come at the same time.
func (p *Peer) Prepare() { p.fields = p.newFields() }

func (p *Peer) newFields() *msg.Block {
	var h msg.Head
	scheme := schemeOf(p.Secure())
	p.ip = []byte(p.Addr.Addr().Unmap().WithZone("").String())
	p.port = strconv.AppendUint(nil, uint64(p.PublicPort), 10)
	h.Add(msg.XForwardedFor, "X-Forwarded-For", p.ip)
	h.Add(msg.XRealIP, "X-Real-IP", p.ip)
	h.Add(msg.XForwardedPort, "X-Forwarded-Port", p.port)
	h.Add(msg.XForwardedProto, "X-Forwarded-Proto", scheme)
	h.Add(msg.XForwardedScheme, "X-Forwarded-Scheme", scheme)
	h.Add(msg.XScheme, "X-Scheme", scheme)
	if p.Identity != nil {
		p.clientCert = forwardedClientCert(p.Identity)
		h.Add(msg.XForwardedClientCert, clientCertName, p.clientCert)
	}
	return msg.NewBlock(&h)
}

var schemeHTTP, schemeHTTPS = []byte("http"), []byte("https")

func schemeOf(tls bool) []byte {
	if tls {
		return schemeHTTPS
	}
	return schemeHTTP
}

// extendIdentity keeps what a trusted peer says and adds the peer itself to
// the chain.
func (x *Exchange) extendIdentity() {
	h, p := &x.Req, x.Peer
	if p.fields == nil {
		p.Prepare()
	}
	chain := h.AppendList(x.chainScratch[:0], msg.XForwardedFor)
	if len(chain) > 0 {
		chain = append(chain, ", "...)
	}
	x.chainScratch = append(chain, p.ip...)
	h.Set(msg.XForwardedFor, "X-Forwarded-For", x.chainScratch)
	scheme := schemeOf(x.HTTPS)
	h.Set(msg.XRealIP, "X-Real-IP", x.clientIP())
	if h.Count(msg.XForwardedProto) > 1 {
		h.Set(msg.XForwardedProto, "X-Forwarded-Proto", scheme) // one alone was believed
	}
	x.setMissing(msg.XForwardedHost, "X-Forwarded-Host", x.Authority)
	x.setMissing(msg.XForwardedPort, "X-Forwarded-Port", p.port)
	x.setMissing(msg.XForwardedProto, "X-Forwarded-Proto", scheme)
	x.setMissing(msg.XForwardedScheme, "X-Forwarded-Scheme", scheme)
	x.setMissing(msg.XScheme, "X-Scheme", scheme)
	if p.clientCert != nil {
		before := h.AppendList(nil, msg.XForwardedClientCert)
		if len(before) > 0 {
			before = append(before, ',')
		}
		h.Set(msg.XForwardedClientCert, clientCertName, append(before, p.clientCert...))
	}
}

// clientIP is the address of the client that a trusted peer speaks for.
func (x *Exchange) clientIP() []byte {
	if client := policy.ClientOf(x.chainScratch, x.Peer.Trusts); client != nil {
		return client
	}
	return x.Peer.ip
}

func (x *Exchange) setMissing(id msg.FieldID, name string, value []byte) {
	if !x.Req.Has(id) {
		x.Req.Add(id, name, value)
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

// ForwardTarget is the target that goes to the backend: a filter's, or the
// client's own bytes, or the canonical path where the client's had dot
// segments.
func (x *Exchange) ForwardTarget() []byte {
	switch {
	case x.Rewritten != nil:
		return x.Rewritten
	case x.Path.DotsRemoved:
		x.targetScratch = x.appendQuery(append(x.targetScratch[:0], x.Path.Bytes...))
		return x.targetScratch
	case x.Target.Authority != nil:
		x.targetScratch = x.appendQuery(append(x.targetScratch[:0], x.Target.Path...))
		return x.targetScratch
	}
	return x.Req.Bytes(x.Req.Target)
}

// RewritePath has the backend get another path, with the request's query.
// write appends it, or returns false to leave the path alone.
func (x *Exchange) RewritePath(write func(dst []byte, x *Exchange) ([]byte, bool)) {
	path, edited := write(x.targetScratch[:0], x)
	if edited {
		x.targetScratch = x.appendQuery(path)
		x.Rewritten = x.targetScratch
	}
}

func (x *Exchange) appendQuery(dst []byte) []byte {
	if x.Target.HasQuery {
		dst = append(append(dst, '?'), x.Target.Query...)
	}
	return dst
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
