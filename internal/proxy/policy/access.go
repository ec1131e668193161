package policy

import (
	"fmt"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
)

// Verdict says whether a connection or request is allowed. The zero Verdict allows it.
type Verdict struct {
	// Outcome is reason.OK if it is allowed.
	Outcome reason.Outcome
	// Policy is the id of the permission that allowed or denied it. If it is denied
	// because no allow permission holds, Policy is the id of the first of these. It is
	// empty if no permission decided.
	Policy string
	// Detail is an explanation. It contains nothing of the message.
	Detail string
}

// Allowed reports whether the connection or request is allowed.
func (v Verdict) Allowed() bool { return v.Outcome == reason.OK }

// Access is a compiled model.Access. It is read-only; nil allows everything.
type Access struct {
	deny, allow []permission
}

type permission struct {
	id string
	Condition
}

// NewAccess compiles an Access; nil stays nil. If a permission has a test that this
// engine cannot evaluate, it denies whatever it might deny, and allows only what it
// allows for any result of the test. unknown returns the ids of these permissions.
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

// Asks returns whether a request is allowed.
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

// Opens returns whether a connection may be opened.
func (a *Access) Opens(in *Inbound) Verdict {
	if a == nil {
		return Verdict{}
	}
	return a.Asks(&Request{From: in})
}

// Listener is what a listener asks of its clients in one Generation.
type Listener struct {
	// TLS reports whether clients must use TLS. Asked is what the handshake asks for (a
	// client certificate), as text; empty means nothing.
	TLS   bool
	Asked string
	// Access restricts who may open a connection.
	Access *Access
}

// Admit returns whether a client may connect, or, if it is connected, may stay. It must
// reconnect if it uses plain text and TLS is required now, or if its handshake asked
// for something else than a handshake would ask for now. l may be nil: a listener that
// was removed asks for nothing, but a client that was asked for a certificate must not
// stay.
func (l *Listener) Admit(in *Inbound) Verdict {
	if l == nil {
		l = &Listener{}
	}
	if l.TLS && !in.TLS || in.Asked != l.Asked {
		return Verdict{Outcome: reason.Drained, Detail: "the listener asks for something else of its clients now"}
	}
	return l.Access.Opens(in)
}
