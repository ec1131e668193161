package sock

import (
	"sync"
	"sync/atomic"
)

// BufferSize is the size of a new buffer of the pool, in bytes.
const BufferSize = 16 << 10

// Buffer holds bytes that were read and not yet used.
type Buffer struct {
	data []byte
	r, w int
	pool *Pool
}

// Bytes returns the bytes that were read and not yet used.
func (b *Buffer) Bytes() []byte { return b.data[b.r:b.w] }

// Len returns the number of bytes that were read and not yet used.
func (b *Buffer) Len() int { return b.w - b.r }

// Advance marks n bytes as used.
func (b *Buffer) Advance(n int) {
	if b.r += n; b.r == b.w {
		b.r, b.w = 0, 0
	}
}

// Truncate keeps only the first n unused bytes.
func (b *Buffer) Truncate(n int) { b.w = b.r + n }

// Free returns the free space behind the bytes that were read.
func (b *Buffer) Free() []byte { return b.data[b.w:] }

// Wrote marks n bytes of Free as read.
func (b *Buffer) Wrote(n int) { b.w += n }

// MakeRoom moves the unused bytes to the front, and grows the buffer if it is full, up
// to limit bytes. It reports whether there is free space now. It invalidates views into
// the buffer.
func (b *Buffer) MakeRoom(limit int) bool {
	if b.w < len(b.data) {
		return true
	}
	if b.r > 0 {
		b.w = copy(b.data, b.data[b.r:b.w])
		b.r = 0
		return true
	}
	if len(b.data) >= limit {
		return false
	}
	grown := make([]byte, min(2*len(b.data), limit))
	b.pool.out.Add(int64(len(grown) - len(b.data)))
	b.w = copy(grown, b.data[:b.w])
	b.data = grown
	return true
}

// Pool hands out buffers and counts the bytes that are in use.
type Pool struct {
	free sync.Pool
	out  atomic.Int64
}

// Get returns an empty buffer.
func (p *Pool) Get() *Buffer {
	p.out.Add(BufferSize)
	if b, ok := p.free.Get().(*Buffer); ok {
		return b
	}
	return &Buffer{data: make([]byte, BufferSize), pool: p}
}

// Put returns a buffer to the pool. The caller must not have a view into it any more.
func (p *Pool) Put(b *Buffer) {
	p.out.Add(-int64(len(b.data)))
	poison(b.data)
	if len(b.data) == BufferSize {
		b.r, b.w = 0, 0
		p.free.Put(b)
	}
}

// Charge adds n bytes, allocated elsewhere, to the count; n below 0 removes them.
func (p *Pool) Charge(n int64) { p.out.Add(n) }

// Out returns the number of bytes in use.
func (p *Pool) Out() int64 { return p.out.Load() }
