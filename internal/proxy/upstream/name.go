package upstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy/resolve"
)

// How long what was learned of a name holds: as long as its records say, within
// bounds. After a failure it is asked for again soon, and then less often.
const (
	leastTTL    = 5 * time.Second
	mostTTL     = 5 * time.Minute
	firstRetry  = time.Second
	lastRetry   = 30 * time.Second
	lookupLimit = 30 * time.Second
)

// ErrRefusedAddress is wrapped by the errors of names whose addresses nobody but
// this machine, or this network, should be asked at: a name that leads there is
// a way around what guards it.
var ErrRefusedAddress = errors.New("its addresses are refused")

// Name is a host whose addresses are found in the background, for as long as a
// Generation names it.
type Name struct {
	Host string

	registry *Registry
	addrs    atomic.Pointer[[]netip.Addr]
	err      atomic.Pointer[error]
	first    chan struct{}      // closed when there is a first answer, or none
	cancel   context.CancelFunc // nil before it is looked up; guarded by names.mu

	// What follows is its goroutine's.
	good     time.Time // when an answer came last
	failures int
}

// Addrs points to the addresses that are known now, in order. The pointer is
// another one when they are others; what it points to does not change.
func (n *Name) Addrs() *[]netip.Addr { return n.addrs.Load() }

// Err is why there are no addresses, or why they may be old; nil if they are
// not.
func (n *Name) Err() error {
	if err := n.err.Load(); err != nil {
		return *err
	}
	return nil
}

// First is closed once the name has been looked up for the first time.
func (n *Name) First() <-chan struct{} { return n.first }

// names are those of a Registry.
type names struct {
	mu      sync.Mutex
	all     map[string]*Name
	fresh   chan struct{} // there are some that are not looked up yet
	running sync.WaitGroup
}

// Name returns the live name of a host, which Run looks up.
func (r *Registry) Name(host string) *Name {
	r.names.mu.Lock()
	defer r.names.mu.Unlock()
	n := r.names.all[host]
	if n == nil {
		n = &Name{Host: host, registry: r, first: make(chan struct{})}
		n.addrs.Store(new([]netip.Addr))
		r.names.all[host] = n
		select {
		case r.names.fresh <- struct{}{}:
		default: // Run will see this one too
		}
	}
	return n
}

// retainNames retires the names that are not named.
func (r *Registry) retainNames(named func(host string) bool) {
	r.names.mu.Lock()
	defer r.names.mu.Unlock()
	for host, n := range r.names.all {
		if !named(host) {
			delete(r.names.all, host)
			if n.cancel != nil {
				n.cancel()
			}
		}
	}
}

// startNames looks up the names that are new, until ctx ends.
func (r *Registry) startNames(ctx context.Context) {
	r.names.mu.Lock()
	defer r.names.mu.Unlock()
	for _, n := range r.names.all {
		if n.cancel == nil {
			var own context.Context
			own, n.cancel = context.WithCancel(ctx)
			r.names.running.Go(func() { n.run(own) })
		}
	}
}

// run keeps a name's addresses until ctx ends.
func (n *Name) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	defer n.forget()
	for first := true; ; first = false {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		changed, wait := n.refresh(ctx)
		if first {
			close(n.first)
		}
		if changed && ctx.Err() == nil && n.registry.cfg.Changed != nil {
			n.registry.cfg.Changed()
		}
		timer.Reset(wait - rand.N(wait/10+1)) // not all at once
	}
}

// refresh looks the name up. It returns whether its addresses are others now,
// and after what time it is to be done again.
func (n *Name) refresh(ctx context.Context) (changed bool, wait time.Duration) {
	limited, cancel := context.WithTimeout(ctx, lookupLimit)
	defer cancel()
	answer, err := n.registry.cfg.Lookup(limited, n.Host)
	if ctx.Err() != nil {
		return false, leastTTL
	}
	wait = n.next(answer, err)
	addrs, err := n.learn(answer, err)
	n.note(err)
	if slices.Equal(addrs, *n.addrs.Load()) {
		return false, wait
	}
	n.addrs.Store(&addrs)
	return true, wait
}

// next is after what time the name is to be looked up again.
func (n *Name) next(answer resolve.Answer, err error) time.Duration {
	holds := min(max(answer.TTL, leastTTL), mostTTL)
	if err == nil {
		n.failures = 0
		return holds
	}
	retry := min(firstRetry<<min(n.failures, 10), lastRetry)
	n.failures++
	if len(answer.Addrs) > 0 { // of one family, whose time to live counts, too
		return min(retry, holds)
	}
	return retry
}

// learn returns what the name stands for after a lookup, and what is wrong with
// that.
func (n *Name) learn(answer resolve.Answer, err error) ([]netip.Addr, error) {
	found := answer.Addrs
	var half *resolve.HalfError
	if errors.As(err, &half) {
		found = half.Complete(found, *n.addrs.Load())
	}
	if err != nil && len(found) == 0 {
		return n.lastGood(err), err
	}
	n.good = time.Now()
	addrs, refused := n.permitted(found)
	return addrs, cmp.Or(refused, err)
}

// lastGood is what a name stands for while it cannot be looked up: what it stood
// for before. Where the servers say that it stands for nothing, that is believed
// when they have said so for long.
func (n *Name) lastGood(err error) []netip.Addr {
	if errors.Is(err, resolve.ErrNone) && time.Since(n.good) > mostTTL {
		return nil
	}
	return *n.addrs.Load()
}

// permitted leaves out the addresses that are refused, and those of a family
// that this machine has no way to, if there are others.
func (n *Name) permitted(all []netip.Addr) ([]netip.Addr, error) {
	var out []netip.Addr
	var err error
	for _, addr := range all {
		if why := n.registry.refuses(addr); why != "" {
			err = fmt.Errorf("%w: %s is %s", ErrRefusedAddress, addr, why)
			continue
		}
		out = append(out, addr)
	}
	return reachable(out), err
}

// metadata are the addresses at which clouds hand credentials to their machines,
// and which are not link-local: Alibaba's, and that of AWS over IPv6.
var metadata = [...]netip.Addr{
	netip.AddrFrom4([4]byte{100, 100, 100, 200}),
	netip.AddrFrom16([16]byte{0: 0xfd, 2: 0x0e, 3: 0xc2, 14: 0x02, 15: 0x54}),
}

// nat64 is the prefix behind which networks of IPv6 alone have all addresses of
// IPv4 (RFC 6052 §2.1).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// refuses says why nothing is to be sent to an address that a name leads to, or
// nothing.
func (r *Registry) refuses(addr netip.Addr) string {
	if addr.Unmap().IsLoopback() && !r.cfg.LoopbackNames {
		return "a loopback address"
	}
	return RefusedAddress(addr)
}

// RefusedAddress says why nothing is ever to be sent to an address, whoever gives
// it, or nothing. Loopback addresses are for others to judge: endpoints of `run`
// have them.
func RefusedAddress(addr netip.Addr) string {
	addr = addr.Unmap()
	if nat64.Contains(addr) {
		bytes := addr.As16()
		addr = netip.AddrFrom4([4]byte(bytes[12:]))
	}
	switch {
	case addr.IsLinkLocalUnicast():
		return "a link-local address"
	case slices.Contains(metadata[:], addr):
		return "an address of a cloud's metadata"
	case addr.IsMulticast(), addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "an address of many"
	case addr.IsUnspecified(), addr.Is4() && addr.As4()[0] == 0:
		return "no address of a host"
	}
	return ""
}

// Refused says why nothing would be sent to a host whose addresses need no
// lookup, or nothing.
func (r *Registry) Refused(host string) string {
	host = strings.TrimSuffix(host, ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") { // RFC 6761 §6.3
		return r.refuses(netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return ""
	}
	return r.refuses(addr)
}

// reachable leaves out the addresses of a family that has no route.
func reachable(all []netip.Addr) []netip.Addr {
	four := func(a netip.Addr) bool { return a.Is4() }
	i := slices.IndexFunc(all, four)
	j := slices.IndexFunc(all, func(a netip.Addr) bool { return !four(a) })
	if i < 0 || j < 0 {
		return all
	}
	has4, has6 := hasRoute(all[i]), hasRoute(all[j])
	if has4 == has6 {
		return all
	}
	return slices.DeleteFunc(all, func(a netip.Addr) bool { return four(a) != has4 })
}

// hasRoute asks the system for a route, without sending anything.
func hasRoute(addr netip.Addr) bool {
	conn, err := net.Dial("udp", netip.AddrPortFrom(addr, 9).String())
	if err == nil {
		conn.Close()
	}
	return err == nil
}

// note counts how a lookup ended, and says what is new about it.
func (n *Name) note(err error) {
	before, stats := n.Err(), n.registry.lookups()
	if stats != nil {
		stats.Count(err == nil, errors.Is(err, ErrRefusedAddress))
		stats.Failing.Add(asNumber(err != nil) - asNumber(before != nil))
	}
	if n.err.Store(&err); n.registry.cfg.Warn == nil {
		return
	}
	switch {
	case err != nil && (before == nil || before.Error() != err.Error()):
		n.registry.cfg.Warn(fmt.Sprintf("%s: %v", n.Host, err))
	case err == nil && before != nil:
		n.registry.cfg.Warn(n.Host + " is found again")
	}
}

// forget has a name count as failing no more.
func (n *Name) forget() {
	if stats := n.registry.lookups(); stats != nil {
		stats.Failing.Add(-asNumber(n.Err() != nil))
	}
}

func asNumber(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// lookups counts them; it may be nil.
func (r *Registry) lookups() *observe.Names {
	if r.cfg.Metrics == nil {
		return nil
	}
	return &r.cfg.Metrics.Names
}
