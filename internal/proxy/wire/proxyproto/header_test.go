package proxyproto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	client4 = netip.MustParseAddrPort("255.255.255.255:65535")
	server4 = netip.MustParseAddrPort("192.0.2.1:443")
	client6 = netip.MustParseAddrPort("[ffff:f:1:22:333:4444:5555:6666]:65535")
	server6 = netip.MustParseAddrPort("[2001:db8::1]:80")
)

// binaryHeader returns a header of version 2, written by hand.
func binaryHeader(command, family byte, body ...[]byte) string {
	all := bytes.Join(body, nil)
	head := append([]byte("\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a"), command, family)
	return string(append(binary.BigEndian.AppendUint16(head, uint16(len(all))), all...))
}

func field(kind byte, value string) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{kind}, uint16(len(value))), value...)
}

var (
	body4 = []byte("\xff\xff\xff\xff" + "\xc0\x00\x02\x01" + "\xff\xff" + "\x01\xbb")
	body6 = []byte("\xff\xff\x00\x0f\x00\x01\x00\x22\x03\x33\x44\x44\x55\x55\x66\x66" +
		"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" + "\xff\xff" + "\x00\x50")
	unix = make([]byte, 216)
)

func valid() map[string]Header {
	tls := "\x03\x00\x00\x00\x00" + string(field(0x21, "TLSv1.3")) + string(field(0x22, "alice")) + string(field(0x23, "TLS_AES_128_GCM_SHA256"))
	return map[string]Header{
		// §2.1, with the longest lines that are possible.
		"PROXY TCP4 255.255.255.255 192.0.2.1 65535 443\r\n":                    {Source: client4, Destination: server4},
		"PROXY TCP6 ffff:f:1:22:333:4444:5555:6666 2001:db8::1 65535 80\r\n":    {Source: client6, Destination: server6},
		"PROXY TCP6 FFFF:000f:1:22:333:4444:5555:6666 2001:DB8::1 65535 80\r\n": {Source: client6, Destination: server6},
		"PROXY TCP6 ::ffff:c000:201 ::ffff:192.0.2.1 0 443\r\n":                 {Source: netip.MustParseAddrPort("192.0.2.1:0"), Destination: server4},
		"PROXY UNKNOWN\r\n": {},
		"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n": {},
		"PROXY UNKNOWN whatever  stands here\r\n": {},
		// §2.2
		binaryHeader(0x21, 0x11, body4): {Source: client4, Destination: server4},
		binaryHeader(0x21, 0x12, body4): {Source: client4, Destination: server4},
		binaryHeader(0x21, 0x21, body6): {Source: client6, Destination: server6},
		binaryHeader(0x21, 0x31, unix):  {},
		binaryHeader(0x21, 0x00):        {},
		binaryHeader(0x21, 0x00, body4): {},
		// For LOCAL everything is ignored, including the family.
		binaryHeader(0x20, 0x00):                 {Local: true},
		binaryHeader(0x20, 0xff, []byte("junk")): {Local: true},
		// Fields, known and unknown.
		binaryHeader(0x21, 0x11, body4, field(0x01, "h2"), field(0x02, "shop.example.com"), field(0x04, "\x00\x00"), field(0x05, "id-1"), field(0x20, tls), field(0xea, "vpce")): {
			Source: client4, Destination: server4, TLS: &TLS{Client: true},
		},
		binaryHeader(0x21, 0x11, body4, field(0x20, "\x01\x00\x00\x00\x00")):                       {Source: client4, Destination: server4, TLS: &TLS{Client: true}},
		binaryHeader(0x21, 0x11, body4, field(0x20, "\x07\x00\x00\x00\x12")):                       {Source: client4, Destination: server4, TLS: &TLS{Client: true}},
		summed(binaryHeader(0x21, 0x11, body4, field(0x03, "\x00\x00\x00\x00"), field(0x02, "a"))): {Source: client4, Destination: server4},
	}
}

// summed sets the checksum of a header whose first field is one. It has its own
// table-driven CRC-32C (RFC 4960 appendix B).
func summed(header string) string {
	out, at := []byte(header), headSize+len(body4)+3
	crc := ^uint32(0)
	for _, b := range out {
		crc ^= uint32(b)
		for range 8 {
			crc = crc>>1 ^ 0x82f63b78&-(crc&1)
		}
	}
	binary.BigEndian.PutUint32(out[at:], ^crc)
	return string(out)
}

func TestParse(t *testing.T) {
	for text, want := range valid() {
		data := []byte(text + "GET / HTTP/1.1\r\n")
		got, n, err := Parse(data)
		if err != nil || n != len(text) {
			t.Errorf("%q: %d bytes, %v", text, n, err)
		}
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
		for i := range len(text) {
			if _, _, err := Parse(data[:i]); err != ErrIncomplete {
				t.Errorf("the first %d bytes of %q: %v", i, text, err)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]error{
		"GET / HTTP/1.1\r\n":                     ErrNone,
		"\x16\x03\x01":                           ErrNone,
		"PRI * HTTP/2.0\r\n":                     ErrNone,
		"PROXy TCP4":                             ErrNone,
		"proxy TCP4":                             ErrNone,
		"\r\n\r\n\x00\r\nQUIX":                   ErrNone,
		"\r\nPROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n": ErrNone,

		"PROXY \r\n":                                       ErrMalformed,
		"PROXY UNKNOWNS\r\n":                               ErrMalformed,
		"PROXY TCP5 1.1.1.1 2.2.2.2 1 2\r\n":               ErrMalformed,
		"PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n":                 ErrMalformed,
		"PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n":             ErrMalformed,
		"PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n":              ErrMalformed,
		"PROXY TCP4  1.1.1.1 2.2.2.2 1 2\r\n":              ErrMalformed,
		"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n":                 ErrIncomplete,
		"PROXY TCP4 01.1.1.1 2.2.2.2 1 2\r\n":              ErrMalformed,
		"PROXY TCP4 1.1.1 2.2.2.2 1 2\r\n":                 ErrMalformed,
		"PROXY TCP4 1.1.1.256 2.2.2.2 1 2\r\n":             ErrMalformed,
		"PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n":              ErrMalformed,
		"PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n":              ErrMalformed,
		"PROXY TCP4 1.1.1.1 2.2.2.2 65536 2\r\n":           ErrMalformed,
		"PROXY TCP4 1.1.1.1 2.2.2.2 -1 2\r\n":              ErrMalformed,
		"PROXY TCP4 ::1 ::2 1 2\r\n":                       ErrMalformed,
		"PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n":               ErrMalformed,
		"PROXY TCP6 fe80::1%eth0 ::2 1 2\r\n":              ErrMalformed,
		"PROXY TCP6 1::2::3 ::2 1 2\r\n":                   ErrMalformed,
		"PROXY UNKNOWN " + strings.Repeat("x", 93):         ErrMalformed,
		"PROXY UNKNOWN" + strings.Repeat("x", 94) + "\r\n": ErrMalformed,

		binaryHeader(0x11, 0x11, body4):                                              ErrMalformed,
		binaryHeader(0x31, 0x11, body4):                                              ErrMalformed,
		binaryHeader(0x22, 0x11, body4):                                              ErrMalformed,
		binaryHeader(0x21, 0x41, body4):                                              ErrMalformed,
		binaryHeader(0x21, 0x13, body4):                                              ErrMalformed,
		binaryHeader(0x21, 0x10, body4):                                              ErrMalformed,
		binaryHeader(0x21, 0x01, body4):                                              ErrMalformed,
		binaryHeader(0x21, 0x11, body4[:11]):                                         ErrMalformed,
		binaryHeader(0x21, 0x21, body4):                                              ErrMalformed,
		binaryHeader(0x21, 0x31, body6):                                              ErrMalformed,
		binaryHeader(0x21, 0x11, body4, []byte{4, 0}):                                ErrMalformed,
		binaryHeader(0x21, 0x11, body4, []byte{4, 0, 9, 0}):                          ErrMalformed,
		binaryHeader(0x21, 0x11, body4, field(0x05, strings.Repeat("x", 129))):       ErrMalformed,
		binaryHeader(0x21, 0x11, body4, field(0x03, "\x00\x00\x00\x00")):             ErrMalformed,
		binaryHeader(0x21, 0x11, body4, field(0x03, "\x00\x00\x00")):                 ErrMalformed,
		binaryHeader(0x21, 0x11, body4, field(0x20, "\x01\x00\x00\x00")):             ErrMalformed,
		binaryHeader(0x21, 0x11, body4, field(0x20, "\x01\x00\x00\x00\x00\x21\x00")): ErrMalformed,
		binaryHeader(0x21, 0x11, make([]byte, MaxHeader-15)):                         ErrTooLong,
		binaryHeader(0x20, 0x00, make([]byte, 0xffff))[:16]:                          ErrTooLong,
	} {
		if _, _, err := Parse([]byte(text)); !errors.Is(err, want) {
			t.Errorf("%.60q: %v instead of %v", text, err, want)
		}
	}
}

func TestAppend(t *testing.T) {
	mapped := netip.MustParseAddrPort("[::ffff:192.0.2.1]:443")
	zoned := netip.MustParseAddrPort("[fe80::1%eth0]:7")
	for _, c := range []struct {
		source, destination netip.AddrPort
		text, binary        string
	}{
		{client4, server4, "PROXY TCP4 255.255.255.255 192.0.2.1 65535 443\r\n", binaryHeader(0x21, 0x11, body4)},
		{client4, mapped, "PROXY TCP4 255.255.255.255 192.0.2.1 65535 443\r\n", binaryHeader(0x21, 0x11, body4)},
		{client6, server6, "PROXY TCP6 ffff:f:1:22:333:4444:5555:6666 2001:db8::1 65535 80\r\n", binaryHeader(0x21, 0x21, body6)},
		{
			server6, server4, "PROXY TCP6 2001:db8::1 ::ffff:c000:201 80 443\r\n",
			binaryHeader(0x21, 0x21, body6[16:32], []byte("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x01\x00\x50\x01\xbb")),
		},
		{zoned, server6, "PROXY TCP6 fe80::1 2001:db8::1 7 80\r\n", binaryHeader(0x21, 0x21, []byte("\xfe\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"), body6[16:32], []byte{0, 7, 0, 80})},
		{netip.AddrPort{}, server4, "PROXY UNKNOWN\r\n", binaryHeader(0x20, 0x00)},
		{client4, netip.AddrPort{}, "PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n", binaryHeader(0x21, 0x11, body4[:4], make([]byte, 4), []byte("\xff\xff\x00\x00"))},
		{client4, netip.MustParseAddrPort("[::]:443"), "PROXY TCP4 255.255.255.255 0.0.0.0 65535 443\r\n", binaryHeader(0x21, 0x11, body4[:4], make([]byte, 4), []byte("\xff\xff\x01\xbb"))},
		{client6, netip.MustParseAddrPort("0.0.0.0:80"), "PROXY TCP6 ffff:f:1:22:333:4444:5555:6666 :: 65535 80\r\n", binaryHeader(0x21, 0x21, body6[:16], make([]byte, 16), []byte("\xff\xff\x00\x50"))},
	} {
		if got := string(AppendText([]byte("x"), c.source, c.destination)); got != "x"+c.text {
			t.Errorf("%s to %s: %q", c.source, c.destination, got)
		}
		if got := string(AppendBinary([]byte("x"), c.source, c.destination)); got != "x"+c.binary {
			t.Errorf("%s to %s: %q", c.source, c.destination, got)
		}
	}
}

// FuzzParse compares reading with writing: a header is the same after writing and
// reading it again, except for the family of an unspecified destination. An error does
// not change with more data, and the bytes after a header do not change the result.
func FuzzParse(f *testing.F) {
	for text := range valid() {
		f.Add([]byte(text))
	}
	f.Add([]byte("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		h, n, err := Parse(data)
		if !bytes.Equal(data, before) {
			t.Fatal("the bytes were changed")
		}
		longer, m, again := Parse(append(data, 'x'))
		switch {
		case errors.Is(err, ErrIncomplete):
			if len(data) >= MaxHeader {
				t.Fatalf("%d bytes are not the end", len(data))
			}
			return
		case err != nil:
			if again == nil || errors.Is(again, ErrIncomplete) {
				t.Fatalf("%v is not final: with one byte more %v", err, again)
			}
			return
		case n > len(data) || n > MaxHeader || m != n || !cmp.Equal(h, longer, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })):
			t.Fatalf("%d bytes, and then %d; %v and %v", n, m, h, longer)
		}
		for _, write := range []func([]byte, netip.AddrPort, netip.AddrPort) []byte{AppendText, AppendBinary} {
			copied, _, err := Parse(write(nil, h.Source, h.Destination))
			if h.Destination.Addr().IsUnspecified() {
				h.Destination = netip.AddrPortFrom(unspecified(h.Source.Addr()), h.Destination.Port())
			}
			if err != nil || copied.Source != h.Source || copied.Destination != h.Destination {
				t.Fatalf("%v was written as %v, %v", h, copied, err)
			}
		}
	})
}
