package proxy

import (
	"errors"
	"io"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/sock"
	"windrose.dev/windrose/internal/proxy/upstream"
	"windrose.dev/windrose/internal/reason"
)

// conduit carries one connection to a backend on layer 4. It holds no
// Generation.
type conduit struct {
	proxy   *Proxy
	session *session
	start   int64
	// name is the server name; named tells that there may be one.
	name  string
	named bool
	idle  time.Duration

	// Of the relay that took it.
	rule, origin string
	stats        *observe.Route

	up        *upstream.Conn
	endpoint  exchange.Endpoint
	connected int64
	retries   int
	detail    string

	in, out atomic.Int64
	last    atomic.Int64 // the time of the last bytes, either way
	ended   atomic.Int32 // why it was broken off, as an Outcome + 1; 0 while it was not
}

func newConduit(s *session, named bool) *conduit {
	return &conduit{proxy: s.proxy, session: s, start: s.proxy.clock.Now(), named: named, idle: s.proxy.cfg.Limits.TunnelTimeout}
}

// connect makes a connection to an endpoint. Nothing has been sent yet, so that
// others are tried when one cannot be reached.
func (c *conduit) connect(relay *exchange.Relay, cluster *exchange.Cluster) reason.Outcome {
	cluster.Await(min(relay.Connect, awaitNames))
	var tried []*exchange.Endpoint
	outcome := reason.NoEndpoint
	for range max(c.proxy.cfg.Limits.Attempts, 1) {
		e := cluster.Pick(tried)
		if slices.Contains(tried, e) {
			return outcome // there is no other
		}
		if e == nil {
			c.detail = "service " + cluster.Service.ID + " has no endpoint"
			if why := cluster.Lack(); why != "" {
				c.detail += ": " + why
			}
			return outcome
		}
		c.endpoint, c.retries = *e, len(tried)
		link, err := e.Connect(c.session.shard.index, &c.session.shard.pool, relay.Connect, c.session.client())
		if link.Stream != nil {
			link.Stream.Close()
			c.detail = "service " + cluster.Service.ID + " speaks HTTP/2, which carries no bytes of others"
			return reason.Closed
		}
		if err == nil {
			c.up, c.connected = link.Conn, c.proxy.clock.Now()
			return reason.OK
		}
		outcome = connectOutcome(err)
		c.detail = err.Error()
		tried = append(tried, e)
	}
	return outcome
}

// run moves bytes until both sides have ended, one has failed, or both are
// silent for too long.
func (c *conduit) run() {
	defer c.up.Close()
	c.endpoint.Active.Add(1)
	defer c.endpoint.Active.Add(-1)
	c.last.Store(c.proxy.clock.Now())
	c.proxy.conduits.add(c)
	defer c.proxy.conduits.remove(c)
	c.reconsider(c.proxy.live.Load().gen) // the configuration may have changed in between
	done := make(chan struct{})
	c.proxy.serving.Go(func() {
		defer close(done)
		defer func() {
			if broken := recover(); broken != nil {
				c.proxy.panicked(broken)
				c.end(reason.InternalError)
			}
		}()
		c.carry(sock.NewCarrier(c.session.conn, c.up.Conn), &c.in)
	})
	c.carry(sock.NewCarrier(c.up.Conn, c.session.conn), &c.out)
	<-done
	c.record()
}

// carry moves bytes one way. When that fails it ends the other way too.
func (c *conduit) carry(k *sock.Carrier, count *atomic.Int64) {
	defer k.Close()
	gone, lost := reason.ClientGone, reason.UpstreamReset // of the reader, and of the writer
	if k.From != c.session.conn {
		gone, lost = reason.UpstreamTruncated, reason.ClientGone
	}
	for {
		k.From.LimitReads(c.proxy.clock.Now(), c.idle)
		n, err := k.Take()
		now := c.proxy.clock.Now()
		switch {
		case errors.Is(err, io.EOF):
			if k.To.EndWrites() != nil {
				c.end(lost)
			}
			return
		case errors.Is(err, os.ErrDeadlineExceeded):
			if now-c.last.Load() < int64(c.idle) {
				continue // the other way is busy
			}
			c.end(reason.IdleTimeout)
			return
		case err != nil:
			c.end(gone)
			return
		}
		c.last.Store(now)
		k.To.LimitWrites(now, c.idle)
		if err := k.Give(); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				lost = reason.IdleTimeout
			}
			c.end(lost)
			return
		}
		count.Add(int64(n))
	}
}

// end breaks off both sides at once, and such that both see an error. The first
// reason is the one that counts.
func (c *conduit) end(why reason.Outcome) {
	if c.ended.CompareAndSwap(0, int32(why)+1) {
		c.session.conn.Reset()
		c.up.Reset()
	}
}

func (c *conduit) outcome() reason.Outcome {
	if ended := c.ended.Load(); ended > 0 {
		return reason.Outcome(ended - 1)
	}
	return reason.OK
}

// reconsider ends the conduit if gen would not open it because something that
// guards it is not in force. Whatever else has changed, it goes on.
func (c *conduit) reconsider(gen *exchange.Generation) {
	if gen.Relays(c.session.listener.id).Closed(c.name) {
		c.end(reason.Closed)
	}
}

// record counts and logs what was carried.
func (c *conduit) record() {
	shard, l := c.session.shard.index, c.session.listener.stats
	l.RelayedIn.Add(shard, uint64(c.in.Load()))
	l.RelayedOut.Add(shard, uint64(c.out.Load()))
	c.stats.Relay(shard, c.outcome())
	c.log(c.outcome())
}

func (c *conduit) log(outcome reason.Outcome) {
	if !c.proxy.cfg.Log.Enabled() {
		return
	}
	f := observe.Flow{
		Start: c.proxy.clock.Time(c.start), Duration: durationOf(c.start, c.proxy.clock.Now()),
		Client: c.session.peer.Addr, Transport: "tcp", TLS: c.session.peer.TLS, Host: hostOf(c.name, c.session.listener),
		Outcome: outcome, BytesIn: c.in.Load(), BytesOut: c.out.Load(), Retries: c.retries, Detail: c.detail,
		Route: c.rule, Origin: c.origin,
	}
	if c.named {
		f.Transport = "tls"
	}
	if c.endpoint.Endpoint != nil {
		f.Endpoint, f.Pod = c.endpoint.Name, c.endpoint.Pod
	}
	if c.connected > 0 {
		f.Wait = durationOf(c.start, c.connected)
		if outcome == reason.OK {
			f.Detail = ""
		}
	}
	c.proxy.cfg.Log.Record(c.session.shard.index, &f)
}

// hostOf is what the log has for a host: the server name, and the port that
// clients dial.
func hostOf(name string, l *listener) []byte {
	return strconv.AppendUint(append([]byte(name), ':'), uint64(l.public), 10)
}

// conduits are all that are open.
type conduits struct {
	mu  sync.Mutex
	all map[*conduit]struct{}
}

func (cs *conduits) add(c *conduit) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.all == nil {
		cs.all = map[*conduit]struct{}{}
	}
	cs.all[c] = struct{}{}
}

func (cs *conduits) remove(c *conduit) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(cs.all, c)
}

// each calls do for all that are open now.
func (cs *conduits) each(do func(*conduit)) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for c := range cs.all {
		do(c)
	}
}
