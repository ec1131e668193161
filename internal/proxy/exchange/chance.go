package exchange

import (
	"math/bits"
	"math/rand/v2"
	"time"
)

// chance is where decisions take their random numbers and their time from: whoever
// gives them can have the same decided again.
type chance struct {
	draw func() uint64
	now  func() time.Time
}

// chance is the Compiler's, with what it leaves open filled in.
func (c *Compiler) chance() chance {
	out := chance{c.Draw, c.Now}
	if out.draw == nil {
		out.draw = rand.Uint64
	}
	if out.now == nil {
		out.now = time.Now
	}
	return out
}

// below draws a number below n.
func (c chance) below(n uint32) uint32 {
	high, _ := bits.Mul64(c.draw(), uint64(n))
	return uint32(high)
}

// unix is the time in Unix seconds.
func (c chance) unix() uint32 { return uint32(c.now().Unix()) }
