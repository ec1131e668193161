package l4

import (
	"strconv"
	"time"

	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy/engine"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/policy"
	"windrose.dev/windrose/internal/proxy/sock"
	"windrose.dev/windrose/internal/proxy/upstream"
	"windrose.dev/windrose/internal/reason"
)

// Client is a client's connection, and what is known of it before its first byte is
// passed on.
type Client struct {
	Conn  *sock.Conn
	Shard *engine.Shard
	// Start is when it was accepted, on the clock.
	Start int64
	// Stats are the counts of the listener that accepted it, and clients dial Public.
	Stats  *observe.Listener
	Public uint16
	// Inbound is what is known of it; Terminate adds to that.
	*policy.Inbound
	// Named tells that it speaks TLS, and asks for its ServerName.
	Named bool
	// Terminate takes TLS off. It reports whether that was possible; if not it has
	// ended the connection, and said why.
	Terminate func() bool
}

// connection is one that a route took.
type connection struct {
	*Server
	in   *Client
	idle time.Duration

	rule, origin string // of the route
	counts       *observe.Route

	lease     upstream.Lease
	endpoint  upstream.Endpoint
	connected int64
	attempt   int
	detail    string
	policy    string // what allowed or denied it
}

// Overload says why a connection is refused that would take more memory.
const Overload = "buffers hold as much memory as they may"

// Serve carries a connection to a backend of its route, or refuses it such that the
// client sees an error. route is nil where none takes the connection.
func (s *Server) Serve(in *Client, route *exchange.L4Route) {
	c := &connection{Server: s, in: in, idle: s.Engine.Limits.TunnelTimeout, counts: s.Engine.Sink.Metrics.Unrouted()}
	if route == nil {
		c.refuse(reason.NoRoute, "no rule takes this server name")
		return
	}
	c.rule, c.origin, c.counts = route.Rule.ID, route.Origin, route.Stats
	if route.Idle > 0 {
		c.idle = route.Idle
	}
	cluster, respond := route.Draw()
	switch {
	case respond != nil:
		c.refuse(respond.Outcome, respond.Why)
	case in.Shard.Full():
		c.refuse(reason.Overloaded, Overload)
	case route.Rule.Terminate && !in.Terminate():
		c.counts.L4Flow(in.Shard.Index, reason.HandshakeFailed)
	default:
		c.admit(route, cluster)
	}
}

// admit carries the connection, if its policies allow it.
func (c *connection) admit(route *exchange.L4Route, cluster *upstream.Cluster) {
	v := c.Generation().MayOpen(c.in.Inbound)
	if c.policy = v.Policy; v.Outcome == reason.Denied {
		c.refuse(v.Outcome, v.Detail)
		return
	}
	c.carry(route, cluster)
}

// Refuse ends a connection for which no route was looked for.
func (s *Server) Refuse(in *Client, why reason.Outcome, detail string) {
	c := &connection{Server: s, in: in, counts: s.Engine.Sink.Metrics.Unrouted()}
	c.refuse(why, detail)
}

// connected is the Status of an endpoint that took a connection.
const connected = 200

func (c *connection) carry(route *exchange.L4Route, cluster *upstream.Cluster) {
	if outcome := c.connect(route, cluster); outcome != reason.OK {
		c.refuse(outcome, c.detail)
		return
	}
	outcome := reason.InternalError
	defer func() {
		c.lease.Conn.Close()
		c.lease.Done(upstream.Result{Outcome: outcome, Status: connected})
	}()
	p := &Pipe{
		client: resetEnd{ConnEnd{c.in.Conn}}, up: resetEnd{ConnEnd{c.lease.Conn.Conn}}, idle: c.idle, engine: c.Engine,
		allowed: func(gen *exchange.Generation) policy.Verdict { return gen.MayOpen(c.in.Inbound) },
	}
	c.open(p, nil)
	outcome, _ = p.outcome()
	if outcome == reason.OK {
		c.detail = ""
	}
	if v := p.verdict.Load(); v != nil {
		c.policy, c.detail = v.Policy, v.Detail
	}
	c.record(outcome, p.in.Load(), p.out.Load())
}

// connect makes a connection to an endpoint. Nothing has been sent yet, so that
// others are tried when one cannot be reached.
func (c *connection) connect(route *exchange.L4Route, cluster *upstream.Cluster) reason.Outcome {
	cluster.Await(route.Connect)
	var tried []*upstream.Endpoint
	outcome := reason.NoEndpoint
	dial := upstream.Dial{Shard: c.in.Shard.Index, Buffers: &c.in.Shard.Pool, Timeout: route.Connect, Client: upstream.Client{Addr: c.in.Addr, Dialled: c.in.Dialled}, Fresh: true}
	for range max(c.Engine.Limits.Attempts, 1) {
		if n := len(tried); n > 0 && n >= len(cluster.Endpoints()) {
			return outcome // there is no other
		}
		lease, err := cluster.Acquire(upstream.Pick{Tried: tried}, dial)
		if err == upstream.ErrNoEndpoint {
			c.detail = "service " + cluster.Service.Name + " has no endpoint"
			if why := cluster.Lack(); why != "" {
				c.detail += ": " + why
			}
			return outcome
		}
		c.endpoint = *lease.Endpoint
		c.attempt++
		switch {
		case err != nil:
			outcome, c.detail = upstream.OutcomeOf(err), err.Error()
			tried = append(tried, lease.Endpoint)
		case lease.Stream != nil:
			lease.Stream.Close()
			lease.Done(upstream.Result{})
			c.detail = "service " + cluster.Service.Name + " speaks HTTP/2, which carries no bytes of others"
			return reason.Closed
		default:
			c.lease, c.connected = lease, c.Engine.Clock.Now()
			return reason.OK
		}
	}
	return outcome
}

// refuse ends a connection that goes nowhere.
func (c *connection) refuse(outcome reason.Outcome, why string) {
	c.detail = why
	c.in.Conn.Reset()
	c.record(outcome, 0, 0)
}

func (c *connection) record(outcome reason.Outcome, in, out int64) {
	f := observe.Flow{
		Kind: observe.Connection, Rule: c.counts, Listener: c.in.Stats,
		Start: c.Engine.Clock.Time(c.in.Start), Duration: c.Engine.Since(c.in.Start),
		Client: c.in.Addr, Transport: "tcp", TLS: c.in.TLS, Host: Host(c.in.ServerName, c.in.Public),
		Outcome: outcome, BytesIn: in, BytesOut: out, Attempt: c.attempt, Detail: c.detail,
		Route: c.rule, Origin: c.origin,
	}
	f.Judge(c.policy)
	f.Source.Identity = c.in.Identity.Name()
	if c.in.Named {
		f.Transport = "tls"
	}
	if c.endpoint.Pool != nil {
		f.Endpoint, f.Destination.Workload = c.endpoint.Name, c.endpoint.Pod
	}
	if c.connected > 0 {
		f.Wait = time.Duration(c.connected - c.in.Start)
	}
	c.Engine.Sink.Record(c.in.Shard.Index, &f)
}

// Host is what a Flow of layer 4 has for a host: the server name, and the port that
// clients dial.
func Host(name string, port uint16) []byte {
	return strconv.AppendUint(append([]byte(name), ':'), uint64(port), 10)
}
