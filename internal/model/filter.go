package model

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/fxamacker/cbor/v2"
)

// Filter is a step that a rule adds to its exchanges: *TLSRedirect, *BodyLimit, *CORS,
// *Edit, *Rewrite, *Mirror, *Compress, *Authorize or *Redirect. A Redirect ends a rule
// (Rule.Redirect) and is never part of Filters.
type Filter interface {
	// Kind returns the row of FilterKinds for the Filter's type.
	Kind() *FilterKind
}

// Filters are steps in the order in which a request passes them; its response passes them
// in reverse order. A kind may occur several times.
type Filters []Filter

// FilterKind declares one kind of Filter: everything that the model knows about it. How
// the kind behaves is a row of a data plane's table of filters, under the same Name.
type FilterKind struct {
	// Name is the name of the kind in tables, Reports and explanations.
	Name string
	// Key is the kind's number in the wire form, and Level the schema level that
	// introduced it.
	Key   uint64
	Level int
	// Optional means that clients are served correctly without the filter: a proxy that
	// does not know it leaves it out. A rule with any other unknown filter is closed on
	// that proxy.
	Optional bool
	// InBackends means that the filter may apply to the share of a single backend.
	InBackends bool

	// level returns the schema level that a Filter needs for all its fields; nil means
	// Level.
	level func(Filter) int
	// services returns the services that a Filter names; nil means none.
	services func(Filter) []ServiceID

	empty    func() Filter
	words    func(Filter) []string
	validate func(*validator, string, Filter)
	// options read the words of the text form. The word in starts makes a new filter. All
	// other words change the last filter of the list, which must be of this kind; if
	// starts is empty, they make it where it is not.
	starts  string
	options map[string]func(Filter, string) error
}

// kindOf declares a kind. The functions take the kind's own type.
func kindOf[T any, F interface {
	*T
	Filter
}](k FilterKind, words func(F) []string, validate func(*validator, string, F), options map[string]func(F, string) error) *FilterKind {
	k.empty = func() Filter { return F(new(T)) }
	k.words = func(f Filter) []string { return words(f.(F)) }
	k.validate = func(v *validator, id string, f Filter) { validate(v, id, f.(F)) }
	k.options = make(map[string]func(Filter, string) error, len(options))
	for word, read := range options {
		k.options[word] = func(f Filter, value string) error { return read(f.(F), value) }
	}
	return &k
}

// FilterKinds returns all kinds.
func FilterKinds() []*FilterKind {
	return []*FilterKind{tlsRedirectKind, bodyLimitKind, corsKind, editKind, rewriteKind, mirrorKind, compressKind, redirectKind, authorizeKind}
}

// filterByKey finds a kind by its number in the wire form, filterByWord by a word of the
// text form.
var filterByKey, filterByWord = func() (map[uint64]*FilterKind, map[string]*FilterKind) {
	keys, words := map[uint64]*FilterKind{}, map[string]*FilterKind{}
	for _, k := range FilterKinds() {
		keys[k.Key] = k
		for word := range k.options {
			words[word] = k
		}
	}
	return keys, words
}()

// FilterOf returns the first filter of a type, or nil.
func FilterOf[F Filter](all Filters) (found F) {
	for _, f := range all {
		if one, is := f.(F); is {
			return one
		}
	}
	return found
}

// eachService yields the services that the filters name. It returns false if yield did.
func (f Filters) eachService(yield func(ServiceID) bool) bool {
	for _, one := range f {
		if services := one.Kind().services; services != nil && slices.ContainsFunc(services(one), func(id ServiceID) bool { return !yield(id) }) {
			return false
		}
	}
	return true
}

// MarshalCBOR encodes a list of pairs: the number of the kind, and the filter.
func (f Filters) MarshalCBOR() ([]byte, error) {
	pairs := make([][2]any, len(f))
	for i, one := range f {
		pairs[i] = [2]any{one.Kind().Key, one}
	}
	return wireCodec.enc.Marshal(pairs)
}

// UnmarshalCBOR decodes what MarshalCBOR encodes. An unknown kind is an error.
func (f *Filters) UnmarshalCBOR(data []byte) error {
	var pairs [][]cbor.RawMessage
	if err := wireCodec.dec.Unmarshal(data, &pairs); err != nil {
		return err
	}
	out := make(Filters, len(pairs))
	for i, pair := range pairs {
		if len(pair) != 2 {
			return fmt.Errorf("a filter of %d parts", len(pair))
		}
		var key uint64
		if err := wireCodec.dec.Unmarshal(pair[0], &key); err != nil {
			return err
		}
		kind := filterByKey[key]
		if kind == nil || kind == redirectKind {
			return fmt.Errorf("filter %d is not known", key)
		}
		out[i] = kind.empty()
		if err := wireCodec.dec.Unmarshal(pair[1], out[i]); err != nil {
			return fmt.Errorf("filter %s: %w", kind.Name, err)
		}
	}
	*f = out
	return nil
}

// MarshalJSON encodes a list of objects with one key each, the name of the kind.
func (f Filters) MarshalJSON() ([]byte, error) {
	out := make([]map[string]Filter, len(f))
	for i, one := range f {
		out[i] = map[string]Filter{one.Kind().Name: one}
	}
	return json.Marshal(out)
}

// words returns the text form.
func (f Filters) words() (words []string) {
	for i, one := range f {
		k := one.Kind()
		if k.starts == "" && i > 0 && f[i-1].Kind() == k {
			words = append(words, k.Name) // a second filter of the kind begins
		}
		words = append(words, k.words(one)...)
	}
	return words
}

// option reads a word of the text form. It returns false if the word is no filter's.
func (f *Filters) option(key, value string) (known bool, err error) {
	for _, k := range FilterKinds() {
		if k.starts == "" && key == k.Name {
			*f = append(*f, k.empty())
			return true, nil
		}
	}
	k := filterByWord[key]
	if k == nil || k == redirectKind {
		return false, nil
	}
	last := Filter(nil)
	if n := len(*f); n > 0 && (*f)[n-1].Kind() == k {
		last = (*f)[n-1]
	}
	switch {
	case key == k.starts, k.starts == "" && last == nil:
		last = k.empty()
		*f = append(*f, last)
	case last == nil:
		return true, errNothingAbove
	}
	return true, k.options[key](last, value)
}

// filters checks the filters of a rule, or of a rule's backend.
func (v *validator) filters(id string, all Filters) {
	for _, f := range all {
		f.Kind().validate(v, id, f)
		v.check(f.Kind() != redirectKind, "rule %s: a redirect among the filters", id)
	}
}

var tlsRedirectKind = kindOf(
	FilterKind{Name: "tls-redirect", Key: 1, Level: 2, starts: "tls-redirect"},
	func(t *TLSRedirect) []string {
		words := []string{fmt.Sprintf("tls-redirect=%d:%d", t.Status, t.Port)}
		for _, path := range t.Except {
			words = append(words, "plain="+path)
		}
		return words
	},
	func(v *validator, id string, t *TLSRedirect) {
		v.check(t.Status/100 == 3, "rule %s: redirect with status %d", id, t.Status)
	},
	map[string]func(*TLSRedirect, string) error{
		"tls-redirect": func(t *TLSRedirect, v string) (err error) {
			status, port, _ := strings.Cut(v, ":")
			if t.Status, err = strconv.Atoi(status); err != nil {
				return err
			}
			t.Port, err = portOf(port)
			return err
		},
		"plain": func(t *TLSRedirect, v string) error { t.Except = append(t.Except, v); return nil },
	},
)

// Kind returns the row of FilterKinds for this type.
func (*TLSRedirect) Kind() *FilterKind { return tlsRedirectKind }

// BodyLimit refuses requests with too large a body.
type BodyLimit struct {
	// Max is in bytes, and greater than 0.
	Max int64 `cbor:"1,keyasint" json:"max"`
}

var bodyLimitKind = kindOf(
	FilterKind{Name: "body-limit", Key: 2, Level: 2, starts: "max-body"},
	func(b *BodyLimit) []string { return []string{"max-body=" + strconv.FormatInt(b.Max, 10)} },
	func(v *validator, id string, b *BodyLimit) {
		v.check(b.Max > 0, "rule %s: a body limit of %d", id, b.Max)
	},
	map[string]func(*BodyLimit, string) error{
		"max-body": func(b *BodyLimit, v string) (err error) { b.Max, err = strconv.ParseInt(v, 10, 64); return err },
	},
)

// Kind returns the row of FilterKinds for this type.
func (*BodyLimit) Kind() *FilterKind { return bodyLimitKind }

var corsKind = kindOf(
	FilterKind{Name: "cors", Key: 3, Level: 2, starts: "cors"},
	corsWords,
	func(v *validator, id string, c *CORS) { v.cors(id, c) },
	map[string]func(*CORS, string) error{
		"cors": func(c *CORS, v string) error {
			if v != "" {
				c.AllowOrigins = strings.Split(v, ",")
			}
			return nil
		},
		"cors-methods":     func(c *CORS, v string) error { c.AllowMethods = v; return nil },
		"cors-headers":     func(c *CORS, v string) error { c.AllowHeaders = v; return nil },
		"cors-expose":      func(c *CORS, v string) error { c.ExposeHeaders = v; return nil },
		"cors-credentials": func(c *CORS, _ string) error { c.Credentials = true; return nil },
		"cors-fetch":       func(c *CORS, _ string) error { c.Fetch = true; return nil },
		"cors-max-age":     func(c *CORS, v string) (err error) { c.MaxAge, err = strconv.Atoi(v); return err },
	},
)

// Kind returns the row of FilterKinds for this type.
func (*CORS) Kind() *FilterKind { return corsKind }

var editKind = kindOf(
	FilterKind{Name: "edit", Key: 4, Level: 2, InBackends: true},
	editWords,
	func(v *validator, id string, e *Edit) { v.edit(id, e) },
	map[string]func(*Edit, string) error{
		"request-remove":  removeOption(requestEdit),
		"request-set":     headerOption(requestEdit, func(e *HeaderEdit) *[]Header { return &e.Set }),
		"request-add":     headerOption(requestEdit, func(e *HeaderEdit) *[]Header { return &e.Add }),
		"response-remove": removeOption(responseEdit),
		"response-set":    headerOption(responseEdit, func(e *HeaderEdit) *[]Header { return &e.Set }),
		"response-add":    headerOption(responseEdit, func(e *HeaderEdit) *[]Header { return &e.Add }),
	},
)

// Kind returns the row of FilterKinds for this type.
func (*Edit) Kind() *FilterKind { return editKind }

func requestEdit(e *Edit) **HeaderEdit  { return &e.Request }
func responseEdit(e *Edit) **HeaderEdit { return &e.Response }

// headerEdit returns the chosen side of an Edit, and makes it if it is nil.
func headerEdit(e *Edit, side func(*Edit) **HeaderEdit) *HeaderEdit {
	at := side(e)
	if *at == nil {
		*at = &HeaderEdit{}
	}
	return *at
}

func removeOption(side func(*Edit) **HeaderEdit) func(*Edit, string) error {
	return func(e *Edit, v string) error {
		one := headerEdit(e, side)
		one.Remove = append(one.Remove, v)
		return nil
	}
}

func headerOption(side func(*Edit) **HeaderEdit, list func(*HeaderEdit) *[]Header) func(*Edit, string) error {
	return func(e *Edit, v string) error {
		name, value, found := strings.Cut(v, ":")
		if !found {
			return fmt.Errorf("%q is not name:value", v)
		}
		all := list(headerEdit(e, side))
		*all = append(*all, Header{name, value})
		return nil
	}
}

var rewriteKind = kindOf(
	FilterKind{Name: "rewrite", Key: 5, Level: 2, InBackends: true, starts: "rewrite"},
	rewriteWords,
	func(v *validator, id string, w *Rewrite) { v.rewrite(id, w) },
	map[string]func(*Rewrite, string) error{
		"rewrite":      func(w *Rewrite, v string) error { w.Target = v; return nil },
		"pattern":      func(w *Rewrite, v string) error { w.Pattern = v; return nil },
		"rewrite-path": func(w *Rewrite, v string) error { w.Path = pathEditOf(v); return nil },
		"rewrite-host": func(w *Rewrite, v string) error { w.Host = v; return nil },
	},
)

// Kind returns the row of FilterKinds for this type.
func (*Rewrite) Kind() *FilterKind { return rewriteKind }

var mirrorKind = kindOf(
	FilterKind{
		Name: "mirror", Key: 6, Level: 2, InBackends: true, starts: "mirror",
		services: func(f Filter) []ServiceID { return []ServiceID{f.(*Mirror).Service} },
	},
	func(m *Mirror) []string { return []string{fmt.Sprintf("mirror=%s*%d/%d", m.Service, m.Share, m.Of)} },
	func(v *validator, id string, m *Mirror) {
		v.check(m.Of > 0 && m.Share <= m.Of, "rule %s: a mirror of %d in %d", id, m.Share, m.Of)
	},
	map[string]func(*Mirror, string) error{
		"mirror": func(m *Mirror, v string) error {
			service, share, _ := strings.Cut(v, "*")
			m.Service = ParseServiceID(service)
			if _, err := fmt.Sscanf(share, "%d/%d", &m.Share, &m.Of); err != nil {
				return fmt.Errorf("%q is not a share", share)
			}
			return nil
		},
	},
)

// Kind returns the row of FilterKinds for this type.
func (*Mirror) Kind() *FilterKind { return mirrorKind }

var compressKind = kindOf(
	FilterKind{Name: "compress", Key: 7, Level: 2, Optional: true, starts: "compress"},
	(*Compress).words,
	func(v *validator, id string, c *Compress) { v.compress(id, c) },
	map[string]func(*Compress, string) error{
		"compress":       func(c *Compress, v string) error { c.Encodings = strings.Split(v, ","); return nil },
		"compress-types": func(c *Compress, v string) error { c.Types = strings.Split(v, ","); return nil },
		"compress-min":   func(c *Compress, v string) (err error) { c.MinLength, err = strconv.ParseInt(v, 10, 64); return err },
	},
)

// Kind returns the row of FilterKinds for this type.
func (*Compress) Kind() *FilterKind { return compressKind }

var redirectKind = kindOf(
	FilterKind{Name: "redirect", Key: 8, Level: 2, starts: "redirect"},
	redirectWords,
	func(v *validator, id string, r *Redirect) { v.redirect(id, r) },
	map[string]func(*Redirect, string) error{
		"redirect":        func(d *Redirect, v string) (err error) { d.Status, err = strconv.Atoi(v); return err },
		"redirect-scheme": func(d *Redirect, v string) error { d.Scheme = v; return nil },
		"redirect-host":   func(d *Redirect, v string) error { d.Host = v; return nil },
		"redirect-port":   func(d *Redirect, v string) (err error) { d.Port, err = portOf(v); return err },
		"redirect-path":   func(d *Redirect, v string) error { d.Path = pathEditOf(v); return nil },
	},
)

// Kind returns the row of FilterKinds for this type.
func (*Redirect) Kind() *FilterKind { return redirectKind }

// redirectOption reads one word of a rule's redirect in the text form.
func redirectOption(r *Rule, key, value string) (known bool, err error) {
	read, known := redirectKind.options[key]
	switch {
	case !known:
		return false, nil
	case key == redirectKind.starts:
		r.Redirect = &Redirect{}
	case r.Redirect == nil:
		return true, errNothingAbove
	}
	return true, read(r.Redirect, value)
}
