package proxy

import (
	"errors"
	"os"
	"time"

	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/upstream"
	"windrose.dev/windrose/internal/proxy/wire/http1"
	"windrose.dev/windrose/internal/reason"
)

func durationOf(from, to int64) time.Duration { return time.Duration(to - from) }

// forward sends the request to a backend and its answer to the client.
func (t *transfer) forward() (again bool) {
	t.cluster = t.x.Cluster
	if limit := t.x.Route.Timeout; limit > 0 {
		t.deadline = t.proxy.clock.Now() + int64(limit)
	}
	if err := t.prepare(); err != nil {
		if t.x.FailWith(err); err != errBodyTooLarge {
			t.closeAfter() // where the next request would begin is not known
		}
		return t.answer()
	}
	t.chooseCopies()
	for t.attempts() {
		again, repeat := t.relay()
		t.leave()
		if !repeat {
			return again
		}
		t.retries++
	}
	if t.drop(); !t.pump.started && !t.body.Done() {
		t.dropCopies() // they will never be whole
	}
	return t.answer()
}

// enter and leave count the request at its endpoint.
func (t *transfer) enter() {
	t.busy = t.endpoint.Endpoint
	t.busy.Active.Add(1)
}

func (t *transfer) leave() {
	if t.busy != nil {
		t.busy.Active.Add(-1)
		t.busy = nil
	}
}

// prepare writes the request, with what has come of its body, to t.out.
func (t *transfer) prepare() error {
	h := &t.x.Req
	if !h.Has(msg.Host) {
		h.Add(msg.Host, "Host", nil)
	}
	if t.body.Kind() == http1.Chunked {
		h.Add(msg.TransferEncoding, "Transfer-Encoding", chunked)
	}
	if t.te {
		h.Add(msg.Connection, "Connection", []byte("TE"))
		h.Add(msg.TE, "TE", []byte("trailers"))
	}
	if t.upgrade != nil {
		h.Add(msg.Connection, "Connection", []byte("Upgrade"))
		h.Add(msg.Upgrade, "Upgrade", t.upgrade)
	}
	t.out = http1.AppendRequest(t.out[:0], h, t.x.ForwardTarget())
	if t.body.Done() {
		return nil
	}
	rest := t.client.In.Bytes()[t.head:]
	n, taken, err := t.body.Compact(rest)
	if err != nil {
		return err
	}
	if t.taken = taken; t.overLimit(n) {
		return errBodyTooLarge
	}
	t.out = t.appendBody(t.out, rest[:n])
	return nil
}

var chunked = []byte("chunked")

var errBodyTooLarge error = &msg.Error{Outcome: reason.BodyTooLarge, Text: "the body grew beyond the route's limit"}

// overLimit counts bytes of the request's body.
func (t *transfer) overLimit(n int) bool {
	t.in += int64(n)
	return t.x.MaxBody > 0 && t.in > t.x.MaxBody
}

// appendBody frames a piece of the request's body for the backend.
func (t *transfer) appendBody(dst, data []byte) []byte {
	if t.body.Kind() != http1.Chunked {
		return append(dst, data...)
	}
	dst = appendChunk(dst, data)
	if t.body.Done() {
		dst = http1.AppendLastChunk(dst, t.body.Trailer())
	}
	return dst
}

func appendChunk(dst, data []byte) []byte {
	if len(data) == 0 {
		return dst
	}
	dst = append(http1.AppendChunkHead(dst, len(data)), data...)
	return append(dst, '\r', '\n')
}

// attempts tries endpoints until one has begun to answer. Otherwise it leaves
// the failure in t.x.
func (t *transfer) attempts() bool {
	fresh := false
	for try := 1; ; try++ {
		t.endpoint = t.x.PickEndpoint(t.tried)
		if t.endpoint == nil {
			t.x.Fail(reason.NoEndpoint, "")
			return false
		}
		t.enter()
		verdict := t.attempt(fresh)
		if verdict == attemptOK {
			return true
		}
		t.leave()
		switch {
		case verdict == attemptByPolicy:
			fresh = false
		case t.isFree(verdict, try):
			fresh = true
		case verdict != attemptFinal && t.endAttempt():
			fresh = false
		default:
			return false
		}
		t.retries++
		t.x.Answered, t.x.Detail = false, ""
	}
}

// isFree tells whether an attempt may be repeated without a policy: nothing can
// have come of it.
func (t *transfer) isFree(verdict attemptResult, try int) bool {
	switch {
	case verdict == attemptFinal || try >= t.proxy.cfg.Limits.Attempts:
		return false
	case verdict == attemptElsewhere && len(t.tried)+1 >= len(t.cluster.Endpoints):
		return false
	case verdict == attemptElsewhere:
		t.tried = append(t.tried, t.endpoint)
	}
	return true
}

// attemptResult is how one attempt ended.
type attemptResult uint8

const (
	attemptOK        attemptResult = iota // the answer has begun
	attemptAgain                          // failed, and may be repeated
	attemptElsewhere                      // failed, and may be repeated at another endpoint
	attemptByPolicy                       // failed, and the rule's policy repeats it
	attemptFinal                          // failed for good
)

// attempt sends the request to the endpoint and waits for the first bytes of
// the answer. fresh asks for a new connection.
func (t *transfer) attempt(fresh bool) attemptResult {
	t.up = nil
	now := t.proxy.clock.Now()
	t.begin(now)
	if !fresh {
		t.up = t.endpoint.Idle(t.session.shard.index, now)
	}
	if t.up == nil {
		var err error
		if t.up, err = t.endpoint.Connect(&t.session.shard.pool, t.connectLimit(now)); err != nil {
			return t.notConnected(err)
		}
		now = t.proxy.clock.Now()
	}
	t.sentAt = now
	t.limitWrites(now)
	t.limitReads(now)
	if !t.client.AbortOnHangup(t.up.Conn) {
		t.fail(reason.ClientGone, "")
		return attemptFinal
	}
	sent, err := t.send()
	if err == nil {
		t.waited = t.proxy.clock.Now()
		return attemptOK
	}
	return t.sendFailed(sent, err)
}

func (t *transfer) notConnected(err error) attemptResult {
	outcome := reason.ConnectFailed
	if errors.Is(err, upstream.ErrTimeout) {
		outcome = reason.ConnectTimeout
	}
	if t.late(t.deadline) {
		t.x.Fail(reason.UpstreamTimeout, t.lateness(""))
		return attemptFinal
	}
	t.x.Fail(outcome, err.Error())
	return attemptElsewhere
}

// send writes the request and waits for the answer's first bytes. A body that
// is still coming goes on in the pump.
func (t *transfer) send() (sent int, err error) {
	if t.body.Done() {
		sent, _, err = t.up.SendFill(t.out)
		return sent, err
	}
	if sent, err = t.up.Write(t.out); err != nil {
		return sent, err
	}
	t.startPump()
	return sent, t.awaitAnswer()
}

// awaitAnswer reads more of the answer. While the request's body is still
// coming the read timeout is not counted: the pump has timeouts of its own.
func (t *transfer) awaitAnswer() error {
	for {
		_, err := t.up.Fill()
		if err == nil || !t.pump.running || !errors.Is(err, os.ErrDeadlineExceeded) || t.broken() || t.overdue() {
			return err
		}
		now, limit := t.proxy.clock.Now(), t.x.Route.Read
		if !t.pumpEnded() {
			t.limitReads(now)
		} else if until := t.pump.last.Load() + int64(limit); until > now {
			t.up.ReadBy(earlier(until, t.end))
		} else {
			return err
		}
		if t.broken() {
			return os.ErrDeadlineExceeded // as if interrupted: it may be, any moment
		}
	}
}

// broken tells whether the pump or the client has broken the exchange off.
func (t *transfer) broken() bool { return t.pump.stopped.Load() != 0 || t.client.Gone() }

// sendFailed tells apart why no answer came, and whether the request may be
// sent again: when nothing of it can have been acted upon, or when a
// connection that was idle turned out dead and the method is idempotent.
func (t *transfer) sendFailed(sent int, err error) attemptResult {
	outcome, detail := reason.UpstreamReset, "it closed the connection before it answered"
	pumped := t.pump.running
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		outcome, detail = reason.UpstreamTimeout, t.lateness("no answer within the read timeout")
	case !pumped && t.up.Reused && (sent == 0 || t.x.MayRepeat()):
		if t.client.KeepOnHangup(t.up.Conn) {
			t.up.Close()
			t.x.Fail(outcome, detail)
			return attemptAgain
		}
	}
	if t.blame(outcome, detail); t.endAttempt() {
		return attemptByPolicy
	}
	return attemptFinal
}

// fail ends the work at the backend with an outcome.
func (t *transfer) fail(outcome reason.Outcome, detail string) {
	t.blame(outcome, detail)
	t.drop()
}

// blame leaves a failure in t.x with an outcome, unless it was the client, or
// the pump, that broke the exchange off: then with theirs.
func (t *transfer) blame(outcome reason.Outcome, detail string) {
	switch stopped := t.pump.stopped.Load(); {
	case stopped != 0:
		outcome, detail = reason.Outcome(stopped-1), t.pump.detail
	case t.client.Gone():
		outcome, detail = reason.ClientGone, ""
	}
	t.x.Fail(outcome, detail)
}

// drop closes the connection to the backend and ends the pump.
func (t *transfer) drop() {
	if t.up == nil {
		return
	}
	t.client.KeepOnHangup(t.up.Conn)
	if !t.pumpEnded() && t.pump.running {
		t.up.Net().Close() // ends its writes
		t.stopPump()
	}
	t.up.Close()
	t.up = nil
}

// fill reads more of the answer.
func (t *transfer) fill() error {
	if t.up.In != nil && !t.up.In.MakeRoom(2*t.limits.HeadBytes) {
		return msg.ErrHeadTooLong
	}
	if t.limitReads(t.proxy.clock.Now()); t.broken() {
		return os.ErrDeadlineExceeded // as if interrupted: it may be, any moment
	}
	return t.awaitAnswer()
}

// release gives the connection to the backend back, or closes it.
func (t *transfer) release(reusable bool) {
	kept := t.client.KeepOnHangup(t.up.Conn)
	if t.up.In != nil && t.up.In.Len() == 0 {
		t.up.ReleaseIn()
	}
	if kept && reusable && t.pumpEnded() && !t.pump.failed {
		t.endpoint.Release(t.up, t.session.shard.index, t.proxy.clock.Now())
		t.up = nil
		return
	}
	t.drop()
}

// startPump begins to move the rest of the request's body. The head stays
// where it is, in a buffer of its own.
func (t *transfer) startPump() {
	t.pinned, t.client.In = t.client.In, nil
	t.pump.started, t.pump.running = true, true
	t.startRecord()
	t.proxy.serving.Go(t.runPump)
}

// startRecord has the pump keep what it sends, where somebody may need it.
func (t *transfer) startRecord() {
	limits, most := &t.proxy.cfg.Limits, 0
	if t.x.Route.Retry != nil {
		most = limits.RetryBytes
	}
	if len(t.copies) > 0 {
		most = max(most, limits.MirrorBytes)
	}
	if most > 0 && t.x.BodyLength <= int64(most) {
		t.pump.most = most
		t.pump.keeps.Store(true)
		t.pump.record = append(t.pump.record[:0], t.out...)
		return
	}
	t.dropCopies()
	t.copies = t.copies[:0]
}

// keep adds to the record, unless that grows too large.
func (p *pump) keep(data []byte) {
	switch {
	case !p.keeps.Load():
		p.record = nil
	case len(p.record)+len(data) > p.most:
		p.keeps.Store(false)
	default:
		p.record = append(p.record, data...)
	}
}

// stopPump waits until the pump has ended; its writes must be failing. Unless
// it had read the whole request, the client's connection cannot be read from
// any more.
func (t *transfer) stopPump() {
	taken := t.pump.taken.Load()
	if !taken {
		t.pump.told.Store(true)
		t.client.Interrupt()
		t.closeAfter()
	}
	<-t.pump.done
	t.pump.running = false
}

// closeAfter has the client's connection end after this exchange, while the
// client may still be sending.
func (t *transfer) closeAfter() { t.keepAlive, t.session.linger = false, true }

// pumpTook marks bytes as used, whether they can be written or not: what
// follows is the next request. After the last ones the client's connection is
// no longer the pump's.
func (t *transfer) pumpTook(n int) {
	if t.client.In.Advance(n); t.client.In.Len() == 0 {
		t.client.ReleaseIn()
	}
	if t.body.Done() {
		t.pump.taken.Store(true)
	}
}

// requestTaken tells whether the whole request was read, so that the client's
// connection is ready for the next.
func (t *transfer) requestTaken() bool {
	if t.pump.running {
		return t.pump.taken.Load()
	}
	return t.body.Done()
}

// pumpEnded tells, without waiting, whether the whole body was moved.
func (t *transfer) pumpEnded() bool {
	if !t.pump.running {
		return t.body.Done()
	}
	select {
	case <-t.pump.done:
		t.pump.running = false
		return t.body.Done()
	default:
		return false
	}
}

func (t *transfer) runPump() {
	defer func() {
		if broken := recover(); broken != nil {
			reportDefect(broken)
			t.stopFor(reason.InternalError, "")
		}
		t.pump.last.Store(t.proxy.clock.Now())
		t.pump.done <- struct{}{}
	}()
	for !t.body.Done() {
		outcome, detail, ok := t.pumpOnce()
		if !ok {
			t.pump.failed = true
			t.stopFor(outcome, detail)
			t.dropCopies()
			return
		}
	}
	if t.pump.failed = t.pump.deaf; t.pump.keeps.Load() {
		t.sendCopies(t.pump.record)
	} else if t.pump.most > 0 {
		t.dropCopies()
	}
}

// stopFor ends the exchange from within the pump. When it was the backend that
// broke off, its answer is still read: it may say why.
func (t *transfer) stopFor(outcome reason.Outcome, detail string) {
	if outcome == reason.UpstreamReset {
		return
	}
	t.pump.detail = detail
	t.pump.stopped.Store(int32(outcome) + 1)
	t.up.Interrupt()
}

// pumpOnce moves what one read brings. On failure it says why.
func (t *transfer) pumpOnce() (outcome reason.Outcome, detail string, ok bool) {
	t.limitBody(t.proxy.clock.Now())
	if t.pump.told.Load() {
		return reason.UpstreamReset, "", false // the interrupt may just have been undone
	}
	if _, err := t.client.Fill(); err != nil {
		switch {
		case t.pump.told.Load():
			return reason.UpstreamReset, "", false
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return reason.ClientGone, "", false
		case t.late(t.deadline):
			return reason.UpstreamTimeout, t.lateness(""), false
		}
		return reason.ClientTimeout, "the request's body stopped coming", false
	}
	in := t.client.In
	n, taken, err := t.body.Compact(in.Bytes())
	if err != nil {
		return reason.BadRequest, err.Error(), false
	}
	if t.overLimit(n) {
		return reason.BodyTooLarge, errBodyTooLarge.Error(), false
	}
	data, last := in.Bytes()[:n], t.body.Done()
	if last || t.body.Kind() == http1.Chunked {
		t.pump.out = t.appendBody(t.pump.out[:0], data)
		data = t.pump.out
	}
	if last {
		t.pumpTook(taken)
	}
	t.pump.keep(data)
	if !t.pump.deaf {
		t.limitWrites(t.proxy.clock.Now())
		_, err = t.up.Write(data)
	}
	if !last {
		t.pumpTook(taken)
	}
	timedOut := errors.Is(err, os.ErrDeadlineExceeded)
	t.pump.deaf = t.pump.deaf || err != nil && (!timedOut || t.overdue())
	switch {
	case t.pump.deaf && t.pump.keeps.Load():
		return 0, "", true // whoever broke off notices; there may be another attempt
	case timedOut && t.overdue():
		return reason.UpstreamTimeout, t.lateness(""), false
	case timedOut:
		return reason.UpstreamTimeout, "it did not take the request within the send timeout", false
	case t.pump.deaf:
		return reason.UpstreamReset, "it stopped reading the request", false
	}
	return 0, "", true
}
