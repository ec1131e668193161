//go:build peers

package peers

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"windrose.dev/windrose/bench/rig"
)

// tally counts the results of exchanges.
type tally struct {
	sent atomic.Int64

	mu   sync.Mutex
	ends map[string]int
}

// add counts a response, or an error.
func (c *tally) add(answer rig.Answer, err error) {
	end := fmt.Sprint(answer.Status)
	if err != nil {
		end = err.Error()
		if _, last, cut := strings.Cut(end, "->"); cut {
			_, end, _ = strings.Cut(last, ": ") // without the addresses
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ends == nil {
		c.ends = map[string]int{}
	}
	c.ends[end]++
}

// failed returns the number of results other than 200.
func (c *tally) failed() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for end, count := range c.ends {
		if end != "200" {
			n += count
		}
	}
	return n
}

func (c *tally) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var lines []string
	for _, end := range slices.Sorted(maps.Keys(c.ends)) {
		lines = append(lines, fmt.Sprintf("%6d × %s", c.ends[end], end))
	}
	return strings.Join(lines, "\n")
}

// hammer sends requests over n connections, one after the other on each, until ctx ends.
// Nothing is retried. A connection that failed, or that the gateway closed in an orderly
// way, is replaced.
func hammer(ctx context.Context, address string, n int, do func(*rig.Raw) (rig.Answer, error)) *tally {
	counts := &tally{}
	var clients sync.WaitGroup
	for range n {
		clients.Go(func() {
			for ctx.Err() == nil {
				counts.connection(ctx, address, do)
			}
		})
	}
	clients.Wait()
	return counts
}

// connection sends requests over one connection for as long as it lasts.
func (c *tally) connection(ctx context.Context, address string, do func(*rig.Raw) (rig.Answer, error)) {
	client, err := rig.DialRaw(address, "shop.example.com")
	if err != nil {
		c.add(rig.Answer{}, err)
		return
	}
	defer client.Close()
	for ctx.Err() == nil {
		c.sent.Add(1)
		answer, err := do(client)
		if c.add(answer, err); err != nil || answer.Close {
			return
		}
	}
}

// getter returns a function that sends a GET for a target.
func getter(target string) func(*rig.Raw) (rig.Answer, error) {
	return func(client *rig.Raw) (rig.Answer, error) { return client.Get(target) }
}

// poster returns a function that sends a body to a target.
func poster(target, body string) func(*rig.Raw) (rig.Answer, error) {
	return func(client *rig.Raw) (rig.Answer, error) { return client.Post(target, body) }
}
