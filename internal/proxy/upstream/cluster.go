package upstream

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy/balance"
	"windrose.dev/windrose/internal/reason"
)

// Endpoint is one of a service's: where its connections are, and what the service
// knows of it.
type Endpoint struct {
	*Pool
	Pod string
}

// Cluster is a service as it is reached: its endpoints, and how they are spoken to.
// Routes hold Clusters, and Generations share them as long as the service is defined
// in the same way. Its endpoints change under it. Its methods may be called from any
// goroutine.
type Cluster struct {
	Service *Service
	Stats   *observe.Service
	// Protocol is what is spoken to the endpoints, and Secure tells that it is
	// over TLS.
	Protocol model.BackendProtocol
	Secure   bool
	// Closed says why nothing may be sent to the endpoints; empty is that it may.
	Closed string

	// tunnels is the same service for requests that switch protocols, where that
	// needs HTTP/1.1; nil is this one.
	tunnels *Cluster
	// others are the same service for listeners that show the endpoints another
	// certificate.
	others map[model.ListenerID]*Cluster

	definition model.Service
	registry   *Registry
	transport  Transport
	refusal    []reason.Report // of the definition
	set        atomic.Pointer[endpointSet]

	mu      sync.Mutex // guards what follows, and changes of set
	fixed   []model.Endpoint
	kept    []netip.AddrPort // terminating ones, which serve what they have
	refused []reason.Report  // of endpoints
	names   []named
	gone    bool // no Generation names it
}

// named is a host whose addresses are endpoints, at one port.
type named struct {
	*Name
	port uint16
}

// endpointSet are the endpoints of a Cluster, as they are while the names among
// them stand for what was seen of them. It is read-only.
type endpointSet struct {
	list   []Endpoint
	picker balance.Picker
	// tokens finds endpoints by what session affinity calls them, once one asks.
	tokens func() map[Token]*Endpoint

	used  []*Pool // those of list, and of endpoints that are kept for what they have
	names []named
	seen  []*[]netip.Addr // of names
}

// For is the service as it is reached on behalf of a listener.
func (c *Cluster) For(listener model.ListenerID) *Cluster {
	if c.others != nil {
		if other := c.others[listener]; other != nil {
			return other
		}
	}
	return c
}

// ForTunnels is the service as it is reached by requests that switch protocols: one
// that chooses between versions of HTTP is spoken to in HTTP/1.1 then.
func (c *Cluster) ForTunnels() *Cluster {
	if c.tunnels != nil {
		return c.tunnels
	}
	return c
}

// each calls do for c and for the same service as it is reached otherwise.
func (c *Cluster) each(do func(*Cluster)) {
	do(c)
	if c.tunnels != nil {
		c.tunnels.each(do)
	}
	done := map[*Cluster]bool{}
	for _, other := range c.others {
		if !done[other] { // many listeners may show one certificate
			done[other] = true
			other.each(do)
		}
	}
}

// Endpoints are those that there are now. The list does not change; later calls
// may return another.
func (c *Cluster) Endpoints() []Endpoint { return c.current().list }

// Find is the endpoint at an address, or nil.
func (c *Cluster) Find(addr netip.AddrPort) *Endpoint {
	all := c.Endpoints()
	if i := slices.IndexFunc(all, func(e Endpoint) bool { return e.Addr == addr }); i >= 0 {
		return &all[i]
	}
	return nil
}

// Active is the number of requests under way at the endpoints.
func (c *Cluster) Active() int64 {
	sum, all := int64(0), c.Endpoints()
	for i := range all {
		sum += all[i].Active.Load()
	}
	return sum
}

// current returns the endpoints, with the addresses that names lead to at this moment.
func (c *Cluster) current() *endpointSet {
	set := c.set.Load()
	for i := range set.names {
		if set.names[i].Addrs() != set.seen[i] {
			return c.renew()
		}
	}
	return set
}

// renew makes the set anew.
func (c *Cluster) renew() *endpointSet {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return c.set.Load()
	}
	set := c.build()
	if old := c.set.Swap(set); old != nil {
		c.registry.unuse(old.used)
	}
	return set
}

// build makes a set. The mutex is held.
func (c *Cluster) build() *endpointSet {
	set := &endpointSet{names: c.names}
	all, addrs := slices.Clip(c.fixed), make([]netip.AddrPort, 0, len(c.fixed)+len(c.kept))
	for i := range c.fixed {
		addrs = append(addrs, c.fixed[i].Addr)
	}
	for _, n := range c.names {
		found := n.Addrs()
		set.seen = append(set.seen, found)
		for _, addr := range *found {
			if at := netip.AddrPortFrom(addr, n.port); !slices.Contains(addrs, at) {
				all, addrs = append(all, model.Endpoint{Addr: at}), append(addrs, at)
			}
		}
	}
	set.used = c.registry.use(append(addrs, c.kept...), c.transport)
	set.list = make([]Endpoint, len(all))
	candidates := make([]balance.Endpoint, len(all))
	for i := range all {
		set.list[i] = Endpoint{set.used[i], all[i].Pod}
		candidates[i] = balance.Endpoint{Load: &set.used[i].Active, Weight: all[i].Weight}
	}
	set.picker = balance.New(c.definition.Balance, candidates, &c.Service.turn)
	set.tokens = sync.OnceValue(func() map[Token]*Endpoint { return c.tokens(set.list) })
	return set
}

// update takes other endpoints. Those to which nothing is ever sent are left out, and
// reported; terminating ones, unless there are no others (Kubernetes KEP-1669).
func (c *Cluster) update(e model.Endpoints) {
	permitted, refused := permitted(e)
	c.mu.Lock()
	c.refused = refused
	if c.Closed == "" {
		c.fixed, c.kept = readyOrAll(permitted)
		c.names = nil
		for _, n := range e.Names {
			c.names = append(c.names, named{c.registry.Name(n.Host), n.Port})
			if why := c.registry.Refused(n.Host); why != "" {
				c.refused = append(c.refused, refusedReport(c.Service.Name, n.Host, why))
			}
		}
	}
	c.mu.Unlock()
	c.renew()
}

// permitted are the endpoints of a service but for those to which nothing is sent,
// whoever writes them.
func permitted(e model.Endpoints) (out []model.Endpoint, reports []reason.Report) {
	refused := func(ep model.Endpoint) string { return RefusedAddress(ep.Addr.Addr()) }
	i := slices.IndexFunc(e.Endpoints, func(ep model.Endpoint) bool { return refused(ep) != "" })
	if i < 0 {
		return e.Endpoints, nil
	}
	first := e.Endpoints[i]
	reports = append(reports, refusedReport(e.Service.String(), first.Addr.Addr().String(), refused(first)))
	return slices.DeleteFunc(slices.Clone(e.Endpoints), func(ep model.Endpoint) bool { return refused(ep) != "" }), reports
}

func refusedReport(service, what, why string) reason.Report {
	return reason.New(reason.NameRefused, reason.Origin{}, "service "+service+": "+what+" is "+why)
}

// readyOrAll takes terminating endpoints off a list that has others. They go on serving
// what they have.
func readyOrAll(all []model.Endpoint) (use []model.Endpoint, kept []netip.AddrPort) {
	use = make([]model.Endpoint, 0, len(all))
	for _, ep := range all {
		if ep.Terminating {
			kept = append(kept, ep.Addr)
		} else {
			use = append(use, ep)
		}
	}
	if len(use) == 0 {
		return all, nil
	}
	return use, kept
}

// UsedEndpoints are those of a list that requests go to: ready ones, or all where none
// is, and none to which nothing is ever sent.
func UsedEndpoints(e model.Endpoints) []model.Endpoint {
	all, _ := permitted(e)
	use, _ := readyOrAll(all)
	return use
}

// close has the service be reached no more, once those who are at it are done.
func (c *Cluster) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.gone {
		c.gone = true
		c.registry.unuse(c.set.Load().used)
	}
}

// AwaitNames bounds how long the first requests to a host name wait until its
// addresses are known.
const AwaitNames = 2 * time.Second

// Await waits until the names among the endpoints have been looked up for the
// first time, or the limit has passed. It does not wait where there are endpoints
// already.
func (c *Cluster) Await(limit time.Duration) {
	set := c.current()
	if len(set.names) == 0 || len(set.list) > 0 {
		return
	}
	timer := time.NewTimer(min(limit, AwaitNames))
	defer timer.Stop()
	for _, n := range set.names {
		select {
		case <-n.First():
		case <-timer.C:
			return
		}
		if len(c.Endpoints()) > 0 {
			return
		}
	}
}

// Lack says why names give no endpoints; empty where there are no names.
func (c *Cluster) Lack() string {
	for _, n := range c.current().names {
		if why := n.lack(); why != "" {
			return n.Host + ": " + why
		}
	}
	return ""
}

func (n *named) lack() string {
	select {
	case <-n.First():
	default:
		return "its addresses are not known yet"
	}
	if err := n.Err(); err != nil {
		return err.Error()
	}
	return ""
}

// NamedAddrs is a name among endpoints: the addresses it leads to, or why it leads to none.
type NamedAddrs struct {
	Host  string
	Port  uint16
	Addrs []netip.Addr
	Lack  string
}

// NamedAddrs lists the names among the endpoints.
func (c *Cluster) NamedAddrs() (out []NamedAddrs) {
	for _, n := range c.current().names {
		out = append(out, NamedAddrs{n.Host, n.port, *n.Addrs(), n.lack()})
	}
	return out
}
