package sniff

import (
	"errors"
	"fmt"
	"strings"
)

// MaxHello bounds the bytes that may come before a whole ClientHello has: its
// records with their heads. With post-quantum key shares, tickets and many
// protocols one has some 2,000.
const MaxHello = 16 << 10

// Hello is what a ClientHello says in the clear.
type Hello struct {
	// ServerName is in lower case; empty if the client gave none.
	ServerName string
}

// The errors of Parse. All but ErrIncomplete are final.
var (
	// ErrIncomplete: what has come is the beginning of a ClientHello.
	ErrIncomplete = errors.New("the ClientHello is not complete")
	// ErrNotTLS: the client speaks something else.
	ErrNotTLS = errors.New("the first bytes are no TLS ClientHello")
	// ErrTooLong: the ClientHello is longer than MaxHello.
	ErrTooLong = fmt.Errorf("the ClientHello is longer than %d bytes", MaxHello)
	// ErrMalformed is wrapped by what is wrong within a ClientHello.
	ErrMalformed = errors.New("the ClientHello is malformed")
)

const (
	recordHandshake    = 22
	messageClientHello = 1
	extensionName      = 0
	extensionALPN      = 16

	recordHead  = 5
	messageHead = 4
	// recordMost is the longest record of plain text (RFC 8446 §5.1).
	recordMost = 1 << 14
	// recordVersions: the version of a record says nothing (RFC 8446 §5.1), but
	// for one that there will never be.
	recordVersions = 0x10
)

// Parse reads a ClientHello at the beginning of data. It is to be called again
// with more while the error is ErrIncomplete.
func Parse(data []byte) (Hello, error) {
	body, err := message(data[:min(len(data), MaxHello)])
	if err == ErrIncomplete && len(data) >= MaxHello {
		err = ErrTooLong
	}
	if err != nil {
		return Hello{}, err
	}
	return parse(body)
}

// message returns the body of the ClientHello. It may be spread over several
// records, and is copied only then.
func message(data []byte) ([]byte, error) {
	var gathered []byte
	for first := true; ; first = false {
		payload, whole, err := record(data, first)
		if err != nil {
			return nil, err
		}
		if first {
			gathered = payload[:len(payload):len(payload)] // what follows is copied behind it
		} else {
			gathered = append(gathered, payload...)
		}
		if len(gathered) > 0 && gathered[0] != messageClientHello {
			return nil, ErrNotTLS
		}
		if len(gathered) >= messageHead {
			end := messageHead + (int(gathered[1])<<16 | int(gathered[2])<<8 | int(gathered[3]))
			switch {
			case end > MaxHello:
				return nil, ErrTooLong
			case len(gathered) >= end:
				return gathered[messageHead:end], nil
			}
		}
		if !whole {
			return nil, ErrIncomplete
		}
		data = data[recordHead+len(payload):]
	}
}

// record returns what has come of a record's payload, and whether that is all
// of it. What the first one is not is no TLS; later ones are malformed.
func record(data []byte, first bool) (payload []byte, whole bool, err error) {
	wrong := ErrNotTLS
	if !first {
		wrong = malformed("a record of another kind stands between")
	}
	if len(data) > 0 && data[0] != recordHandshake || len(data) > 1 && data[1] >= recordVersions {
		return nil, false, wrong
	}
	if len(data) < recordHead {
		return nil, false, nil
	}
	length := int(data[3])<<8 | int(data[4])
	if length == 0 || length > recordMost {
		return nil, false, malformed("a record of %d bytes", length)
	}
	data = data[recordHead:]
	return data[:min(length, len(data))], len(data) >= length, nil
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// parse reads the body of a ClientHello.
func parse(body []byte) (hello Hello, err error) {
	r := reader{rest: body}
	r.take(2 + 32) // legacy_version, random
	r.vector(1)    // legacy_session_id
	r.vector(2)    // cipher_suites
	r.vector(1)    // legacy_compression_methods
	if len(r.rest) == 0 && !r.failed {
		return hello, nil // TLS 1.2 may go without extensions
	}
	extensions := reader{rest: r.vector(2), failed: r.failed}
	if len(r.rest) > 0 {
		extensions.failed = true
	}
	seen := map[int]bool{}
	for len(extensions.rest) > 0 && !extensions.failed {
		kind := extensions.number(2)
		content := reader{rest: extensions.vector(2)}
		if seen[kind] {
			return Hello{}, malformed("extension %d stands twice", kind)
		}
		seen[kind] = true
		switch kind {
		case extensionName:
			hello.ServerName, err = serverName(content)
		case extensionALPN:
			err = checkProtocols(content)
		}
		if err != nil && !extensions.failed {
			return Hello{}, err
		}
	}
	if extensions.failed {
		return Hello{}, malformed("a length that is not so")
	}
	return hello, nil
}

// serverName reads a ServerNameList, of which only one name of type host_name
// counts.
func serverName(list reader) (name string, err error) {
	names := reader{rest: list.vector(2), failed: list.failed || len(list.rest) > 0}
	if names.failed || len(names.rest) == 0 {
		return "", malformed("the list of server names")
	}
	for len(names.rest) > 0 && !names.failed {
		kind, text := names.number(1), names.vector(2)
		switch {
		case kind != 0 || names.failed:
			continue
		case name != "":
			return "", malformed("two server names")
		case len(text) == 0 || !isHostName(text):
			return "", malformed("the server name %.100q", text)
		}
		name = strings.ToLower(string(text))
	}
	if names.failed {
		return "", malformed("the list of server names")
	}
	return name, nil
}

// isHostName reports whether text is ASCII without what no name has (RFC 6066
// §3: no dot at its end).
func isHostName(text []byte) bool {
	for _, c := range text {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return text[len(text)-1] != '.'
}

// checkProtocols refuses a ProtocolNameList that no server would accept. What
// stands in it nobody asks.
func checkProtocols(list reader) error {
	names := reader{rest: list.vector(2), failed: list.failed || len(list.rest) > 0}
	if names.failed || len(names.rest) == 0 {
		return malformed("the list of protocols")
	}
	for len(names.rest) > 0 {
		if name := names.vector(1); names.failed || len(name) == 0 {
			return malformed("the list of protocols")
		}
	}
	return nil
}

// reader takes values off the front of rest. Once something is missing it has
// failed, and everything that it returns is empty.
type reader struct {
	rest   []byte
	failed bool
}

func (r *reader) take(n int) []byte {
	if r.failed || n > len(r.rest) {
		r.failed, r.rest = true, nil
		return nil
	}
	out := r.rest[:n]
	r.rest = r.rest[n:]
	return out
}

// number reads an integer of size bytes.
func (r *reader) number(size int) (n int) {
	for _, b := range r.take(size) {
		n = n<<8 | int(b)
	}
	return n
}

// vector reads a length of size bytes, and that many bytes.
func (r *reader) vector(size int) []byte { return r.take(r.number(size)) }
