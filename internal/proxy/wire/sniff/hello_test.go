package sniff

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// helloOf returns the ClientHello that crypto/tls sends.
func helloOf(t testing.TB, config *tls.Config) []byte {
	t.Helper()
	client, server := net.Pipe()
	defer server.Close()
	go func() {
		tls.Client(client, config).HandshakeContext(context.Background())
		client.Close()
	}()
	head := make([]byte, recordHead)
	if _, err := io.ReadFull(server, head); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, int(head[3])<<8|int(head[4]))
	if _, err := io.ReadFull(server, body); err != nil {
		t.Fatal(err)
	}
	return append(head, body...)
}

// understood returns what a crypto/tls server reads from the same bytes.
func understood(data []byte) (hello Hello, ok bool) {
	conn := &oneWay{r: bytes.NewReader(data)}
	tls.Server(conn, &tls.Config{GetConfigForClient: func(info *tls.ClientHelloInfo) (*tls.Config, error) {
		hello, ok = Hello{strings.ToLower(info.ServerName)}, true
		return nil, errors.New("seen enough")
	}}).Handshake()
	return hello, ok
}

// oneWay is a connection that can only be read.
type oneWay struct{ r io.Reader }

func (c *oneWay) Read(p []byte) (int, error)       { return c.r.Read(p) }
func (c *oneWay) Write(p []byte) (int, error)      { return len(p), nil }
func (c *oneWay) Close() error                     { return nil }
func (c *oneWay) LocalAddr() net.Addr              { return nil }
func (c *oneWay) RemoteAddr() net.Addr             { return nil }
func (c *oneWay) SetDeadline(time.Time) error      { return nil }
func (c *oneWay) SetReadDeadline(time.Time) error  { return nil }
func (c *oneWay) SetWriteDeadline(time.Time) error { return nil }

// split splits the message of one record into records of size bytes.
func split(hello []byte, size int) []byte {
	var out []byte
	for part := range slices.Chunk(hello[recordHead:], size) {
		out = append(out, recordHandshake, 3, 1, byte(len(part)>>8), byte(len(part)))
		out = append(out, part...)
	}
	return out
}

// clients are the clients whose ClientHellos are parsed; want is the expected result.
var clients = []struct {
	config *tls.Config
	want   Hello
}{
	{&tls.Config{ServerName: "Shop.Example.com"}, Hello{ServerName: "shop.example.com"}},
	{&tls.Config{InsecureSkipVerify: true}, Hello{}},
	{&tls.Config{ServerName: "127.0.0.1"}, Hello{}}, // an IP address is not a server name
	{
		&tls.Config{ServerName: "a.example", NextProtos: []string{"h2", "http/1.1"}},
		Hello{"a.example"},
	},
	{&tls.Config{ServerName: "a.example", MaxVersion: tls.VersionTLS12}, Hello{ServerName: "a.example"}},
	{&tls.Config{ServerName: "a.example", CurvePreferences: []tls.CurveID{tls.X25519MLKEM768}}, Hello{ServerName: "a.example"}},
	{
		&tls.Config{ServerName: "a.example", NextProtos: slices.Repeat([]string{strings.Repeat("p", 200)}, 50)},
		Hello{"a.example"},
	},
}

func TestParse(t *testing.T) {
	largest := 0
	for i, c := range clients {
		hello := helloOf(t, c.config)
		largest = max(largest, len(hello))
		for _, data := range [][]byte{hello, split(hello, 100), split(hello, 3), slices.Concat(hello, []byte("what comes after"))} {
			got, err := Parse(data)
			if len(data) > MaxHello {
				if !errors.Is(err, ErrTooLong) {
					t.Errorf("%d: %d bytes: %v", i, len(data), err)
				}
				continue
			}
			if err != nil || got != c.want {
				t.Errorf("%d: %+v %v", i, got, err)
			}
		}
	}
	if largest < 10_000 {
		t.Errorf("the largest has %d bytes, which is less than what is to be tried", largest)
	}
}

// TestParseBytewise: every part of a ClientHello is incomplete.
func TestParseBytewise(t *testing.T) {
	for i, c := range clients {
		hello := helloOf(t, c.config)
		for _, data := range [][]byte{hello, split(hello, 64)} {
			for n := 0; n < len(data); n += 1 + len(data)/1000 {
				if _, err := Parse(data[:n]); err != ErrIncomplete {
					t.Fatalf("%d: %d of %d bytes: %v", i, n, len(data), err)
				}
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	good := helloOf(t, &tls.Config{ServerName: "a.example", NextProtos: []string{"h2"}})
	changed := func(change func(b []byte) []byte) []byte { return change(bytes.Clone(good)) }
	name := bytes.Index(good, []byte("a.example"))
	alpn := bytes.Index(good, []byte("\x02h2"))
	for _, test := range []struct {
		name string
		data []byte
		want error
	}{
		{"HTTP", []byte("GET / HTTP/1.1\r\n"), ErrNotTLS},
		{"one byte of something else", []byte("S"), ErrNotTLS},
		{"SSL 2", []byte{0x80, 0x2e, 1, 3, 1}, ErrNotTLS},
		{"an alert", []byte{21, 3, 1, 0, 2, 1, 0}, ErrNotTLS},
		{"text that begins with the same byte", []byte("\x16GET"), ErrNotTLS},
		{"another message", changed(func(b []byte) []byte { b[5] = 2; return b }), ErrNotTLS},
		{"an empty record", []byte{22, 3, 1, 0, 0}, ErrMalformed},
		{"a record too long", []byte{22, 3, 1, 0x40, 1}, ErrMalformed},
		{"a message too long", []byte{22, 3, 1, 0, 4, 1, 0, 0x40, 0}, ErrTooLong},
		{"another record between", append(split(good, 100)[:105], 23, 3, 3, 0, 1, 0), ErrMalformed},
		{"a name with a space", changed(func(b []byte) []byte { b[name] = ' '; return b }), ErrMalformed},
		{"a name with a NUL", changed(func(b []byte) []byte { b[name+1] = 0; return b }), ErrMalformed},
		{"a name with a dot at its end", changed(func(b []byte) []byte { b[name+8] = '.'; return b }), ErrMalformed},
		{"a name of no length", changed(func(b []byte) []byte { b[name-1] = 0; return b }), ErrMalformed},
		{"a name that is too long for its list", changed(func(b []byte) []byte { b[name-1]++; return b }), ErrMalformed},
		{"a list of names that ends early", changed(func(b []byte) []byte { b[name-4]--; return b }), ErrMalformed},
		{"a protocol that is too long for its list", changed(func(b []byte) []byte { b[alpn]++; return b }), ErrMalformed},
		{"a protocol without a name", changed(func(b []byte) []byte { b[alpn] = 0; return b }), ErrMalformed},
		{"a message that ends in its midst", changed(func(b []byte) []byte { b[8] = 40; b[7] = 0; return b }), ErrMalformed},
	} {
		if got, err := Parse(test.data); !errors.Is(err, test.want) {
			t.Errorf("%s: %+v, %v", test.name, got, err)
		}
	}
	twice := extended(good, []byte{0, extensionALPN, 0, 5, 0, 3, 2, 'h', '2'})
	if _, err := Parse(twice); !errors.Is(err, ErrMalformed) {
		t.Errorf("an extension that stands twice: %v", err)
	}
}

// extended adds an extension to a ClientHello in one record.
func extended(hello, extension []byte) []byte {
	out := append(bytes.Clone(hello), extension...)
	r := reader{rest: hello[recordHead+messageHead:]}
	r.take(34)
	r.vector(1)
	r.vector(2)
	r.vector(1)
	at := len(hello) - len(r.rest)
	grow := func(at int) {
		n := int(out[at])<<8 | int(out[at+1]) + len(extension)
		out[at], out[at+1] = byte(n>>8), byte(n)
	}
	grow(3)
	grow(7)
	grow(at)
	return out
}

// TestSlowHelloIsBounded: a ClientHello in records of one byte, read byte by byte, is
// rejected at the bound.
func TestSlowHelloIsBounded(t *testing.T) {
	data := []byte{recordHandshake, 3, 1, 0, 4, messageClientHello, 0, 0x3f, 0xfc}
	for len(data) < MaxHello {
		if _, err := Parse(data); err != ErrIncomplete {
			t.Fatalf("%d bytes: %v", len(data), err)
		}
		data = append(data, recordHandshake, 3, 1, 0, 1, 'x')
	}
	if _, err := Parse(data); err != ErrTooLong {
		t.Errorf("%d bytes: %v", len(data), err)
	}
}

// FuzzParse compares with crypto/tls: what that accepts is accepted with the same
// result. It makes more checks, so it does not accept all that we do.
func FuzzParse(f *testing.F) {
	for _, c := range clients {
		hello := helloOf(f, c.config)
		f.Add(hello)
		f.Add(split(hello, 50))
		f.Add(hello[:len(hello)/2])
		f.Add(extended(hello, []byte{0, extensionALPN, 0, 5, 0, 3, 2, 'h', '2'}))
	}
	f.Add([]byte("GET / HTTP/1.1\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		got, err := Parse(data)
		if !bytes.Equal(data, before) {
			t.Fatal("the bytes were changed")
		}
		if err != nil && !errors.Is(err, ErrIncomplete) {
			if _, again := Parse(append(data, 0)); again == nil || errors.Is(again, ErrIncomplete) {
				t.Fatalf("%v is not final: with one byte more %v", err, again)
			}
		}
		want, ok := understood(data)
		switch {
		case !ok || errors.Is(err, ErrTooLong):
			return
		case err != nil && isHostName([]byte(want.ServerName+"a")):
			t.Fatalf("crypto/tls reads %+v, and here it is %v", want, err)
		case err == nil && got != want:
			t.Fatalf("crypto/tls reads %+v, and here it is %+v", want, got)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	hello := helloOf(b, &tls.Config{ServerName: "a.example"})
	b.SetBytes(int64(len(hello)))
	for range b.N {
		if _, err := Parse(hello); err != nil {
			b.Fatal(err)
		}
	}
}
