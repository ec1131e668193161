package policy

import (
	"fmt"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
)

// Verdict says whether something may be. The zero Verdict lets it.
type Verdict struct {
	// Outcome is reason.OK where it may.
	Outcome reason.Outcome
	// Policy is the id of the permission that allowed or denied; where none of those
	// that allow held, of the first of them. Empty is that none decided.
	Policy string
	// Detail says more, and holds nothing of the message.
	Detail string
}

// Allowed reports whether it may.
func (v Verdict) Allowed() bool { return v.Outcome == reason.OK }

// Access is a compiled model.Access. It is read-only; nil lets everybody.
type Access struct {
	deny, allow []permission
}

type permission struct {
	id string
	Condition
}

// NewAccess compiles an Access; nil stays nil. A permission that looks at what this
// engine cannot tell denies wherever it might, and allows only where it must; unknown
// are the ids of such.
func NewAccess(a *model.Access) (out *Access, unknown []string, err error) {
	if a == nil {
		return nil, nil, nil
	}
	out = &Access{}
	for _, list := range []struct {
		all   []model.Permission
		bound func(*model.Predicate, func(*model.Predicate) bool) *model.Predicate
		to    *[]permission
	}{{a.Deny, (*model.Predicate).Widest, &out.deny}, {a.Allow, (*model.Predicate).Narrowest, &out.allow}} {
		for _, p := range list.all {
			when := list.bound(p.When, Known)
			if when != p.When {
				unknown = append(unknown, p.ID)
			}
			compiled, err := Compile(when)
			if err != nil {
				return nil, nil, fmt.Errorf("permission %s: %w", p.ID, err)
			}
			*list.to = append(*list.to, permission{p.ID, compiled})
		}
	}
	return out, unknown, nil
}

// Asks says whether a request may be asked.
func (a *Access) Asks(r *Request) Verdict {
	if a == nil {
		return Verdict{}
	}
	for i := range a.deny {
		if a.deny[i].Holds(r) {
			return Verdict{reason.Denied, a.deny[i].id, "it is denied by " + a.deny[i].id}
		}
	}
	for i := range a.allow {
		if a.allow[i].Holds(r) {
			return Verdict{Policy: a.allow[i].id}
		}
	}
	if len(a.allow) == 0 {
		return Verdict{}
	}
	return Verdict{reason.Denied, a.allow[0].id, "nothing allows it"}
}

// Opens says whether a connection may be opened.
func (a *Access) Opens(in *Inbound) Verdict {
	if a == nil {
		return Verdict{}
	}
	return a.Asks(&Request{From: in})
}

// Listener is what one listener asks of its clients in one Generation.
type Listener struct {
	// TLS reports whether they must speak it, and Asked what they are asked for in the
	// handshake, as text; empty is nothing.
	TLS   bool
	Asked string
	// Access says who may open a connection.
	Access *Access
}

// Admit says whether a client is let in that came as in says, whether it is new or was
// let in before. One that came in plain text where TLS is spoken, or that was asked for
// something else than is asked now, has to come anew. l may be nil: a listener that is
// gone asks for nothing, but who showed a certificate to it does not stay.
func (l *Listener) Admit(in *Inbound) Verdict {
	if l == nil {
		l = &Listener{}
	}
	if l.TLS && !in.TLS || in.Asked != l.Asked {
		return Verdict{Outcome: reason.Drained, Detail: "the listener asks for something else of its clients now"}
	}
	return l.Access.Opens(in)
}
