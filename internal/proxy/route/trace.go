package route

import (
	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/policy"
)

// Trace says how the rule for a request was found, or why none was.
type Trace struct {
	Listener model.ListenerID
	// Open reports whether anything is served on the listener.
	Open bool
	// Hosts are those that were asked, in that order.
	Hosts []HostTrace
}

// HostTrace is what one virtual host had to say.
type HostTrace struct {
	Name   string
	Blocks []BlockTrace
	// Fallback tells that a miss goes on to the next host.
	Fallback bool
}

// BlockTrace is what the rules of one dialect had to say.
type BlockTrace struct {
	Dialect string
	// Path is the path as it was compared.
	Path string
	// Rule is the id of the rule that takes the request, or empty.
	Rule string
	// Misses are the other rules, in the order of the model.
	Misses []Miss
}

// Condition is what a rule failed by: the word of a test, or one of those below.
type Condition string

const (
	// ByPath: the path is another.
	ByPath Condition = "path"
	// ByOrder: it matches, but another rule comes first.
	ByOrder Condition = "order"
)

// Miss is a rule that did not take the request, and the first condition that
// it failed by.
type Miss struct {
	Rule      string
	Condition Condition
	// Expected is the condition, as the text form writes it; ByOrder it is the
	// rule that came first. Got is what the request has, or empty.
	Expected, Got string
}

func (t *Trace) begin(h *model.Host) {
	t.Hosts = append(t.Hosts, HostTrace{Name: h.Name, Fallback: h.Fallback})
}

// block records a block that was asked, and which of its rules it chose; -1 is
// none.
func (t *Trace) block(b *model.Block, path []byte, r *policy.Request, index int) {
	chosen := ""
	if index >= 0 {
		chosen = b.Rules[index].ID
	}
	host := &t.Hosts[len(t.Hosts)-1]
	out := BlockTrace{Dialect: b.Dialect, Path: string(path), Rule: chosen}
	for i := range b.Rules {
		if rule := &b.Rules[i]; rule.ID != chosen {
			out.Misses = append(out.Misses, missOf(rule, path, r, chosen))
		}
	}
	host.Blocks = append(host.Blocks, out)
}

// missOf finds the first condition that a rule fails by. It compiles anew what
// it needs: nobody is in a hurry.
func missOf(rule *model.Rule, path []byte, r *policy.Request, chosen string) Miss {
	miss := Miss{Rule: rule.ID, Condition: ByOrder, Expected: chosen}
	if match, err := matcher(rule.Path); err != nil || !match(path) {
		kind, _ := rule.Path.Kind.MarshalText()
		miss.Condition, miss.Expected, miss.Got = ByPath, string(kind)+":"+rule.Path.Value, string(path)
		return miss
	}
	if failed := policy.Failing(rule.When, r); failed != nil {
		test, got := policy.Got(failed, r)
		miss.Condition, miss.Expected, miss.Got = Condition(test.String()), failed.String(), got
	}
	return miss
}
