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
//	certificate 443 shop.example.com shop/shop-tls
//	host shop.example.com 80,443
//	block ingress by-specificity merge-slashes
//	rule ingress/shop/web/0/0 prefix:/cart forward=shop/cart:80 tls-redirect=308:443 max-body=1048576
//	service shop/cart:80 round-robin
//	endpoint shop/cart:80 127.0.0.1:31001 pod=shop/cart-6c9f-x2x4p
//	secret shop/shop-tls 5f2a…

// Format returns the text form. Parse reads it back to an equal Snapshot, but
// for key material, of which only digests are printed.
func Format(s *Snapshot) string {
	w := &textWriter{}
	for _, l := range s.Config.Listeners {
		w.listener(l)
	}
	for _, h := range s.Config.Hosts {
		w.host(h)
	}
	for _, svc := range s.Config.Services {
		w.line("service", svc.ID, balanceNames[svc.Balance])
	}
	for _, e := range s.Endpoints {
		w.endpoints(e)
	}
	for _, secret := range s.Secrets {
		w.line("secret", secret.Name, secret.Digest)
	}
	return w.b.String()
}

// FormatOrigins returns the text form of the origins, a line a rule.
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
	protocolNames = []string{HTTP: "http", HTTPS: "https"}
	orderNames    = []string{BySpecificity: "by-specificity", FirstMatch: "first-match"}
	pathNames     = []string{AnyPath: "any", ExactPath: "exact", PrefixPath: "prefix", RegexPath: "regex"}
	balanceNames  = []string{RoundRobin: "round-robin", LeastRequest: "least-request"}
)

// MarshalText writes the protocol as its word.
func (p Protocol) MarshalText() ([]byte, error) { return []byte(protocolNames[p]), nil }

// MarshalText writes the order as its word.
func (o Order) MarshalText() ([]byte, error) { return []byte(orderNames[o]), nil }

// MarshalText writes the kind as its word.
func (k PathKind) MarshalText() ([]byte, error) { return []byte(pathNames[k]), nil }

// MarshalText writes the policy as its word.
func (b Balance) MarshalText() ([]byte, error) { return []byte(balanceNames[b]), nil }

type textWriter struct{ b strings.Builder }

// line writes words, leaving out empty options (see option); an empty word
// that is not an option is written as "".
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
	w.line("listener", strconv.Itoa(int(l.Port)), protocolNames[l.Protocol])
	for _, c := range l.Certificates {
		w.line("certificate", strconv.Itoa(int(l.Port)), c.Host, c.Secret)
	}
}

func (w *textWriter) host(h Host) {
	ports := make([]string, len(h.Ports))
	for i, port := range h.Ports {
		ports[i] = strconv.Itoa(int(port))
	}
	w.line("host", h.Name, strings.Join(ports, ","))
	for _, b := range h.Blocks {
		w.line("block", b.Dialect, orderNames[b.Order], flag(b.MergeSlashes, "merge-slashes"), flag(b.DecodeReserved, "decode-reserved"))
		for i := range b.Rules {
			w.rule(&b.Rules[i])
		}
	}
}

func (w *textWriter) rule(r *Rule) {
	words := []string{"rule", r.ID, pathNames[r.Path.Kind] + ":" + r.Path.Value}
	if f := r.Forward; f != nil {
		words = append(words, "forward="+formatBackends(f.Backends),
			option("connect", duration(f.ConnectTimeout)),
			option("read", duration(f.ReadTimeout)), option("send", duration(f.SendTimeout)))
	}
	if a := r.Respond; a != nil {
		words = append(words, fmt.Sprintf("respond=%d:%s", a.Status, a.Outcome), option("why", a.Why))
	}
	if t := r.TLSRedirect; t != nil {
		words = append(words, fmt.Sprintf("tls-redirect=%d:%d", t.Status, t.Port))
		for _, path := range t.Except {
			words = append(words, "plain="+path)
		}
	}
	if r.Rewrite != nil {
		words = append(words, "rewrite="+r.Rewrite.Target, "pattern="+r.Rewrite.Pattern)
	}
	words = append(words, option("max-body", number(r.MaxBody)))
	words = append(words, corsWords(r.CORS)...)
	w.line(words...)
}

func corsWords(c *CORS) []string {
	if c == nil {
		return nil
	}
	return []string{
		"cors=" + strings.Join(c.AllowOrigins, ","),
		option("cors-methods", c.AllowMethods),
		option("cors-headers", c.AllowHeaders),
		option("cors-expose", c.ExposeHeaders),
		flag(c.Credentials, "cors-credentials"),
		option("cors-max-age", number(int64(c.MaxAge))),
	}
}

// formatBackends writes ids separated by commas, with *weight where there are
// several.
func formatBackends(backends []Backend) string {
	parts := make([]string, len(backends))
	for i, b := range backends {
		parts[i] = b.Service
		if len(backends) > 1 || b.Weight != 1 {
			parts[i] += "*" + strconv.FormatUint(uint64(b.Weight), 10)
		}
	}
	return strings.Join(parts, ",")
}

func (w *textWriter) endpoints(e Endpoints) {
	if len(e.Endpoints) == 0 {
		w.line("endpoint", e.Service, "none")
	}
	for _, ep := range e.Endpoints {
		w.line("endpoint", e.Service, ep.Addr.String(), option("pod", ep.Pod), flag(ep.Terminating, "terminating"))
	}
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
		out = append(out, Backend{Service: id, Weight: uint32(n)})
	}
	return out, nil
}
