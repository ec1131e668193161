package http1

import (
	"bytes"

	"windrose.dev/windrose/internal/proxy/msg"
)

// Target is a parsed request target (RFC 9112 §3.2).
type Target struct {
	// Authority is the authority of an absolute-form target, which then replaces Host.
	// It is nil for the other forms.
	Authority []byte
	// HTTPS reports whether the scheme of an absolute-form target is https.
	HTTPS bool
	// Path starts with a slash, or is a lone * (asterisk-form).
	Path []byte
	// Query is the part after the ?; HasQuery distinguishes "/?" from "/".
	Query    []byte
	HasQuery bool
}

// ErrConnect rejects the authority-form: a gateway is not a tunnel to any host.
var ErrConnect = beyond("CONNECT is not offered here (RFC 9110 §9.3.6)")

// SplitTarget parses a request target.
func SplitTarget(method, target []byte) (Target, error) {
	switch {
	case string(method) == "CONNECT":
		return Target{}, ErrConnect
	case target[0] == '/':
		return splitPath(Target{}, target), nil
	case string(target) == "*":
		if string(method) != "OPTIONS" {
			return Target{}, ErrTarget
		}
		return Target{Path: target}, nil
	}
	return absoluteForm(target)
}

func absoluteForm(target []byte) (Target, error) {
	var t Target
	var rest []byte
	switch {
	case hasPrefixFold(target, "http://"):
		rest = target[len("http://"):]
	case hasPrefixFold(target, "https://"):
		rest, t.HTTPS = target[len("https://"):], true
	default:
		return Target{}, ErrTarget
	}
	end := bytes.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	if t.Authority = rest[:end]; end == 0 {
		return Target{}, ErrTarget
	}
	if rest = rest[end:]; len(rest) == 0 || rest[0] == '?' {
		query := splitPath(t, rest)
		query.Path = slash
		return query, nil
	}
	return splitPath(t, rest), nil
}

var slash = []byte("/")

func splitPath(t Target, pathQuery []byte) Target {
	t.Path = pathQuery
	if i := bytes.IndexByte(pathQuery, '?'); i >= 0 {
		t.Path, t.Query, t.HasQuery = pathQuery[:i], pathQuery[i+1:], true
	}
	return t
}

func hasPrefixFold(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && msg.EqualFold(b[:len(prefix)], prefix)
}

// HostName returns the host in a Host value (RFC 9110 §7.2) in the form in which it is
// matched: without port and final dot, and in lower case. The result is a part of
// value, or lies in scratch if it had to be converted to lower case.
func HostName(value, scratch []byte) ([]byte, error) {
	name, err := cutPort(value)
	if err != nil {
		return nil, err
	}
	upper := false
	literal := name[0] == '['
	for i, c := range name {
		if !hostChar[c] && (!literal || c != ':' && i > 0 && i < len(name)-1) {
			return nil, ErrHostValue
		}
		upper = upper || c >= 'A' && c <= 'Z'
	}
	if literal && !isIPv6(name[1:len(name)-1]) {
		return nil, ErrHostValue
	}
	if len(name) > 1 && name[len(name)-1] == '.' {
		name = name[:len(name)-1]
	}
	if !upper {
		return name, nil
	}
	scratch = append(scratch[:0], name...)
	for i, c := range scratch {
		if c >= 'A' && c <= 'Z' {
			scratch[i] = c + 'a' - 'A'
		}
	}
	return scratch, nil
}

// isIPv6 reports whether text can be an IPv6 address. It only has to distinguish it
// from a name; parsing it with netip would allocate.
func isIPv6(text []byte) bool {
	colons := 0
	for _, c := range text {
		if c == ':' {
			colons++
		} else if !msg.IsHex(c) && c != '.' {
			return false
		}
	}
	return colons >= 2
}

func cutPort(value []byte) ([]byte, error) {
	end := len(value)
	if end > 0 && value[0] == '[' {
		i := bytes.IndexByte(value, ']')
		if i < 0 {
			return nil, ErrHostValue
		}
		end = i + 1
	} else if i := bytes.IndexByte(value, ':'); i >= 0 {
		end = i
	}
	if end == 0 || end > 255 {
		return nil, ErrHostValue
	}
	if port := value[end:]; len(port) > 0 {
		if port[0] != ':' {
			return nil, ErrHostValue
		}
		// An empty port means the default port (RFC 3986 §3.2.3).
		if _, ok := msg.ParsePort(port[1:]); !ok && len(port) > 1 {
			return nil, ErrHostValue
		}
	}
	return value[:end], nil
}

// hostChar are the characters of a DNS name or IPv4 address. RFC 3986 permits more in a
// registered name, but these can match no rule.
var hostChar = func() (table [256]bool) {
	for c := range 128 {
		table[c] = c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
	}
	for _, c := range []byte("-._") {
		table[c] = true
	}
	return table
}()
