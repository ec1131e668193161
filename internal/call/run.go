package call

import (
	"cmp"
	"context"
	"sync"
	"time"
)

// Result is the result of a run.
type Result struct {
	Summary
	// First is the first response, nil if there was none.
	First *Answer
	// FirstError is the error of the first request without a response.
	FirstError error
}

// Run sends the requests and returns when all have ended, or when ctx is done; then the
// requests in progress are left out. It returns an error only if config is such that
// nothing could be sent; requests that fail are counted.
func Run(ctx context.Context, config Config) (Result, error) {
	target, err := newTarget(config)
	if err != nil {
		return Result{}, err
	}
	requests := cmp.Or(config.Requests, 1)
	workers := min(cmp.Or(config.Concurrency, 1), requests)
	tickets := make(chan struct{})
	tallies := make([]*tally, workers)
	var running sync.WaitGroup
	running.Go(func() { issueTickets(ctx, tickets, requests, config.Rate) })
	for i := range tallies {
		tallies[i] = newTally()
		running.Go(func() { work(ctx, target, tickets, tallies[i]) })
	}
	running.Wait()
	total := newTally()
	for _, t := range tallies {
		total.merge(t)
	}
	return Result{Summary: total.summary(), First: total.first, FirstError: total.firstError}, nil
}

// issueTickets lets n requests start, evenly spaced if there is a rate. It keeps to the
// clock: after a stall it catches up.
func issueTickets(ctx context.Context, tickets chan<- struct{}, n int, rate float64) {
	defer close(tickets)
	start := time.Now()
	for i := range n {
		if rate > 0 && !waitUntil(ctx, start.Add(time.Duration(float64(i)/rate*float64(time.Second)))) {
			return
		}
		select {
		case tickets <- struct{}{}:
		case <-ctx.Done():
			return
		}
	}
}

func waitUntil(ctx context.Context, when time.Time) bool {
	timer := time.NewTimer(time.Until(when))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// work sends a request for each ticket.
func work(ctx context.Context, target target, tickets <-chan struct{}, t *tally) {
	s := &session{target: target}
	defer s.close()
	for range tickets {
		start := time.Now()
		answer, err := s.do(ctx)
		if ctx.Err() != nil {
			return // interrupted: counts as neither success nor failure
		}
		t.add(answer, err, time.Since(start))
	}
}
