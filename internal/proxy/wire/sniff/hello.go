package sniff

import (
	"errors"
	"fmt"
	"strings"
)

// MaxHello bounds the bytes of a ClientHello: its records with their headers. With
// post-quantum key shares, tickets and many protocols it has about 2,000.
const MaxHello = 16 << 10

// Hello is what a ClientHello contains unencrypted.
type Hello struct {
	// ServerName is in lower case; empty if the client sent none.
	ServerName string
}

// The errors of Parse. All but ErrIncomplete are final.
var (
	// ErrIncomplete: the data is the beginning of a ClientHello.
	ErrIncomplete = errors.New("the ClientHello is not complete")
	// ErrNotTLS: the client does not speak TLS.
	ErrNotTLS = errors.New("the first bytes are no TLS ClientHello")
	// ErrTooLong: the ClientHello is longer than MaxHello.
	ErrTooLong = fmt.Errorf("the ClientHello is longer than %d bytes", MaxHello)
	// ErrMalformed is wrapped by the errors of a malformed ClientHello.
	ErrMalformed = errors.New("the ClientHello is malformed")
)

const (
	recordHandshake    = 22
	messageClientHello = 1
	extensionName      = 0
	extensionALPN      = 16

	recordHead  = 5
	messageHead = 4
	// recordMost is the longest plaintext record, in bytes (RFC 8446 §5.1).
	recordMost = 1 << 14
	// recordVersions bounds the version of a record, which is to be ignored (RFC 8446
	// §5.1): a version from here on will never exist.
	recordVersions = 0x10
)

// Parse parses a ClientHello at the beginning of data. If the error is ErrIncomplete,
// call it again with more data.
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

// message returns the body of the ClientHello. Only if it is split over several records
// is it copied.
func message(data []byte) ([]byte, error) {
	var gathered []byte
	for first := true; ; first = false {
		payload, whole, err := record(data, first)
		if err != nil {
			return nil, err
		}
		if first {
			gathered = payload[:len(payload):len(payload)] // so that append copies
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

// record returns what was received of a record's payload, and reports whether that is
// all of it. If the first record is not a handshake record, the data is not TLS; if a
// later one is not, it is malformed.
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

// parse parses the body of a ClientHello.
func parse(body []byte) (hello Hello, err error) {
	r := reader{rest: body}
	r.take(2 + 32) // legacy_version, random
	r.vector(1)    // legacy_session_id
	r.vector(2)    // cipher_suites
	r.vector(1)    // legacy_compression_methods
	if len(r.rest) == 0 && !r.failed {
		return hello, nil // a TLS 1.2 ClientHello may have no extensions
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

// serverName parses a ServerNameList. Only a name of type host_name counts, and there
// must not be two of them.
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

// isHostName reports whether text is ASCII without characters that are invalid in a
// host name, and without a final dot (RFC 6066 §3).
func isHostName(text []byte) bool {
	for _, c := range text {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return text[len(text)-1] != '.'
}

// checkProtocols rejects a ProtocolNameList that no server would accept. Its content is
// not used.
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

// reader reads values from the front of rest. If bytes are missing, it fails, and
// everything that it returns after that is empty.
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
