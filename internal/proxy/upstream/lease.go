package upstream

import (
	"errors"
	"slices"
	"time"

	"windrose.dev/windrose/internal/proxy/mux"
	"windrose.dev/windrose/internal/proxy/sock"
	"windrose.dev/windrose/internal/reason"
)

// ErrNoEndpoint: there is none to be had.
var ErrNoEndpoint = errors.New("the service has no endpoint")

// Pick says which endpoint is wanted.
type Pick struct {
	// Preferred is taken if it is not among Tried; nil is none.
	Preferred *Endpoint
	// Tried are those that have just failed; they are taken again only when there is
	// no other.
	Tried []*Endpoint
}

// tried reports whether an endpoint is among those that have failed, be it as one of
// an older list.
func (p *Pick) tried(e *Endpoint) bool {
	return slices.ContainsFunc(p.Tried, func(t *Endpoint) bool { return t.Pool == e.Pool })
}

// Dial says how a connection is got.
type Dial struct {
	// Shard is that of whoever asks, and Buffers its pool.
	Shard   int
	Buffers *sock.Pool
	// Timeout bounds the making of a connection.
	Timeout time.Duration
	// Client is what endpoints that ask for it are told.
	Client Client
	// Fresh asks for a connection that has carried nothing yet.
	Fresh bool
}

// Lease is the right to use an endpoint, which counts it as under way until Done.
// Connect gives it a connection for itself, or a stream of one. It belongs to one
// goroutine at a time; its zero value is none.
type Lease struct {
	Endpoint *Endpoint
	// Conn or Stream is set once there is a connection.
	Conn   *Conn
	Stream *mux.Stream
}

// Reserve chooses an endpoint, and counts it. The error is ErrNoEndpoint.
func (c *Cluster) Reserve(p Pick) (Lease, error) {
	e := p.Preferred
	if e == nil || p.tried(e) {
		e = c.current().pick(p, c.registry.cfg.Draw)
	}
	if e == nil {
		return Lease{}, ErrNoEndpoint
	}
	e.Active.Add(1)
	return Lease{Endpoint: e}, nil
}

// Acquire chooses an endpoint and connects to it. On failure the Lease has the endpoint
// that failed, if there was one, and need not be given back.
func (c *Cluster) Acquire(p Pick, d Dial) (Lease, error) {
	l, err := c.Reserve(p)
	if err != nil {
		return l, err
	}
	if err := l.Connect(d); err != nil {
		l.Done(Result{Outcome: OutcomeOf(err)})
		return l, err
	}
	return l, nil
}

// pick chooses an endpoint, or returns nil when there is none.
func (s *endpointSet) pick(p Pick, draw func() uint64) *Endpoint {
	n := len(s.list)
	if n == 0 {
		return nil
	}
	first := s.picker.Pick(draw)
	for i := range n {
		if e := &s.list[(first+i)%n]; !p.tried(e) {
			return e
		}
	}
	return &s.list[first]
}

// Connect finds a connection that is there already, or makes one. The error is
// ErrTimeout or ErrRefused, or wraps ErrHandshake.
func (l *Lease) Connect(d Dial) error {
	p := l.Endpoint.Pool
	if !d.Fresh {
		if link, ok := p.Reuse(d.Shard, p.registry.cfg.Clock.Now()); ok {
			l.Conn, l.Stream = link.Conn, link.Stream
			return nil
		}
	}
	link, err := p.Connect(d.Shard, d.Buffers, d.Timeout, d.Client)
	l.Conn, l.Stream = link.Conn, link.Stream
	return err
}

// Done ends the use of the endpoint, and says how it went. The connection is the
// caller's to close, or to give back to the pool.
func (l *Lease) Done(r Result) {
	if l.Endpoint != nil {
		l.Endpoint.Active.Add(-1)
		l.Endpoint.learn(r)
	}
}

// Result is how the use of an endpoint ended. The zero value says nothing of the
// endpoint.
type Result struct {
	// Outcome is that of the Flow. One that the client brought about says nothing.
	Outcome reason.Outcome
	// Status is that of the endpoint's own answer; 0 is none. For what is not HTTP any
	// number says that it did its work.
	Status int
}

// faults are the outcomes that an endpoint brings about.
var faults = [...]bool{
	reason.ConnectFailed: true, reason.ConnectTimeout: true, reason.UpstreamTLSFailed: true, reason.UpstreamReset: true,
	reason.UpstreamInvalid: true, reason.UpstreamTimeout: true, reason.UpstreamTruncated: true,
}

func (r Result) failed() bool {
	return int(r.Outcome) < len(faults) && faults[r.Outcome] || r.Status >= 500
}
