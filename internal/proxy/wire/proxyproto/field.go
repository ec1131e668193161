package proxyproto

import "encoding/binary"

// The types of the fields that are read (§2.2.1 to §2.2.8). Other fields are ignored,
// as the specification requires.
const (
	typeChecksum = 0x03
	typeUniqueID = 0x05
	typeTLS      = 0x20

	maxUniqueID = 128
	clientTLS   = 0x01
)

// eachField calls do for each field in data, with the offset of its value.
func eachField(data []byte, do func(kind byte, value []byte, at int) error) error {
	for at := 0; at < len(data); {
		if len(data)-at < 3 {
			return malformed("a field of %d bytes", len(data)-at)
		}
		size := int(binary.BigEndian.Uint16(data[at+1:]))
		value := data[at+3:]
		if len(value) < size {
			return malformed("a field of type %#x and %d bytes, of which there are %d", data[at], size, len(value))
		}
		if err := do(data[at], value[:size], at+3); err != nil {
			return err
		}
		at += 3 + size
	}
	return nil
}

// readFields reads the fields of a header, from offset start on.
func (h *Header) readFields(header []byte, start int) error {
	return eachField(header[start:], func(kind byte, value []byte, at int) error {
		switch kind {
		case typeChecksum:
			if len(value) != 4 || checksum(header, start+at) != binary.BigEndian.Uint32(value) {
				return malformed("its checksum is not right")
			}
		case typeUniqueID:
			if len(value) > maxUniqueID {
				return malformed("a unique ID of %d bytes", len(value))
			}
		case typeTLS:
			return h.readTLS(value)
		}
		return nil
	})
}

// readTLS reads the TLS field. Only the lengths of its subfields are checked.
func (h *Header) readTLS(data []byte) error {
	const size = 1 + 4 // client flags, and the result of verifying the certificate
	if len(data) < size {
		return malformed("%d bytes about TLS", len(data))
	}
	h.TLS = &TLS{Client: data[0]&clientTLS != 0}
	return eachField(data[size:], func(byte, []byte, int) error { return nil })
}
