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

// encoder is the interface of the encoders of all codings.
type encoder interface {
	io.WriteCloser
	Flush() error
	Reset(io.Writer)
}

// coding is one content coding.
type coding struct {
	name string
	// cost is approximately the memory of an encoder, with its window, in bytes.
	cost  int64
	start func() (encoder, error)
}

// The levels are those of nginx (gzip_comp_level 1) and ingress-nginx (brotli-level 4),
// and the fastest of Zstandard. The windows are limited so that the memory of an
// encoder is: 32 KiB, the window of gzip itself; 256 KiB; 128 KiB. Typical web
// responses grow by less than 1 % through that.
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

// maxBusy bounds the memory of the encoders in use, in bytes, whatever memory the
// process may use. Clients that read slowly hold their encoder for a long time: without
// a bound, a thousand of them would take 2 GB.
const maxBusy = 256 << 20

// encoders are the encoders of one table of filters. The garbage collector may free
// idle ones.
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

// take returns an encoder, or nil if the encoders in use have reached maxBusy.
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

// appender is the io.Writer that an encoder writes to.
type appender struct{ to []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.to = append(a.to, p...)
	return len(p), nil
}

// Recode flushes each piece, so that a slow body is not delayed. A fast body comes in
// pieces of 16 KiB, the size of the read buffer: flushing these costs 1 to 2 % of the
// compression ratio.
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
