package engine

import (
	"net/netip"
	"sync"
)

// Clients counts what each client has open. Its zero value is empty; its methods may
// be called from any goroutine.
type Clients struct {
	mu     sync.Mutex
	counts map[netip.Addr]int
}

// clientKey is the address, or the /64 that one IPv6 host can use at will.
func clientKey(addr netip.Addr) netip.Addr {
	if addr.Is6() && !addr.Is4In6() {
		if prefix, err := addr.Prefix(64); err == nil {
			return prefix.Addr()
		}
	}
	return addr
}

// Add counts one more, unless the client has as many as the limit; 0 is no limit.
func (c *Clients) Add(addr netip.Addr, limit int) bool {
	key := clientKey(addr)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = map[netip.Addr]int{}
	}
	if limit > 0 && c.counts[key] >= limit {
		return false
	}
	c.counts[key]++
	return true
}

// Remove counts one less.
func (c *Clients) Remove(addr netip.Addr) {
	key := clientKey(addr)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts[key]--; c.counts[key] <= 0 {
		delete(c.counts, key)
	}
}
