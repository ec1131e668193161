package mux

import "windrose.dev/windrose/internal/proxy/sock"

// maxInline is how many bytes of a body are stored in the stream itself, in bytes: most
// messages are smaller than a pooled buffer.
const maxInline = 2 << 10

// body holds the bytes of a body that were received and not yet consumed.
type body struct {
	inline  []byte
	buffers []*sock.Buffer
	given   int // bytes returned by next: of inline, or of the first buffer
	used    int // bytes of inline that were consumed

	// Memory that next has returned and that stays valid until the stream ends.
	keptInline []byte
	kept       *sock.Buffer
}

func (b *body) empty() bool { return len(b.inline) == b.used && len(b.buffers) == 0 }

// length returns the number of bytes that were received and not yet consumed.
func (b *body) length() int64 {
	n := len(b.inline) - b.used
	for _, buffer := range b.buffers {
		n += buffer.Len()
	}
	return int64(n)
}

// add appends a copy of p.
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

// next returns the first bytes. They stay valid until drop.
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

// drop consumes the bytes that next has returned, and returns their number.
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

// discard drops everything that was received, and returns the number of bytes.
func (b *body) discard(pool *sock.Pool) (n int) {
	for b.next(); b.given > 0; b.next() {
		n += b.drop(pool)
	}
	return n
}

// keep returns the first bytes, which then stay valid until the stream ends. Only one
// piece can be kept.
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
