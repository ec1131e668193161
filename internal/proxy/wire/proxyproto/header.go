package proxyproto

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
)

// Bounds of a header, in bytes. Version 1 has its own in the specification;
// one of version 2 could have 65,551, and has some 300 with a certificate's
// names in it.
const (
	maxText   = 107
	MaxHeader = 4 << 10
)

// Header is what is said of a connection, as far as anybody asks.
type Header struct {
	// Source and Destination are the ends of the client's connection. Both are
	// invalid where the connection is the sender's own (LOCAL), or nothing is
	// said of them (UNKNOWN, UNSPEC, Unix sockets): then the addresses of the
	// connection itself count.
	Source, Destination netip.AddrPort
	// Local: the sender connects on its own behalf, as for a health check.
	Local bool
	// TLS is nil where nothing is said of TLS, as in version 1.
	TLS *TLS
}

// TLS is what the sender knows of a client's TLS, which it has taken off.
type TLS struct {
	// Client: the client is connected over TLS.
	Client bool
}

// The errors of Parse. All but ErrIncomplete are final.
var (
	// ErrIncomplete: what has come is the beginning of a header.
	ErrIncomplete = errors.New("the PROXY header is not complete")
	// ErrNone: the sender has begun with something else.
	ErrNone = errors.New("the first bytes are no PROXY header")
	// ErrTooLong: the header is longer than MaxHeader.
	ErrTooLong = fmt.Errorf("the PROXY header is longer than %d bytes", MaxHeader)
	// ErrMalformed is wrapped by what is wrong within a header.
	ErrMalformed = errors.New("the PROXY header is malformed")
)

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// Parse reads the header at the beginning of data, and returns how many bytes it
// has. It is to be called again with more while the error is ErrIncomplete.
func Parse(data []byte) (h Header, n int, err error) {
	switch {
	case begins(data, textStart):
		return parseText(data)
	case begins(data, signature):
		return parseBinary(data)
	}
	return Header{}, 0, ErrNone
}

// begins reports whether data begins with start, as far as either goes.
func begins(data []byte, start string) bool {
	n := min(len(data), len(start))
	return bytes.Equal(data[:n], []byte(start[:n]))
}

// sameFamily returns two addresses in one family: of two families both are IPv6.
// ok is false where the source is not known. A destination that is not is the
// unspecified address: who the client is counts for more.
func sameFamily(source, destination netip.AddrPort) (x, y netip.AddrPort, ok bool) {
	if !source.IsValid() {
		return source, destination, false
	}
	x, y = plain(source), plain(destination)
	switch {
	case !y.IsValid() || y.Addr().IsUnspecified():
		y = netip.AddrPortFrom(unspecified(x.Addr()), y.Port())
	case x.Addr().Is4() != y.Addr().Is4():
		x, y = as6(x), as6(y)
	}
	return x, y, true
}

// unspecified is the address that stands for none, in the family of another.
func unspecified(like netip.Addr) netip.Addr {
	if like.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// plain is an address without a zone, and as IPv4 where it is one.
func plain(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

func as6(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(a.Addr().As16()), a.Port())
}
