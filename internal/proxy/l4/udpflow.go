package l4

import (
	"errors"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/policy"
	"windrose.dev/windrose/internal/proxy/sock"
	"windrose.dev/windrose/internal/proxy/upstream"
	"windrose.dev/windrose/internal/reason"
)

// udpFlow is what one client address and port exchanges with one endpoint. It
// has a socket of its own towards that, so that replies are told apart and
// nothing but what the endpoint sends reaches the client. It holds no
// Generation.
type udpFlow struct {
	listener *UDPListener
	peers    udpPeers
	source   []byte // that of replies
	shard    int
	start    int64
	up       *sock.Datagrams
	lease    upstream.Lease
	idle     atomic.Int64 // a duration

	rule, origin string
	counts       *observe.Route

	readUntil int64 // what the deadline is armed to
	in, out   atomic.Int64
	last      atomic.Int64 // the time of the last datagram, either way
	ended     atomic.Int32 // why it was ended, as an Outcome + 1; 0 while it was not
	denied    atomic.Pointer[policy.Verdict]
}

// drainQuiet is how long a UDP flow may be silent during a drain: nothing says
// that it has ended.
const drainQuiet = time.Second

func newUDPFlow(l *UDPListener, peers udpPeers, route *exchange.L4Route, lease upstream.Lease) (*udpFlow, error) {
	s := l.server
	f := &udpFlow{
		listener: l, peers: peers, source: sock.Source(peers.local), shard: s.Engine.NextShard().Index, start: s.Engine.Clock.Now(), lease: lease,
		rule: route.Rule.ID, origin: route.Origin, counts: route.Stats,
	}
	f.idle.Store(int64(s.Engine.Limits.UDPTimeout))
	if route.Idle > 0 {
		f.idle.Store(int64(route.Idle))
	}
	f.last.Store(f.start)
	var err error
	f.up, err = s.DialUDP(lease.Endpoint.Addr, s.flows.buffer, s.flows.release)
	return f, err
}

// send passes a datagram to the endpoint. An endpoint that does not listen ends
// the flow, so that the next datagram may find another.
func (f *udpFlow) send(datagram []byte) bool {
	f.last.Store(f.listener.server.Engine.Clock.Now())
	switch err := f.up.Send(datagram); {
	case err == nil:
		f.in.Add(int64(len(datagram)))
		return true
	case errors.Is(err, sock.ErrFull), errors.Is(err, syscall.EMSGSIZE):
		return false
	case errors.Is(err, syscall.ECONNREFUSED):
		f.end(reason.ConnectFailed)
	default:
		f.end(reason.UpstreamReset)
	}
	return false
}

// run passes on what the endpoint answers, until both are silent.
func (f *udpFlow) run() {
	defer f.finish()
	for f.ended.Load() == 0 {
		f.limit(f.listener.server.Engine.Clock.Now())
		err := f.up.Receive(f.reply)
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			if f.listener.server.Engine.Clock.Now()-f.last.Load() >= f.idle.Load() {
				f.end(reason.OK) // silence is how flows end
			}
		case errors.Is(err, syscall.ECONNREFUSED):
			f.end(reason.ConnectFailed)
		default:
			f.end(reason.UpstreamReset)
		}
	}
}

// limit arms the deadline, if it is off by much (see sock.Conn.LimitReads).
func (f *udpFlow) limit(now int64) {
	idle := f.idle.Load()
	if f.readUntil < now+idle || f.readUntil > now+idle*5/4 {
		f.readUntil = now + idle*9/8
		f.up.SetReadDeadline(f.listener.server.Engine.Clock.Time(f.readUntil))
	}
}

// reply passes a datagram to the client, from the listener's address. What the
// system does not take is lost, as datagrams are.
func (f *udpFlow) reply(datagram []byte) {
	f.last.Store(f.listener.server.Engine.Clock.Now())
	if err := f.listener.conn.Reply(datagram, f.peers.client, f.source); err != nil {
		f.listener.stats.Dropped.Add(f.shard, 1)
		return
	}
	f.out.Add(int64(len(datagram)))
}

// hurry has the flow end once it is silent for a moment.
func (f *udpFlow) hurry() {
	if f.idle.Load() > int64(drainQuiet) {
		f.idle.Store(int64(drainQuiet))
		f.up.SetReadDeadline(time.Now().Add(drainQuiet))
	}
}

// reconsider ends the flow if gen would not open it.
func (f *udpFlow) reconsider(gen *exchange.Generation) {
	in := f.listener.inbound(f.peers)
	if v := gen.MayOpen(&in); !v.Allowed() {
		f.denied.CompareAndSwap(nil, &v)
		f.end(v.Outcome)
	}
}

// end ends the flow. The first reason is the one that counts.
func (f *udpFlow) end(why reason.Outcome) {
	if f.ended.CompareAndSwap(0, int32(why)+1) {
		f.up.Close()
	}
}

// result is what the flow says of its endpoint: that it answered, or, as its port is
// closed, that it failed.
func (f *udpFlow) result() upstream.Result {
	r := upstream.Result{Outcome: reason.Outcome(f.ended.Load() - 1)}
	if f.out.Load() > 0 {
		r.Status = connected
	}
	return r
}

// finish counts and logs a flow that has ended.
func (f *udpFlow) finish() {
	if broken := recover(); broken != nil {
		f.listener.server.Engine.Panicked(broken)
		f.end(reason.InternalError)
	}
	l := f.listener
	f.lease.Done(f.result())
	l.remove(f)
	l.givePlace(f.peers.client)
	l.stats.Closed.Add(f.shard, 1)
	e := l.server.Engine
	flow := observe.Flow{
		Kind: observe.Datagrams, Rule: f.counts, Listener: l.stats,
		Start: e.Clock.Time(f.start), Duration: e.Since(f.start),
		Client: netip.AddrPortFrom(f.peers.client.Addr().Unmap(), f.peers.client.Port()), Transport: "udp",
		Host:    Host("", l.public),
		Outcome: reason.Outcome(f.ended.Load() - 1), BytesIn: f.in.Load(), BytesOut: f.out.Load(), Attempt: 1,
		Route: f.rule, Origin: f.origin, Endpoint: f.lease.Endpoint.Name, Destination: observe.Party{Workload: f.lease.Endpoint.Pod},
	}
	if v := f.denied.Load(); v != nil {
		flow.Detail = v.Detail
		flow.Judge(v.Policy)
	}
	e.Sink.Record(f.shard, &flow)
}
