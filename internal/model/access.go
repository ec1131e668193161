package model

import (
	"errors"
	"strings"
)

// Access is an allow and a deny list of clients: it says who may open a connection, or
// send a request. A nil Access allows everybody.
type Access struct {
	// Deny refuses clients for whom any Permission holds. It is checked before Allow.
	Deny []Permission `cbor:"1,keyasint,omitempty" json:"deny,omitempty"`
	// Allow accepts only clients for whom any Permission holds. An empty Allow accepts
	// all that Deny does not refuse.
	Allow []Permission `cbor:"2,keyasint,omitempty" json:"allow,omitempty"`
}

// Permission is one entry of an Access.
type Permission struct {
	// ID is the ID of a policy's rule. Like a Rule.ID, it has an Origin.
	ID string `cbor:"1,keyasint" json:"id"`
	// When is the condition under which the entry applies; nil applies to everybody.
	When *Predicate `cbor:"2,keyasint,omitempty" json:"when,omitempty"`
}

// Authorize responds 403 to requests that its Access does not allow.
type Authorize struct {
	Access Access `cbor:"1,keyasint" json:"access"`
}

var authorizeKind = kindOf(
	FilterKind{
		Name: "authorize", Key: 9, Level: accessLevel, InBackends: true, starts: "authorize",
		level: func(f Filter) int { return f.(*Authorize).Access.level() },
	},
	func(a *Authorize) []string { return append([]string{"authorize"}, a.Access.words()...) },
	func(v *validator, id string, a *Authorize) { v.access("rule "+id, &a.Access, false) },
	map[string]func(*Authorize, string) error{
		"authorize": func(*Authorize, string) error { return nil },
		"deny":      func(a *Authorize, v string) error { return a.Access.option("deny", v) },
		"allow":     func(a *Authorize, v string) error { return a.Access.option("allow", v) },
	},
)

// Kind returns the row of FilterKinds for this type.
func (*Authorize) Kind() *FilterKind { return authorizeKind }

// words returns the text form: deny=ID|CONDITION and allow=ID|CONDITION.
func (a *Access) words() (words []string) {
	if a == nil {
		return nil
	}
	for _, list := range []struct {
		key string
		all []Permission
	}{{"deny=", a.Deny}, {"allow=", a.Allow}} {
		for _, p := range list.all {
			word := list.key + p.ID
			if p.When != nil {
				word += "|" + p.When.String()
			}
			words = append(words, word)
		}
	}
	return words
}

// option reads one word of the text form, as words writes it.
func (a *Access) option(key, value string) (err error) {
	id, when, has := strings.Cut(value, "|")
	p := Permission{ID: id}
	if has {
		p.When, err = parsePredicate(when)
	}
	switch key {
	case "deny":
		a.Deny = append(a.Deny, p)
	case "allow":
		a.Allow = append(a.Allow, p)
	}
	return err
}

// accessOption is option for an Access that may still be nil.
func accessOption(key string, a **Access, value string) error {
	if *a == nil {
		*a = &Access{}
	}
	return (*a).option(key, value)
}

// MaxPermissions bounds the entries of one Access, and so the cost of a check.
const MaxPermissions = 4096

// access checks an Access. An Access for connections must not test a request: it is
// evaluated before one has been read.
func (v *validator) access(what string, a *Access, connection bool) {
	if a == nil {
		return
	}
	v.check(len(a.Deny)+len(a.Allow) <= MaxPermissions, "%s: more than %d permissions", what, MaxPermissions)
	for _, list := range [][]Permission{a.Deny, a.Allow} {
		for i := range list {
			p := &list[i]
			v.name(what+": permission", p.ID)
			v.check(!strings.ContainsAny(p.ID, "|"), "%s: permission %q has a |", what, p.ID)
			if p.When == nil {
				continue
			}
			before := len(v.errs)
			v.predicate(what+": permission "+p.ID, p.When)
			if len(v.errs) == before {
				v.check(!connection || p.When.ByConnection(), "%s: permission %s looks at requests", what, p.ID)
			}
		}
	}
}

// Validate returns what is wrong with an Access. connection says that the Access applies
// to connections, where no request can be tested.
func (a *Access) Validate(connection bool) error {
	var v validator
	v.access("access", a, connection)
	return errors.Join(v.errs...)
}
