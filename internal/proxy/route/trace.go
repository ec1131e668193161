package route

import (
	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/policy"
)

// Trace records how the rule for a request was found, or why there is none.
type Trace struct {
	Listener model.ListenerID
	// Open reports whether the listener serves anything.
	Open bool
	// Hosts are the hosts that were tried, in order.
	Hosts []HostTrace
}

// HostTrace records how one virtual host was tried.
type HostTrace struct {
	Name   string
	Blocks []BlockTrace
	// Fallback reports whether a miss continues with the next host.
	Fallback bool
}

// BlockTrace records how the rules of one dialect were tried.
type BlockTrace struct {
	Dialect string
	// Path is the path in the form in which it was compared.
	Path string
	// Rule is the id of the rule that was chosen, or empty.
	Rule string
	// Misses are the other rules, in the order of the model.
	Misses []Miss
}

// Condition is the condition that a rule failed: the name of a test, or one of those
// below.
type Condition string

const (
	// ByPath: the path does not match.
	ByPath Condition = "path"
	// ByOrder: the rule matches, but another rule comes first.
	ByOrder Condition = "order"
)

// Miss is a rule that was not chosen, and the first condition that it failed.
type Miss struct {
	Rule      string
	Condition Condition
	// Expected is the condition in the text form, or, with ByOrder, the rule that comes
	// first. Got is what the request has, or empty.
	Expected, Got string
}

func (t *Trace) begin(h *model.Host) {
	t.Hosts = append(t.Hosts, HostTrace{Name: h.Name, Fallback: h.Fallback})
}

// block records a block that was tried, and the index of the rule that it chose, or -1.
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

// missOf finds the first condition that a rule fails. It compiles what it needs again:
// speed does not matter here.
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
