package sock

import (
	"sync"
	"sync/atomic"
)

// BufferSize is the size of a buffer as the pool hands it out, in bytes.
const BufferSize = 16 << 10

// Buffer holds bytes that were read and not yet used.
type Buffer struct {
	data []byte
	r, w int
	pool *Pool
}

// Bytes are the bytes that were read and not yet used.
func (b *Buffer) Bytes() []byte { return b.data[b.r:b.w] }

// Len is the number of bytes that were read and not yet used.
func (b *Buffer) Len() int { return b.w - b.r }

// Advance marks n bytes as used.
func (b *Buffer) Advance(n int) {
	if b.r += n; b.r == b.w {
		b.r, b.w = 0, 0
	}
}

// Truncate keeps the first n unused bytes only.
func (b *Buffer) Truncate(n int) { b.w = b.r + n }

// Free is the room behind the bytes that were read.
func (b *Buffer) Free() []byte { return b.data[b.w:] }

// Wrote marks n bytes of Free as read.
func (b *Buffer) Wrote(n int) { b.w += n }

// MakeRoom moves the unused bytes to the front, and grows the buffer when it
// is full, up to limit bytes. It returns whether there is room now. Views into
// the buffer are no longer valid.
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

// Pool hands out buffers and keeps account of the bytes that are out.
type Pool struct {
	free sync.Pool
	out  atomic.Int64
}

// Get takes a buffer, empty.
func (p *Pool) Get() *Buffer {
	p.out.Add(BufferSize)
	if b, ok := p.free.Get().(*Buffer); ok {
		return b
	}
	return &Buffer{data: make([]byte, BufferSize), pool: p}
}

// Put gives a buffer back. The caller must have no view into it any more.
func (p *Pool) Put(b *Buffer) {
	p.out.Add(-int64(len(b.data)))
	poison(b.data)
	if len(b.data) == BufferSize {
		b.r, b.w = 0, 0
		p.free.Put(b)
	}
}

// Charge accounts for bytes that were taken elsewhere, or, below 0, given back.
func (p *Pool) Charge(n int64) { p.out.Add(n) }

// Out is how many bytes the buffers have that are out.
func (p *Pool) Out() int64 { return p.out.Load() }
