package exchange

import (
	"io"
	"sync"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/upstream"
)

// Environment is what a Filter is made with. It is for the time of New alone; what it
// hands out may be kept.
type Environment struct {
	// Rule is the id of the rule that the filter is of.
	Rule string
	// Now is the time, and Draw gives random numbers: explanations and tests bring
	// their own.
	Now  func() time.Time
	Draw func() uint64

	clusters *clusters
	kept     *kept
	keys     *[]string // that were asked for
	slots    *int
}

// Cluster is a service that the filter may ask (see Exchange.Ask), or nil where there is
// none of that id. The filter's kind has to name it (model.FilterKind).
func (e *Environment) Cluster(service model.ServiceID) *upstream.Cluster {
	return e.clusters.get(service)
}

// Slot is a place of a filter in each exchange of its rule.
type Slot int

// Slot returns a place that no other filter of the rule has.
func (e *Environment) Slot() Slot {
	*e.slots++
	return Slot(*e.slots - 1)
}

// Keep returns the value of a key, or makes it if there is none. It outlives swaps for as
// long as some filter of the live Generation asks for the key; then it is closed, if it
// is an io.Closer. Whatever the value depends on belongs into its key. Exchanges that
// began under an older Generation may use a value that is closed.
func Keep[T any](e *Environment, key string, make func() T) T {
	*e.keys = append(*e.keys, key)
	return e.kept.get(key, func() any { return make() }).(T)
}

// kept are values of filters that outlive Generations, by key.
type kept struct {
	mu  sync.Mutex
	all map[string]any
}

func (k *kept) get(key string, make func() any) any {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.all == nil {
		k.all = map[string]any{}
	}
	if _, has := k.all[key]; !has {
		k.all[key] = make()
	}
	return k.all[key]
}

// retain closes and forgets the values that no host asks for.
func (k *kept) retain(hosts []*host) {
	used := map[string]bool{}
	for _, h := range hosts {
		for _, key := range h.keys {
			used[key] = true
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for key, value := range k.all {
		if used[key] {
			continue
		}
		if closer, is := value.(io.Closer); is {
			closer.Close()
		}
		delete(k.all, key)
	}
}

// Finisher is a Filter that is told of the end of each exchange whose request it has
// seen, once: the answer has been sent, or the tunnel has ended, and x.Outcome says how.
// Route and Cluster may be gone by then.
type Finisher interface {
	Filter
	Done(x *Exchange)
}

// Finish tells the filters that the exchange has ended, the last one first.
func (x *Exchange) Finish() {
	for n := len(x.finishers); n > 0; n = len(x.finishers) {
		last := x.finishers[n-1]
		x.finishers[n-1], x.finishers = nil, x.finishers[:n-1] // before it may panic
		last.Done(x)
	}
}

// slots are the places of filters in an exchange.
type slots struct{ all []any }

// Slot returns what a filter has put into its place, or nil.
func (x *slots) Slot(s Slot) any {
	if int(s) >= len(x.all) {
		return nil
	}
	return x.all[s]
}

// SetSlot puts something into a filter's place, for as long as the exchange lasts. A
// pointer costs no allocation.
func (x *slots) SetSlot(s Slot, v any) {
	for int(s) >= len(x.all) {
		x.all = append(x.all, nil)
	}
	x.all[s] = v
}
