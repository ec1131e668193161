package proxyproto

import (
	"encoding/binary"
	"hash/crc32"
	"net/netip"
)

// Version 2 (§2.2): a signature, version and command, family and transport, and
// the length of what follows: addresses, and then type-length-value fields.
const (
	signature = "\r\n\r\n\x00\r\nQUIT\n"
	headSize  = len(signature) + 4

	version2   = 0x20
	local      = 0
	proxied    = 1
	familyNone = 0
	family4    = 1
	family6    = 2
	familyUnix = 3

	transportNone     = 0
	transportStream   = 1
	transportDatagram = 2
)

// addressSizes are the sizes of both addresses together, by family, in bytes.
var addressSizes = [...]int{familyNone: 0, family4: 2 * (4 + 2), family6: 2 * (16 + 2), familyUnix: 2 * 108}

func parseBinary(data []byte) (Header, int, error) {
	if len(data) < headSize {
		return Header{}, 0, ErrIncomplete
	}
	if data[12]&0xf0 != version2 {
		return Header{}, 0, malformed("version %d", data[12]>>4)
	}
	n := headSize + int(binary.BigEndian.Uint16(data[14:]))
	switch {
	case n > MaxHeader:
		return Header{}, 0, ErrTooLong
	case len(data) < n:
		return Header{}, 0, ErrIncomplete
	}
	var h Header
	switch data[12] & 0x0f {
	case local: // its addresses must be ignored
		h.Local = true
		return h, n, nil
	case proxied:
	default:
		return Header{}, 0, malformed("command %d", data[12]&0x0f)
	}
	if err := h.readBinary(data[:n]); err != nil {
		return Header{}, 0, err
	}
	return h, n, nil
}

// readBinary parses the addresses and fields of a complete header.
func (h *Header) readBinary(data []byte) error {
	family, transport := data[13]>>4, data[13]&0x0f
	if family > familyUnix || transport > transportDatagram || (family == familyNone) != (transport == transportNone) {
		return malformed("family %d with transport %d", family, transport)
	}
	if family == familyNone {
		return nil // senders do not agree on the form of what follows
	}
	body, size := data[headSize:], addressSizes[family]
	if len(body) < size {
		return malformed("%d bytes for addresses of %d", len(body), size)
	}
	h.Source, h.Destination = ends(family, body)
	return h.readFields(data, headSize+size)
}

// ends parses IP addresses and ports.
func ends(family byte, body []byte) (source, destination netip.AddrPort) {
	size := 4
	switch family {
	case family4:
	case family6:
		size = 16
	default:
		return source, destination
	}
	from, _ := netip.AddrFromSlice(body[:size])
	to, _ := netip.AddrFromSlice(body[size : 2*size])
	ports := body[2*size:]
	return netip.AddrPortFrom(from.Unmap(), binary.BigEndian.Uint16(ports)), netip.AddrPortFrom(to.Unmap(), binary.BigEndian.Uint16(ports[2:]))
}

// castagnoli is the table of CRC-32C (RFC 4960 appendix B).
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum returns the checksum of a header. The four bytes at offset at, which are the
// checksum in the header, count as zeros.
func checksum(header []byte, at int) uint32 {
	sum := crc32.Update(0, castagnoli, header[:at])
	sum = crc32.Update(sum, castagnoli, make([]byte, 4))
	return crc32.Update(sum, castagnoli, header[at+4:])
}

// AppendBinary appends a header of version 2 for a stream. If source is not valid, the
// command is LOCAL.
func AppendBinary(dst []byte, source, destination netip.AddrPort) []byte {
	dst = append(dst, signature...)
	source, destination, known := sameFamily(source, destination)
	if !known {
		return append(dst, version2|local, familyNone<<4|transportNone, 0, 0)
	}
	family := byte(family4)
	if source.Addr().Is6() {
		family = family6
	}
	dst = append(dst, version2|proxied, family<<4|transportStream)
	dst = binary.BigEndian.AppendUint16(dst, uint16(addressSizes[family]))
	dst = append(dst, source.Addr().AsSlice()...)
	dst = append(dst, destination.Addr().AsSlice()...)
	dst = binary.BigEndian.AppendUint16(dst, source.Port())
	return binary.BigEndian.AppendUint16(dst, destination.Port())
}
