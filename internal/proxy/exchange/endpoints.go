package exchange

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"windrose.dev/windrose/internal/proxy/upstream"
)

// named is a host whose addresses are endpoints, at one port.
type named struct {
	*upstream.Name
	port uint16
}

// endpointSet are the endpoints of a Cluster, as they are while the names among
// them stand for what was seen of them. It is read-only.
type endpointSet struct {
	list []Endpoint
	// load is made once: a method value made for each pick would be an
	// allocation for each.
	load func(i int) int64
	// tokens finds endpoints by what sessions call them, once one asks.
	tokens func() map[token]*Endpoint

	seen []*[]netip.Addr // of names
}

// Endpoints are those that there are now. The list does not change; later calls
// may return another.
func (c *Cluster) Endpoints() []Endpoint { return c.current().list }

// current returns the endpoints, with what names stand for now.
func (c *Cluster) current() *endpointSet {
	set := c.set.Load()
	for i := range c.names {
		if c.names[i].Addrs() != set.seen[i] {
			return c.renew()
		}
	}
	return set
}

// renew makes the set anew. When two goroutines do so at a time, the older set
// may stay: the next look at it tells.
func (c *Cluster) renew() *endpointSet {
	set := &endpointSet{list: make([]Endpoint, 0, len(c.fixed))}
	registry := c.compiler.Registry
	for _, ep := range c.fixed {
		set.list = append(set.list, Endpoint{registry.Endpoint(ep.Addr, c.way), ep.Pod})
	}
	for _, n := range c.names {
		addrs := n.Addrs()
		set.seen = append(set.seen, addrs)
		for _, addr := range *addrs {
			live := registry.Endpoint(netip.AddrPortFrom(addr, n.port), c.way)
			if !slices.ContainsFunc(set.list, func(e Endpoint) bool { return e.Endpoint == live }) {
				set.list = append(set.list, Endpoint{Endpoint: live})
			}
		}
	}
	set.load = func(i int) int64 { return set.list[i].Active.Load() }
	set.tokens = sync.OnceValue(func() map[token]*Endpoint { return c.compiler.tokens(c, set.list) })
	c.set.Store(set)
	return set
}

// Await waits until the names among the endpoints have been looked up for the
// first time, or the limit has passed. It does not wait where there are endpoints
// already.
func (c *Cluster) Await(limit time.Duration) {
	if len(c.names) == 0 || len(c.Endpoints()) > 0 {
		return
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for _, n := range c.names {
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
	for _, n := range c.names {
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
