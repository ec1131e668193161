package model

import (
	"errors"
	"strings"
)

// Access says who may come in: who opens a connection, or asks a request. Nil lets
// everybody.
type Access struct {
	// Deny turns away those of whom any holds; it comes before Allow.
	Deny []Permission `cbor:"1,keyasint,omitempty" json:"deny,omitempty"`
	// Allow lets in those alone of whom any holds. Empty lets in all that Deny leaves.
	Allow []Permission `cbor:"2,keyasint,omitempty" json:"allow,omitempty"`
}

// Permission is one line of an Access.
type Permission struct {
	// ID is that of the rule of a policy, as Rule.ID, and has an Origin as that has.
	ID string `cbor:"1,keyasint" json:"id"`
	// When is whom it is about; nil is everybody.
	When *Predicate `cbor:"2,keyasint,omitempty" json:"when,omitempty"`
}

// Authorize answers 403 to requests that an Access does not let in.
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

// Kind is the row of the filter's kind.
func (*Authorize) Kind() *FilterKind { return authorizeKind }

// words is the text form: deny=ID|CONDITION and allow=ID|CONDITION.
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

// option reads a word of words.
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

// accessOption is option for an Access that may not be there yet.
func accessOption(key string, a **Access, value string) error {
	if *a == nil {
		*a = &Access{}
	}
	return (*a).option(key, value)
}

// MaxPermissions bounds the lines of one Access, and so what a connection can cost.
const MaxPermissions = 4096

// access checks an Access. One that is about connections must not look at requests:
// none is there yet.
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

// Validate tells what is wrong with an Access. connection says that it is about
// connections.
func (a *Access) Validate(connection bool) error {
	var v validator
	v.access("access", a, connection)
	return errors.Join(v.errs...)
}
