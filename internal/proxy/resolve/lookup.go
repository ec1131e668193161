package resolve

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// Resolver looks names up. Its zero value uses the files of the system.
type Resolver struct {
	// Config is the path of resolv.conf, and Hosts that of hosts; empty means those in
	// /etc.
	Config, Hosts string
	// Port is the port of the servers, which resolv.conf cannot specify; empty means
	// 53.
	Port string
}

// Answer is the result of a lookup.
type Answer struct {
	// Addrs are IPv4 and IPv6 addresses, sorted, without duplicates.
	Addrs []netip.Addr
	// TTL is how long the addresses are valid. It is 0 for those from a file, where it
	// is unknown.
	TTL time.Duration
}

// Errors of Lookup, each of which wraps one of these.
var (
	// ErrNone: the servers say that the name does not exist, or has no address.
	ErrNone = errors.New("there is no such name, or it has no address")
	// ErrFailed: no server gave an answer.
	ErrFailed = errors.New("the name cannot be looked up now")
)

// HalfError says that the addresses of one family could not be looked up, while there
// is an answer for the other: addresses, or that there are none. It wraps ErrFailed.
type HalfError struct {
	// IPv6 reports whether IPv6 is the family that failed; otherwise it is IPv4.
	IPv6 bool
	Err  error
}

func (e *HalfError) Error() string {
	if e.IPv6 {
		return "IPv6: " + e.Err.Error()
	}
	return "IPv4: " + e.Err.Error()
}

func (e *HalfError) Unwrap() error { return e.Err }

// Complete adds the earlier addresses of the family that failed to those that were
// found.
func (e *HalfError) Complete(found, before []netip.Addr) []netip.Addr {
	found = slices.Clone(found)
	for _, addr := range before {
		if addr.Is6() == e.IPv6 {
			found = append(found, addr)
		}
	}
	return ordered(found)
}

// MaxAddrs bounds the addresses of a name. Any more are ignored.
const MaxAddrs = 64

// Lookup returns the addresses of a host. A name that ends with a dot is looked up as
// it is; search domains may be appended to others. With a HalfError it also returns an
// Answer.
func (r *Resolver) Lookup(ctx context.Context, host string) (Answer, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return Answer{Addrs: []netip.Addr{addr.Unmap()}}, nil
	}
	if addrs := r.inHosts(host); len(addrs) > 0 {
		return Answer{Addrs: ordered(addrs)}, nil
	}
	conf, err := r.config()
	if err != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrFailed, err)
	}
	for _, name := range conf.NameList(host) {
		// A failure ends the search: the name in the next search domain may be another
		// host.
		answer, err := conf.find(ctx, name)
		if err != nil || len(answer.Addrs) > 0 {
			return answer, err
		}
	}
	return Answer{}, ErrNone
}

// find queries the addresses of one name, of both families at once. There may be none.
// If only one family is answered, find returns its answer with a HalfError.
func (c *config) find(ctx context.Context, name string) (Answer, error) {
	types := [...]uint16{dns.TypeA, dns.TypeAAAA}
	var answers [len(types)]Answer
	var errs [len(types)]error
	done := make(chan struct{})
	for i, kind := range types {
		go func() {
			answers[i], errs[i] = c.ask(ctx, name, kind)
			done <- struct{}{}
		}()
	}
	for range types {
		<-done
	}
	var out Answer
	for i := range types {
		if len(answers[i].Addrs) == 0 {
			continue
		}
		if out.Addrs == nil || answers[i].TTL < out.TTL {
			out.TTL = answers[i].TTL
		}
		out.Addrs = append(out.Addrs, answers[i].Addrs...)
	}
	out.Addrs = ordered(out.Addrs)
	switch four, six := errs[0], errs[1]; {
	case four != nil && six != nil:
		return out, errors.Join(four, six)
	case four != nil:
		return out, &HalfError{Err: four}
	case six != nil:
		return out, &HalfError{IPv6: true, Err: six}
	}
	return out, nil
}

// ordered sorts addresses, removes duplicates, and bounds their number.
func ordered(addrs []netip.Addr) []netip.Addr {
	slices.SortFunc(addrs, netip.Addr.Compare)
	addrs = slices.Compact(addrs)
	return addrs[:min(len(addrs), MaxAddrs)]
}
