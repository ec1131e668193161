package policy

import (
	"net/netip"

	"windrose.dev/windrose/internal/proxy/msg"
)

// Request is what conditions look at in a request: views that are valid only as long as
// the request. It is used by one goroutine at a time.
type Request struct {
	// From is the connection of the request; nil if nothing is known of it.
	From *Inbound
	// HTTPS reports whether the client used the scheme https.
	HTTPS bool
	// Host is the requested host, as http1.HostName returns it, and Authority the same
	// as it was sent.
	Host, Authority []byte
	// Path is the canonical path.
	Path          []byte
	Method, Query []byte
	// Head holds the header fields. Conditions see them as the client sent them,
	// whatever was added or removed since. It may be nil.
	Head *msg.Head
	// Trusted makes fields count that say who the client is. Trusts reports whether
	// they would count from an address; nil trusts nobody.
	Trusted bool
	Trusts  func(netip.Addr) bool

	// Scratch is memory for path comparisons.
	Scratch []byte

	text []byte // scratch
}

// Reset empties r and keeps its memory.
func (r *Request) Reset() { *r = Request{Scratch: r.Scratch, text: r.text} }

// Apart returns r with scratch memory of its own, for another goroutine. It shares what
// r points to, which must not change.
func (r *Request) Apart() Request {
	other := *r
	other.Scratch, other.text = nil, nil
	return other
}

// received reports whether a field counts: it came from the client, and the client is
// trusted to send it.
func (r *Request) received(f *msg.Field) bool {
	return !f.Added && f.ID != msg.Twin && (r.Trusted || !f.ID.Identity())
}

// Received returns the value of a field as the client sent it, or nil.
func (r *Request) Received(name string) []byte {
	value, _ := r.header(fieldOf(name), name)
	return value
}

// header returns the values of a field, joined by commas. present is false if there is
// none.
func (r *Request) header(id msg.FieldID, name string) (value []byte, present bool) {
	if id == msg.Host {
		return r.Authority, r.Authority != nil
	}
	if r.Head == nil {
		return nil, false
	}
	byName := id == msg.OtherField || id == msg.Spoof
	for i := range r.Head.Fields {
		f := &r.Head.Fields[i]
		if f.ID != id || !r.received(f) || byName && !msg.EqualFold(r.Head.Name(f), name) {
			continue
		}
		if !present {
			value, present = r.Head.Value(f), true
			continue
		}
		// The values joined so far are at the front of the scratch memory already, or
		// are a view into the head.
		r.text = append(append(append(r.text[:0], value...), ','), r.Head.Value(f)...)
		value = r.text
	}
	return value, present
}

// client returns the address of the client that a trusted peer names, or of the peer
// itself. It is not valid if nothing is known of the connection.
func (r *Request) client() netip.Addr {
	if r.From == nil {
		return netip.Addr{}
	}
	client := r.From.Addr.Addr().Unmap().WithZone("")
	if !r.Trusted {
		return client
	}
	chain, _ := r.header(msg.XForwardedFor, "")
	if hop := ClientOf(chain, r.Trusts); hop != nil {
		client, _ = msg.ParseAddr(hop)
	}
	return client.Unmap().WithZone("")
}

// ClientOf finds the client in an X-Forwarded-For list: the last address that is not
// trusted itself, as nginx's realip module does. What a client has put before it does
// not count. It returns nil if the last element is not an address.
func ClientOf(chain []byte, trusts func(netip.Addr) bool) (client []byte) {
	for len(chain) > 0 {
		i := len(chain) - 1
		for i >= 0 && chain[i] != ',' {
			i--
		}
		hop := msg.TrimOWS(chain[i+1:])
		addr, ok := msg.ParseAddr(hop)
		if !ok {
			return client
		}
		if client = hop; trusts == nil || !trusts(addr.Unmap()) {
			return client
		}
		chain = chain[:max(i, 0)]
	}
	return client
}

// query returns the first value of a query parameter, still encoded. present is false
// if there is none.
func (r *Request) query(name string) (raw []byte, present bool) {
	for rest := r.Query; len(rest) > 0; {
		var pair []byte
		pair, rest = cut(rest, '&')
		key, value := cut(pair, '=')
		if sameDecoded(key, name) {
			return value, true
		}
	}
	return nil, false
}

// cookie returns the first value of a cookie (RFC 6265 §4.2). present is false if there
// is none. HTTP/2 may split the cookies into several fields (RFC 9113 §8.2.3).
func (r *Request) cookie(name string) (value []byte, present bool) {
	if r.Head == nil {
		return nil, false
	}
	for i := range r.Head.Fields {
		f := &r.Head.Fields[i]
		if f.ID != msg.Cookie || !r.received(f) {
			continue
		}
		for rest := r.Head.Value(f); len(rest) > 0; {
			var pair []byte
			pair, rest = cut(rest, ';')
			pair = msg.TrimOWS(pair)
			if n := len(name); len(pair) > n && pair[n] == '=' && string(pair[:n]) == name {
				return pair[n+1:], true
			}
		}
	}
	return nil, false
}

// cut splits b at the first sep. Without a sep, before is all of b.
func cut(b []byte, sep byte) (before, after []byte) {
	for i, c := range b {
		if c == sep {
			return b[:i], b[i+1:]
		}
	}
	return b, nil
}

// decodeAt decodes the character at i and returns its length in raw. A byte that is not
// a valid escape stands for itself.
func decodeAt(raw []byte, i int) (c byte, n int) {
	if raw[i] == '%' && i+2 < len(raw) && msg.IsHex(raw[i+1]) && msg.IsHex(raw[i+2]) {
		return msg.HexValue(raw[i+1])<<4 | msg.HexValue(raw[i+2]), 3
	}
	return raw[i], 1
}

// sameDecoded reports whether raw, decoded, equals want.
func sameDecoded(raw []byte, want string) bool {
	at := 0
	for i := 0; i < len(raw); at++ {
		c, n := decodeAt(raw, i)
		if at >= len(want) || want[at] != c {
			return false
		}
		i += n
	}
	return at == len(want)
}

func appendDecoded(dst, raw []byte) []byte {
	for i := 0; i < len(raw); {
		c, n := decodeAt(raw, i)
		dst = append(dst, c)
		i += n
	}
	return dst
}
