package compress

import (
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
)

// The memory of the encoders in use is bounded, and a response is sent uncompressed if
// no encoder is free.
func TestEncodersAreBounded(t *testing.T) {
	brotli := newOffer("br")[0]
	e := &encoders{most: 2 * codings[brotli].cost}
	first, second := e.take(brotli), e.take(brotli)
	if first == nil || second == nil || e.take(brotli) != nil {
		t.Fatal("not two encoders at a time")
	}
	first.Close()
	if third := e.take(brotli); third == nil {
		t.Error("what was given back cannot be taken")
	} else {
		third.Close()
	}
	if second.Close(); e.busy.Load() != 0 {
		t.Errorf("%d bytes are at work", e.busy.Load())
	}
}

// An encoder holds at most the memory that its row states. The garbage collector may
// free what it allocates besides, and the race detector adds to that: pools then drop a
// part of what they get.
func TestEncoderCosts(t *testing.T) {
	body := make([]byte, 16<<10)
	random := rand.NewChaCha8([32]byte{})
	out := make([]byte, 0, 2*len(body))
	for i, coding := range codings {
		e := &encoders{most: maxBusy}
		before := heapInUse()
		r := e.take(i)
		for range 64 {
			random.Read(body)
			for k := range body {
				body[k] = 'a' + body[k]%4
			}
			if _, err := r.Recode(out, body, false, nil); err != nil {
				t.Fatal(err)
			}
		}
		taken := heapInUse() - before
		runtime.KeepAlive(r)
		t.Logf("%s: %d kB of %d", coding.name, taken>>10, coding.cost>>10)
		if taken > coding.cost {
			t.Errorf("%s: %d bytes, its row says %d", coding.name, taken, coding.cost)
		}
	}
}

// heapInUse returns the reachable memory, in bytes. Pools keep idle objects for one
// collection.
func heapInUse() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// BenchmarkRecode measures 16 KiB of a body that differs each time.
func BenchmarkRecode(b *testing.B) {
	e := newEncoders()
	for i, coding := range codings {
		b.Run(coding.name, func(b *testing.B) {
			body := []byte(strings.Repeat(`{"name":"wind rose","direction":"every","strength":12},`, 298))
			var out []byte
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for range b.N {
				r := e.take(i)
				var err error
				if out, err = r.Recode(out[:0], body, true, nil); err != nil {
					b.Fatal(err)
				}
				r.Close()
			}
		})
	}
}

// BenchmarkAccept measures what a rule that compresses costs for a client without
// Accept-Encoding, and for one that sends what a browser does.
func BenchmarkAccept(b *testing.B) {
	offered := newOffer("zstd", "br", "gzip")
	for name, accept := range map[string]string{"none": "", "browser": "gzip, deflate, br, zstd"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				w := parseAccept([]byte(accept))
				w.choose(offered)
			}
		})
	}
}
