package compress

import (
	"io"
	"math"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// encoder is what the encoders of all codings have in common.
type encoder interface {
	io.WriteCloser
	Flush() error
	Reset(io.Writer)
}

// coding is one content coding.
type coding struct {
	name string
	// cost is about what an encoder takes, in bytes, its window among it.
	cost  int64
	start func() (encoder, error)
}

// The levels are nginx's (gzip_comp_level 1) and ingress-nginx's (brotli-level
// 4), and the fastest of Zstandard. The windows are bounded so that an encoder
// is: 32 KiB, which is gzip's own; 256 KiB; 128 KiB. What the bodies of the web
// lose by that is below 1 %.
var codings = [...]coding{
	{"gzip", 850 << 10, func() (encoder, error) { return gzip.NewWriterLevel(nil, gzip.BestSpeed) }},
	{"br", 2500 << 10, func() (encoder, error) {
		return brotli.NewWriterOptions(nil, brotli.WriterOptions{Quality: 4, LGWin: 18}), nil
	}},
	{"zstd", 1000 << 10, func() (encoder, error) {
		return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(128<<10),
			zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
	}},
}

// maxBusy bounds the memory of encoders at work, in bytes, however much the
// process may have. Clients that read slowly hold theirs for long: without a
// bound a thousand of them would take 2 GB.
const maxBusy = 256 << 20

// encoders are those of one table of filters. What is idle the garbage collector
// may take.
type encoders struct {
	idle [len(codings)]sync.Pool
	busy atomic.Int64 // bytes
	most int64
}

func newEncoders() *encoders {
	e := &encoders{most: maxBusy}
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		e.most = min(e.most, limit/8)
	}
	return e
}

// take hands out an encoder, or nil when too many are at work.
func (e *encoders) take(coding int) *recoder {
	if cost := codings[coding].cost; e.busy.Add(cost) > e.most {
		e.busy.Add(-cost)
		return nil
	}
	r, ok := e.idle[coding].Get().(*recoder)
	if !ok {
		r = &recoder{coding: coding, home: e}
		var err error
		if r.encoder, err = codings[coding].start(); err != nil {
			panic(err) // the options are constants
		}
	}
	r.encoder.Reset(&r.out)
	return r
}

// recoder compresses one body. It is an exchange.Recoder.
type recoder struct {
	encoder encoder
	out     appender
	coding  int
	home    *encoders
}

// appender is where an encoder writes to.
type appender struct{ to []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.to = append(a.to, p...)
	return len(p), nil
}

// Recode flushes each piece, so that a slow body is not held back. A fast one
// comes in pieces of 16 KiB, the read buffer's: of these a flush costs 1 to 2 % of
// the ratio.
func (r *recoder) Recode(dst, data []byte, last bool, _ []byte) ([]byte, error) {
	r.out.to = dst
	_, err := r.encoder.Write(data)
	switch {
	case err != nil:
	case last:
		err = r.encoder.Close()
	case len(data) > 0:
		err = r.encoder.Flush()
	}
	dst, r.out.to = r.out.to, nil
	return dst, err
}

func (r *recoder) TakesTrailer() bool { return false }

func (r *recoder) Close() {
	r.home.busy.Add(-codings[r.coding].cost)
	r.home.idle[r.coding].Put(r)
}
