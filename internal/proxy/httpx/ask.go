package httpx

import (
	"errors"
	"sync"
	"time"

	"windrose.dev/windrose/internal/proxy/engine"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/upstream"
	"windrose.dev/windrose/internal/reason"
)

// Question is a request to a service that is not a client's: a copy for a mirror, or
// what a filter needs to know.
type Question struct {
	Cluster *upstream.Cluster
	// Client is what endpoints that ask for it are told.
	Client upstream.Client
	// Connect bounds the making of a connection, and Time all that follows.
	Connect, Time time.Duration
	// MaxBody bounds what is read of the answer's body, in bytes. It is kept with Keep.
	MaxBody int64
	Keep    bool

	request outgoing
	// asker is the client for whom it is asked, whose going away ends it; nil is nobody.
	asker client
}

// Ask has a filter's Call be asked for the exchange's client.
func (d *state) Ask(c *exchange.Call) (*exchange.Reply, error) {
	q := NewQuestion(c.Cluster, c.Head, c.Target, c.Body)
	q.Client, q.Connect, q.Time, q.MaxBody, q.Keep, q.asker = d.conn.Client, c.Connect, c.Time, c.MaxBody, true, d.client
	return d.server.Ask(d.conn.Shard, q)
}

// NewQuestion asks with a head and a body, which must stay as they are until the answer
// has come.
func NewQuestion(c *upstream.Cluster, head *msg.Head, target, body []byte) *Question {
	return &Question{Cluster: c, request: outgoing{
		head: head, target: target, length: int64(len(body)), secure: c.Secure, part: part{data: body, last: true},
	}}
}

// Ask sends a request to a service and waits for its answer. A kept connection that
// turns out dead is replaced once. It may be called from any goroutine, and interrupts
// nobody.
func (s *Server) Ask(shard *engine.Shard, q *Question) (*exchange.Reply, error) {
	if q.Cluster.Closed != "" {
		return nil, errors.New(q.Cluster.Closed)
	}
	q.Cluster.Await(q.Connect)
	lease, err := q.Cluster.Reserve(upstream.Pick{})
	if err != nil {
		return nil, err
	}
	var result upstream.Result
	defer func() { lease.Done(result) }()
	dial := upstream.Dial{Shard: shard.Index, Buffers: &shard.Pool, Timeout: q.Connect, Client: q.Client}
	for ; ; dial.Fresh = true {
		if err := lease.Connect(dial); err != nil {
			result.Outcome = upstream.OutcomeOf(err)
			return nil, err
		}
		one := asking{Server: s, Question: q, limits: s.Engine.Limits.Head()}
		one.up = one.ends.backend(&lease, shard, s.Engine.Clock, &one.limits, &one.out)
		reply, err := one.run()
		result = one.result(err)
		if err == nil || one.answered || dial.Fresh || !one.reused {
			return reply, err
		}
	}
}

// asking is a Question on its way over one connection.
type asking struct {
	*Server
	*Question
	ends     ends
	limits   msg.Limits
	out      []byte
	up       backend
	reused   bool // the connection has carried another request
	answered bool // something came back
	status   int  // of the answer
	reply    exchange.Reply
}

func (a *asking) run() (*exchange.Reply, error) {
	a.reused = a.up.reused()
	if !a.questions.hold(a.up) {
		a.up.close()
		return nil, exchange.ErrStopped
	}
	err := a.watched()
	if a.questions.release(a.up); err != nil {
		a.up.close()
		return nil, err
	}
	a.up.release()
	return &a.reply, nil
}

// result is what the endpoint is to be remembered for.
func (a *asking) result(err error) upstream.Result {
	r := upstream.Result{Status: a.status}
	switch {
	case errors.Is(err, exchange.ErrClientGone), errors.Is(err, exchange.ErrStopped), errors.Is(err, exchange.ErrTooLarge):
		return upstream.Result{}
	case err != nil:
		r.Outcome = reason.UpstreamReset
	}
	return r
}

// watched is exchange, but that it ends when the client for whom it is goes away.
func (a *asking) watched() error {
	if a.asker == nil {
		return a.exchange()
	}
	if !a.asker.AbortOnHangup(a.up.Partner()) {
		a.answered = true // it is not asked again
		return exchange.ErrClientGone
	}
	err := a.exchange()
	if !a.asker.KeepOnHangup(a.up.Partner()) {
		a.answered = true
		return exchange.ErrClientGone
	}
	return err
}

// exchange sends the request and reads the answer.
func (a *asking) exchange() error {
	until := a.Engine.Clock.Now() + int64(a.Time)
	a.up.WriteBy(until)
	a.up.ReadBy(until)
	if _, err := a.up.ask(&a.request); err != nil {
		return err
	}
	head, err := a.readHead()
	if err != nil {
		return err
	}
	data, err := a.up.begin(head)
	if a.Keep {
		a.reply.Head = head.Clone()
	}
	for total := int64(0); ; {
		if err != nil {
			return err
		}
		if total += int64(len(data)); total > a.MaxBody {
			return exchange.ErrTooLarge
		}
		if a.Keep {
			a.reply.Body = append(a.reply.Body, data...)
		}
		if a.up.took(); a.up.done() {
			return nil
		}
		if a.up.wait() != nil {
			if a.up.ends() {
				return nil
			}
			return exchange.ErrNoAnswer
		}
		data, err = a.up.data()
	}
}

// readHead reads the heads of interim answers and of the final one.
func (a *asking) readHead() (*msg.Head, error) {
	for range maxInterim {
		var head msg.Head
		for {
			done, err := a.up.head(&head)
			if err != nil {
				return nil, err
			}
			if a.answered = a.answered || done; done {
				break
			}
			if a.up.wait() != nil {
				return nil, exchange.ErrNoAnswer
			}
		}
		switch {
		case head.Status >= 200:
			a.status = head.Status
			return &head, nil
		case head.Status == 101:
			return nil, errOtherProtocol
		}
		a.up.took()
	}
	return nil, exchange.ErrNoAnswer
}

// interrupter is what somebody waits at.
type interrupter interface{ Interrupt() }

// questions are those that are under way.
type questions struct {
	mu      sync.Mutex
	held    map[interrupter]struct{}
	stopped bool
}

// hold has stop end what waits at up. It returns false when that was called already.
func (q *questions) hold(up interrupter) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.stopped {
		return false
	}
	if q.held == nil {
		q.held = map[interrupter]struct{}{}
	}
	q.held[up] = struct{}{}
	return true
}

func (q *questions) release(up interrupter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.held, up)
}

func (q *questions) stop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stopped = true
	for up := range q.held {
		up.Interrupt()
	}
}
