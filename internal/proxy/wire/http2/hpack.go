package http2

import "windrose.dev/windrose/internal/proxy/wire/section"

// staticNames has the first index of each name in the static table (RFC 7541 appendix
// A), except for pseudo-header fields with several values.
var staticNames = map[string]uint8{
	":authority": 1, ":method": 2, ":path": 4, ":scheme": 6, ":status": 8,
	"accept-charset": 15, "accept-encoding": 16, "accept-language": 17, "accept-ranges": 18, "accept": 19,
	"access-control-allow-origin": 20, "age": 21, "allow": 22, "authorization": 23, "cache-control": 24,
	"content-disposition": 25, "content-encoding": 26, "content-language": 27, "content-length": 28,
	"content-location": 29, "content-range": 30, "content-type": 31, "cookie": 32, "date": 33, "etag": 34,
	"expect": 35, "expires": 36, "from": 37, "host": 38, "if-match": 39, "if-modified-since": 40,
	"if-none-match": 41, "if-range": 42, "if-unmodified-since": 43, "last-modified": 44, "link": 45,
	"location": 46, "max-forwards": 47, "proxy-authenticate": 48, "proxy-authorization": 49, "range": 50,
	"referer": 51, "refresh": 52, "retry-after": 53, "server": 54, "set-cookie": 55,
	"strict-transport-security": 56, "transfer-encoding": 57, "user-agent": 58, "vary": 59, "via": 60,
	"www-authenticate": 61,
}

// staticPairs has the entries of the static table with a value.
var staticPairs = map[string]uint8{
	":method\x00GET": 2, ":method\x00POST": 3, ":path\x00/": 4, ":path\x00/index.html": 5,
	":scheme\x00http": 6, ":scheme\x00https": 7, "accept-encoding\x00gzip, deflate": 16,
}

var staticStatus = map[int]uint8{200: 8, 204: 9, 206: 10, 304: 11, 400: 12, 404: 13, 500: 14}

func appendStatus(dst []byte, status int) []byte {
	if index := staticStatus[status]; index != 0 {
		return append(dst, 0x80|index)
	}
	digits := section.Digits(status)
	return section.AppendString(append(dst, staticNames[":status"]), digits[:])
}

// appendField appends a field as an entry of the static table, or as a literal that is
// not indexed (RFC 7541 §6.2.2, §6.2.3). The name is written in lower case.
func appendField(dst, name, value []byte) []byte {
	var lower [section.LongestName]byte
	index, prefix := uint8(0), byte(0)
	if short := section.Lower(&lower, name); short != nil {
		if index = staticNames[string(short)]; index > 0 {
			if pair := pairOf(short, value); pair != 0 {
				return append(dst, 0x80|pair)
			}
			if section.Secret(short) {
				prefix = 0x10
			}
		}
	}
	if index > 0 {
		dst = section.AppendInteger(append(dst, prefix), 4, int(index))
	} else {
		dst = section.AppendLower(section.AppendInteger(append(dst, prefix, 0), 7, len(name)), name)
	}
	return section.AppendString(dst, value)
}

// pairOf returns the index of name and value in the static table, or 0.
func pairOf(name, value []byte) uint8 {
	if name[0] != ':' && name[0] != 'a' || len(value) > 16 {
		return 0
	}
	var pair [section.LongestName + 17]byte
	n := copy(pair[:], name)
	pair[n] = 0
	n += 1 + copy(pair[n+1:], value)
	return staticPairs[string(pair[:n])]
}
