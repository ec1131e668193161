package proxyproto

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"

	"windrose.dev/windrose/internal/proxy/msg"
)

// Version 1 (§2.1): one line, with one space between its words.
const (
	textStart = "PROXY "
	unknown   = "UNKNOWN"
)

var crlf = []byte("\r\n")

func parseText(data []byte) (Header, int, error) {
	end := bytes.Index(data[:min(len(data), maxText)], crlf)
	switch {
	case end >= 0:
	case len(data) >= maxText:
		return Header{}, 0, malformed("no end of the line in its first %d bytes", maxText)
	default:
		return Header{}, 0, ErrIncomplete
	}
	h, err := parseLine(string(data[len(textStart):end]))
	if err != nil {
		return Header{}, 0, err
	}
	return h, end + len(crlf), nil
}

// parseLine parses what follows PROXY. After UNKNOWN the rest is ignored.
func parseLine(line string) (Header, error) {
	var h Header
	family, rest, _ := strings.Cut(line, " ")
	switch family {
	case unknown:
		return h, nil
	case "TCP4", "TCP6":
	default:
		return h, malformed("the protocol %.20q", family)
	}
	words := strings.Split(rest, " ")
	if len(words) != 4 {
		return h, malformed("%d words instead of two addresses and two ports", len(words))
	}
	var err error
	if h.Source, err = parseEnd(family, words[0], words[2]); err == nil {
		h.Destination, err = parseEnd(family, words[1], words[3])
	}
	return h, err
}

func parseEnd(family, address, port string) (netip.AddrPort, error) {
	addr, err := netip.ParseAddr(address)
	if err != nil || addr.Zone() != "" || addr.Is4() != (family == "TCP4") {
		return netip.AddrPort{}, malformed("%.50q is no address of %s", address, family)
	}
	n, ok := msg.ParsePort(port)
	if !ok || port[0] == '0' && len(port) > 1 {
		return netip.AddrPort{}, malformed("%.50q is no port", port)
	}
	return netip.AddrPortFrom(addr.Unmap(), n), nil
}

// AppendText appends a header of version 1. If source is not valid, it writes UNKNOWN.
func AppendText(dst []byte, source, destination netip.AddrPort) []byte {
	source, destination, known := sameFamily(source, destination)
	if !known {
		return append(dst, textStart+unknown+"\r\n"...)
	}
	family := "TCP4 "
	if source.Addr().Is6() {
		family = "TCP6 "
	}
	dst = append(append(dst, textStart...), family...)
	dst = append(appendAddr(dst, source.Addr()), ' ')
	dst = append(appendAddr(dst, destination.Addr()), ' ')
	dst = append(strconv.AppendUint(dst, uint64(source.Port()), 10), ' ')
	dst = strconv.AppendUint(dst, uint64(destination.Port()), 10)
	return append(dst, crlf...)
}

// appendAddr appends an address. IPv6 is written in hexadecimal only, even if it
// contains an IPv4 address: the specification permits no other form.
func appendAddr(dst []byte, a netip.Addr) []byte {
	if !a.Is4In6() {
		return a.AppendTo(dst)
	}
	raw := a.As16()
	dst = append(dst, "::ffff:"...)
	dst = strconv.AppendUint(dst, uint64(raw[12])<<8|uint64(raw[13]), 16)
	dst = append(dst, ':')
	return strconv.AppendUint(dst, uint64(raw[14])<<8|uint64(raw[15]), 16)
}
