package mux

import "windrose.dev/windrose/internal/proxy/sock"

// maxInline is how much of a body lies in the stream itself: most messages are
// smaller than a buffer is large.
const maxInline = 2 << 10

// body is what has come of a body and was not taken.
type body struct {
	inline  []byte
	buffers []*sock.Buffer
	given   int // bytes that are being looked at: of inline, or of the first buffer
	used    int // bytes of inline that were taken

	// What stays until the stream ends.
	keptInline []byte
	kept       *sock.Buffer
}

func (b *body) empty() bool { return len(b.inline) == b.used && len(b.buffers) == 0 }

// length is that of what was not taken.
func (b *body) length() int64 {
	n := len(b.inline) - b.used
	for _, buffer := range b.buffers {
		n += buffer.Len()
	}
	return int64(n)
}

// add keeps a copy of p. Its bytes follow all others.
func (b *body) add(p []byte, pool *sock.Pool) {
	if len(b.buffers) == 0 && len(b.inline)+len(p) <= maxInline {
		b.inline = append(b.inline, p...)
		return
	}
	for len(p) > 0 {
		last := len(b.buffers) - 1
		if last < 0 || len(b.buffers[last].Free()) == 0 {
			b.buffers = append(b.buffers, pool.Get())
			last++
		}
		n := copy(b.buffers[last].Free(), p)
		b.buffers[last].Wrote(n)
		p = p[n:]
	}
}

// next returns the first bytes, which stay where they are until they are
// dropped.
func (b *body) next() []byte {
	if rest := b.inline[b.used:]; len(rest) > 0 {
		b.given = len(rest)
		return rest
	}
	if len(b.buffers) == 0 {
		b.given = 0
		return nil
	}
	data := b.buffers[0].Bytes()
	b.given = len(data)
	return data
}

// drop lets go of what next has returned.
func (b *body) drop(pool *sock.Pool) (n int) {
	n, b.given = b.given, 0
	switch {
	case n == 0:
	case len(b.inline) > b.used:
		if b.used += n; b.used == len(b.inline) {
			b.inline, b.used = b.inline[:0], 0
		}
	default:
		if b.buffers[0].Advance(n); b.buffers[0].Len() == 0 {
			pool.Put(b.buffers[0])
			b.buffers[0] = nil
			b.buffers = b.buffers[1:]
		}
	}
	return n
}

// discard drops all that has come, and returns how many bytes that was.
func (b *body) discard(pool *sock.Pool) (n int) {
	for b.next(); b.given > 0; b.next() {
		n += b.drop(pool)
	}
	return n
}

// keep returns the first bytes, which then stay where they are until the end.
// There can be one such piece.
func (b *body) keep() []byte {
	if rest := b.inline[b.used:]; len(rest) > 0 {
		b.inline, b.keptInline, b.used = b.keptInline[:0], b.inline, 0
		return rest
	}
	if len(b.buffers) == 0 {
		return nil
	}
	b.kept = b.buffers[0]
	b.buffers = b.buffers[1:]
	return b.kept.Bytes()
}

func (b *body) release(pool *sock.Pool) {
	for i, buffer := range b.buffers {
		pool.Put(buffer)
		b.buffers[i] = nil
	}
	if b.kept != nil {
		pool.Put(b.kept)
	}
	inline := b.inline
	if cap(b.keptInline) > cap(inline) {
		inline = b.keptInline
	}
	*b = body{inline: inline[:0], buffers: b.buffers[:0]}
}
