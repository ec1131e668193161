package filter

import (
	"fmt"
	"regexp"
	"strings"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/msg"
	"windrose.dev/windrose/internal/proxy/route"
	"windrose.dev/windrose/internal/proxy/wire/http1"
)

// rewrite replaces the path and host of the request that is sent to the backend.
// X-Forwarded-Host keeps the host that the client requested.
type rewrite struct {
	requestOnly
	pattern *patternRewrite
	path    *pathEdit
	host    []byte
}

func newRewrite(w *model.Rewrite) (exchange.Filter, error) {
	f := &rewrite{path: newPathEdit(w.Path), host: []byte(w.Host)}
	var err error
	if w.Pattern != "" {
		f.pattern, err = newPatternRewrite(w)
	}
	return f, err
}

func (f *rewrite) Request(x *exchange.Exchange) bool {
	if len(f.host) > 0 {
		x.Req.Set(msg.Host, "Host", f.host)
	}
	switch {
	case f.pattern != nil:
		return f.pattern.apply(x)
	case f.path != nil:
		x.RewritePath(f.path.appendTo)
	}
	return false
}

// patternRewrite replaces the path by a target with captures, as nginx's rewrite
// directive does. It works on the canonical path with runs of slashes merged;
// percent-encoded characters in it stay encoded.
type patternRewrite struct {
	pattern *regexp.Regexp
	path    []piece
	query   []piece
	keepsQ  bool // the request's query is appended
}

// piece is literal text, or a capture group of the pattern.
type piece struct {
	text  string
	group int // 0 means text
}

func newPatternRewrite(w *model.Rewrite) (*patternRewrite, error) {
	pattern, err := regexp.Compile(w.Pattern)
	if err != nil {
		return nil, err
	}
	path, query, _ := strings.Cut(w.Target, "?")
	// As in nginx, a final ? drops the request's own query.
	keeps := !strings.HasSuffix(w.Target, "?")
	path, query = escape(path), escape(query)
	return &patternRewrite{pattern: pattern, path: pieces(path), query: pieces(strings.TrimSuffix(query, "?")), keepsQ: keeps}, nil
}

// escape percent-encodes the characters that are not valid in a request target.
func escape(target string) string {
	var b strings.Builder
	for i := range len(target) {
		if c := target[i]; c > ' ' && c < 0x7f {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// pieces parses a target; $1 to $9 are capture groups.
func pieces(target string) []piece {
	var out []piece
	for target != "" {
		i := strings.IndexByte(target, '$')
		if i < 0 || i+1 >= len(target) {
			return append(out, piece{text: target})
		}
		if digit := target[i+1]; digit >= '1' && digit <= '9' {
			out = append(out, piece{text: target[:i]}, piece{group: int(digit - '0')})
			target = target[i+2:]
			continue
		}
		out = append(out, piece{text: target[:i+1]})
		target = target[i+1:]
	}
	return out
}

// nginxView is the form of the path that nginx rewrites.
var nginxView = route.View{Decode: true, Merge: true}

func (f *patternRewrite) apply(x *exchange.Exchange) bool {
	path, _ := nginxView.Of(x.Path.Bytes, nil)
	match := f.pattern.FindSubmatchIndex(path)
	if match == nil {
		return false
	}
	raw := expand(nil, f.path, path, match)
	if len(raw) == 0 || raw[0] != '/' {
		raw = append([]byte("/"), raw...)
	}
	// The client chooses the captures: together with the literal text of the target
	// they must not form dot segments.
	clean, _, ok := route.Canonical(raw, nil)
	if !ok {
		x.FailWith(http1.ErrTarget)
		return true
	}
	x.Rewritten = f.appendQuery(clean.Bytes, x, path, match)
	return false
}

func expand(dst []byte, pieces []piece, path []byte, match []int) []byte {
	for _, p := range pieces {
		if p.group == 0 {
			dst = append(dst, p.text...)
		} else if 2*p.group < len(match) && match[2*p.group] >= 0 {
			dst = append(dst, path[match[2*p.group]:match[2*p.group+1]]...)
		}
	}
	return dst
}

// appendQuery writes the target's query, followed by the request's.
func (f *patternRewrite) appendQuery(dst []byte, x *exchange.Exchange, path []byte, match []int) []byte {
	sep := byte('?')
	if len(f.query) > 0 {
		dst = expand(append(dst, sep), f.query, path, match)
		sep = '&'
	}
	if f.keepsQ && x.Target.HasQuery {
		dst = append(append(dst, sep), x.Target.Query...)
	}
	return dst
}
