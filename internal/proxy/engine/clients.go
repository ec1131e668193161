package engine

import (
	"net/netip"
	"sync"
)

// Clients counts the open connections or flows of each client. Its zero value is empty;
// its methods may be called from any goroutine.
type Clients struct {
	mu     sync.Mutex
	counts map[netip.Addr]int
}

// clientKey returns the address, or for IPv6 its /64, all of which one host can use.
func clientKey(addr netip.Addr) netip.Addr {
	if addr.Is6() && !addr.Is4In6() {
		if prefix, err := addr.Prefix(64); err == nil {
			return prefix.Addr()
		}
	}
	return addr
}

// Add adds one and returns true, unless the client has reached the limit; 0 is no
// limit.
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

// Remove subtracts one.
func (c *Clients) Remove(addr netip.Addr) {
	key := clientKey(addr)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts[key]--; c.counts[key] <= 0 {
		delete(c.counts, key)
	}
}
