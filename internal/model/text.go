package model

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"windrose.dev/windrose/internal/reason"
)

// The text form is a line a thing: a word that says what it is, its names, and
// then key=value options that are left out where they say nothing. A value is
// quoted as in Go where it holds a space, a quote or a control character.
//
//	listener 443 https
//	certificate 443 shop.example.com shop/shop-tls tls-min=1.3
//	host shop.example.com 80,443
//	block ingress by-specificity merge-slashes
//	rule ingress/shop/web/0/0 prefix:/cart forward=shop/cart:80 tls-redirect=308:443 max-body=1048576
//	rule gateway/shop/cart/0/0 prefix:/ when=all(method:GET,header:x-env=canary) forward request-set=x-a:b
//	backend shop/cart:80 9
//	backend none 1 respond=500:backend_invalid
//	l4-route gateway/shop/db/0 5432 forward=shop/db:5432 idle=10m0s
//	l4-route gateway/shop/raw/0 443 name=raw.example.com forward=shop/raw:443
//	service shop/cart:80 round-robin
//	endpoint shop/cart:80 127.0.0.1:31001 pod=shop/cart-6c9f-x2x4p
//	endpoint shop/api:443 dns:api.example.com:443
//	service shop/pay:443~tls:pay round-robin protocol=negotiated tls server-name=pay name=pay ca=configmap/shop/ca
//	secret shop/shop-tls 5f2a…
//	bundle configmap/shop/ca 77c0…

// Format returns the text form. Parse reads it back to an equal Snapshot, except for key
// material and bundles, of which only digests are printed.
func Format(s *Snapshot) string {
	w := &textWriter{}
	for _, l := range s.Config.Listeners {
		w.listener(l)
	}
	for _, h := range s.Config.Hosts {
		w.host(h)
	}
	for i := range s.Config.L4Routes {
		w.l4Route(&s.Config.L4Routes[i])
	}
	for _, svc := range s.Config.Services {
		w.service(svc)
	}
	for _, e := range s.Endpoints {
		w.endpoints(e)
	}
	for _, secret := range s.Secrets {
		w.line("secret", secret.Name, secret.Digest)
	}
	for _, b := range s.Bundles {
		w.line("bundle", b.Name, b.Digest)
	}
	return w.b.String()
}

// FormatOrigins returns the text form of the origins, one rule a line.
func FormatOrigins(s *Snapshot) string {
	w := &textWriter{}
	ids := make([]string, 0, len(s.Origins))
	for id := range s.Origins {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		o := s.Origins[id]
		w.line("origin", id,
			option("kind", o.Kind), option("namespace", o.Namespace), option("name", o.Name),
			option("file", o.File), option("line", number(int64(o.Line))), option("field", o.Field))
	}
	return w.b.String()
}

// Write writes the text form and the origins to out.
func Write(out io.Writer, s *Snapshot) error {
	_, err := io.WriteString(out, Format(s)+FormatOrigins(s))
	return err
}

var (
	protocolNames = []string{HTTP: "http", HTTPS: "https", TLS: "tls", TCP: "tcp", UDP: "udp"}
	orderNames    = []string{BySpecificity: "by-specificity", FirstMatch: "first-match"}
	pathNames     = []string{AnyPath: "any", ExactPath: "exact", PrefixPath: "prefix", RegexPath: "regex", RawPrefixPath: "starts"}
)

// MarshalText returns the protocol's word.
func (p Protocol) MarshalText() ([]byte, error) { return []byte(protocolNames[p]), nil }

// MarshalText returns the order's word.
func (o Order) MarshalText() ([]byte, error) { return []byte(orderNames[o]), nil }

// MarshalText returns the kind's word.
func (k PathKind) MarshalText() ([]byte, error) { return []byte(pathNames[k]), nil }

type textWriter struct{ b strings.Builder }

// line writes words and leaves out empty options (see option); an empty word that is not
// an option is written as "".
func (w *textWriter) line(words ...string) {
	first := true
	for _, word := range words {
		if word == noOption {
			continue
		}
		if !first {
			w.b.WriteByte(' ')
		}
		first = false
		w.b.WriteString(quoteWord(word))
	}
	w.b.WriteByte('\n')
}

// noOption marks an option that is left out; no real word holds a NUL.
const noOption = "\x00"

func option(key, value string) string {
	if value == "" {
		return noOption
	}
	return key + "=" + value
}

func number(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

func duration(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

func flag(on bool, word string) string {
	if !on {
		return noOption
	}
	return word
}

func quoteWord(word string) string {
	plain := word != ""
	for i := 0; i < len(word) && plain; i++ {
		plain = word[i] > ' ' && word[i] < 0x7f && word[i] != '"' && word[i] != '#'
	}
	if plain {
		return word
	}
	return strconv.Quote(word)
}

func (w *textWriter) listener(l Listener) {
	words := []string{"listener", l.ID.String(), protocolNames[l.Protocol], option("address", l.Address), option("backend-certificate", l.BackendCertificate)}
	for _, name := range l.Names {
		words = append(words, "name="+name)
	}
	w.line(slices.Concat(words, l.ClientAuth.words(), l.Access.words())...)
	for _, c := range l.Certificates {
		w.line(append([]string{"certificate", l.ID.String(), c.Host, c.Secret}, c.Policy.words()...)...)
	}
}

func (w *textWriter) host(h Host) {
	listeners := make([]string, len(h.Listeners))
	for i, id := range h.Listeners {
		listeners[i] = id.String()
	}
	w.line("host", h.Name, strings.Join(listeners, ","), flag(h.Fallback, "fallback"))
	for _, b := range h.Blocks {
		w.line("block", b.Dialect, orderNames[b.Order], flag(b.MergeSlashes, "merge-slashes"), flag(b.DecodeReserved, "decode-reserved"))
		for i := range b.Rules {
			w.rule(&b.Rules[i])
		}
	}
}

func (w *textWriter) rule(r *Rule) {
	words := []string{"rule", r.ID, pathNames[r.Path.Kind] + ":" + r.Path.Value}
	if r.When != nil {
		words = append(words, "when="+r.When.String())
	}
	words = append(words, option("rank", number(int64(r.Rank))))
	w.line(append(words, r.doesWords()...)...)
	if r.Forward != nil && !r.Forward.plain() {
		for i := range r.Forward.Backends {
			w.backend(&r.Forward.Backends[i])
		}
	}
}

// Does returns what a rule does with a request that it matches, in the words of the text
// form and on one line.
func (r *Rule) Does() string {
	w := &textWriter{}
	w.line(r.doesWords()...)
	if r.Forward != nil && !r.Forward.plain() {
		for i := range r.Forward.Backends {
			w.backend(&r.Forward.Backends[i])
		}
	}
	return strings.ReplaceAll(strings.TrimSuffix(w.b.String(), "\n"), "\n", "; ")
}

func (r *Rule) doesWords() []string {
	words := forwardWords(r.Forward)
	words = append(words, respondWords(r.Respond)...)
	words = append(words, redirectWords(r.Redirect)...)
	return append(words, r.Filters.words()...)
}

// plain reports whether the backends have nothing but services and weights.
func (f *Forward) plain() bool {
	return len(f.Backends) > 0 && !slices.ContainsFunc(f.Backends, func(b Backend) bool {
		return b.Service.IsZero() || len(b.Filters) > 0
	})
}

func (w *textWriter) backend(b *Backend) {
	words := []string{"backend", cmp.Or(b.Service.String(), noService), strconv.FormatUint(uint64(b.Weight), 10)}
	words = append(words, respondWords(b.Respond)...)
	w.line(append(words, b.Filters.words()...)...)
}

func forwardWords(f *Forward) []string {
	if f == nil {
		return nil
	}
	words := []string{"forward"}
	if f.plain() {
		words = []string{"forward=" + formatBackends(f.Backends)}
	}
	words = append(words,
		option("connect", duration(f.ConnectTimeout)), option("read", duration(f.ReadTimeout)),
		option("send", duration(f.SendTimeout)), option("timeout", duration(f.Timeout)),
		option("attempt-timeout", duration(f.AttemptTimeout)))
	if r := f.Retry; r != nil {
		codes := make([]string, len(r.Codes))
		for i, code := range r.Codes {
			codes[i] = strconv.Itoa(code)
		}
		words = append(words, "retry="+strconv.Itoa(r.Attempts),
			option("retry-codes", strings.Join(codes, ",")), option("backoff", duration(r.Backoff)))
	}
	if s := f.Affinity; s != nil {
		carrier := "cookie"
		if s.Header {
			carrier = "header"
		}
		words = append(words, "affinity="+carrier+":"+s.Name,
			option("affinity-absolute", duration(s.Absolute)), option("affinity-idle", duration(s.Idle)),
			flag(s.Permanent, "affinity-permanent"), option("affinity-path", s.Path))
	}
	return words
}

func respondWords(a *Respond) []string {
	if a == nil {
		return nil
	}
	words := []string{fmt.Sprintf("respond=%d:%s", a.Status, a.Outcome), option("why", a.Why)}
	for _, h := range a.Headers {
		words = append(words, "respond-header="+h.Name+":"+h.Value)
	}
	return append(words, option("respond-body", a.Body))
}

func redirectWords(r *Redirect) []string {
	if r == nil {
		return nil
	}
	return []string{
		"redirect=" + strconv.Itoa(r.Status), option("redirect-scheme", r.Scheme), option("redirect-host", r.Host),
		option("redirect-port", number(int64(r.Port))), pathWord("redirect-path", r.Path),
	}
}

func rewriteWords(r *Rewrite) []string {
	return []string{
		"rewrite=" + r.Target, option("pattern", r.Pattern), pathWord("rewrite-path", r.Path), option("rewrite-host", r.Host),
	}
}

// pathWord writes the replaced prefix, if there is one, and its replacement.
func pathWord(key string, p *PathEdit) string {
	switch {
	case p == nil:
		return noOption
	case p.Prefix == "":
		return key + "=" + p.With
	}
	return key + "=" + p.Prefix + ">" + p.With
}

func editWords(e *Edit) []string {
	return append(headerWords("request", e.Request), headerWords("response", e.Response)...)
}

func headerWords(of string, e *HeaderEdit) []string {
	if e == nil {
		return nil
	}
	var words []string
	for _, name := range e.Remove {
		words = append(words, of+"-remove="+name)
	}
	for _, h := range e.Set {
		words = append(words, of+"-set="+h.Name+":"+h.Value)
	}
	for _, h := range e.Add {
		words = append(words, of+"-add="+h.Name+":"+h.Value)
	}
	return words
}

func corsWords(c *CORS) []string {
	return []string{
		"cors=" + strings.Join(c.AllowOrigins, ","),
		option("cors-methods", c.AllowMethods),
		option("cors-headers", c.AllowHeaders),
		option("cors-expose", c.ExposeHeaders),
		flag(c.Credentials, "cors-credentials"),
		option("cors-max-age", number(int64(c.MaxAge))),
		flag(c.Fetch, "cors-fetch"),
	}
}

// formatBackends returns the services, separated by commas, each with *weight if there
// are several.
func formatBackends(backends []Backend) string {
	parts := make([]string, len(backends))
	for i, b := range backends {
		parts[i] = b.Service.String()
		if len(backends) > 1 || b.Weight != 1 {
			parts[i] += "*" + strconv.FormatUint(uint64(b.Weight), 10)
		}
	}
	return strings.Join(parts, ",")
}

// indexOf finds a name in one of the tables above.
func indexOf[T ~uint8](names []string, name, what string) (T, error) {
	if i := slices.Index(names, name); i >= 0 {
		return T(i), nil
	}
	return 0, fmt.Errorf("%s %q is none of %s", what, name, strings.Join(names, ", "))
}

func outcomeOf(name string) (reason.Outcome, error) {
	i := slices.IndexFunc(reason.Outcomes(), func(row reason.OutcomeRow) bool { return row.Name == name })
	if i < 0 {
		return 0, fmt.Errorf("unknown outcome %q", name)
	}
	return reason.Outcome(i), nil
}

// backendsOf reads what formatBackends writes.
func backendsOf(list string) ([]Backend, error) {
	var out []Backend
	for _, part := range strings.Split(list, ",") {
		id, weight, weighted := strings.Cut(part, "*")
		n, err := strconv.ParseUint(cmp.Or(weight, "1"), 10, 32)
		if err != nil || weighted && weight == "" {
			return nil, fmt.Errorf("backend %q: the weight is not a number", part)
		}
		out = append(out, Backend{Service: ParseServiceID(id), Weight: uint32(n)})
	}
	return out, nil
}
