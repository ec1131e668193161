package proxyproto

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
)

// Bounds of a header, in bytes. The bound of version 1 is that of the specification. A
// header of version 2 could have 65,551 bytes; with the names in a certificate it has
// about 300.
const (
	maxText   = 107
	MaxHeader = 4 << 10
)

// Header is the content of a PROXY protocol header that the engine uses.
type Header struct {
	// Source and Destination are the addresses of the client's connection. Both are
	// invalid if the sender connects on its own behalf (LOCAL), or the header has no IP
	// addresses (UNKNOWN, UNSPEC, Unix sockets): then the addresses of the connection
	// itself apply.
	Source, Destination netip.AddrPort
	// Local reports whether the sender connects on its own behalf, as for a health
	// check.
	Local bool
	// TLS is nil if the header says nothing of TLS, as in version 1.
	TLS *TLS
}

// TLS is what the header says of a client's TLS, which the sender has terminated.
type TLS struct {
	// Client reports whether the client connected with TLS.
	Client bool
}

// The errors of Parse. All but ErrIncomplete are final.
var (
	// ErrIncomplete: the data is the beginning of a header.
	ErrIncomplete = errors.New("the PROXY header is not complete")
	// ErrNone: the data does not begin with a header.
	ErrNone = errors.New("the first bytes are no PROXY header")
	// ErrTooLong: the header is longer than MaxHeader.
	ErrTooLong = fmt.Errorf("the PROXY header is longer than %d bytes", MaxHeader)
	// ErrMalformed is wrapped by the errors of a malformed header.
	ErrMalformed = errors.New("the PROXY header is malformed")
)

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// Parse parses the header at the beginning of data, and returns its length in bytes. If
// the error is ErrIncomplete, call it again with more data.
func Parse(data []byte) (h Header, n int, err error) {
	switch {
	case begins(data, textStart):
		return parseText(data)
	case begins(data, signature):
		return parseBinary(data)
	}
	return Header{}, 0, ErrNone
}

// begins reports whether one of data and start is a prefix of the other.
func begins(data []byte, start string) bool {
	n := min(len(data), len(start))
	return bytes.Equal(data[:n], []byte(start[:n]))
}

// sameFamily returns both addresses in one family: IPv6 if they differ. ok is false if
// the source is not valid. A destination that is not valid becomes the unspecified
// address, because the client's address matters more.
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

// unspecified returns the unspecified address in the family of another one.
func unspecified(like netip.Addr) netip.Addr {
	if like.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// plain returns an address without zone, and an IPv4-mapped one as IPv4.
func plain(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

func as6(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(a.Addr().As16()), a.Port())
}
