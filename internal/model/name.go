package model

import (
	"cmp"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// NamedEndpoint is an endpoint given by host name. The proxy resolves it, and keeps
// resolving it as its addresses change.
type NamedEndpoint struct {
	// Host is a lower-case DNS name, or an IP address. If it does not end in a dot, the
	// search domains of the proxy's machine apply.
	Host string `cbor:"1,keyasint" json:"host"`
	Port uint16 `cbor:"2,keyasint" json:"port"`
}

// namePrefix distinguishes names from addresses in the text form.
const namePrefix = "dns:"

func (n NamedEndpoint) String() string {
	return net.JoinHostPort(n.Host, strconv.Itoa(int(n.Port)))
}

func compareNames(a, b NamedEndpoint) int {
	return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Port, b.Port))
}

// maxName bounds a name, in bytes and without a final dot (RFC 1035 §2.3.4).
const maxName = 253

// Valid reports whether the name can be looked up. Underscores are accepted: host names
// have them in practice, although RFC 1123 forbids it.
func (n NamedEndpoint) Valid() bool {
	bad := strings.ContainsFunc(n.Host, func(c rune) bool {
		return !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || strings.ContainsRune("-_.:", c))
	})
	name := strings.TrimSuffix(n.Host, ".")
	return !bad && name != "" && len(name) <= maxName && n.Port != 0
}

// addName reads a name of the text form.
func (e *Endpoints) addName(text string, options []string) error {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return err
	}
	if len(options) > 0 {
		return fmt.Errorf("unknown option %q of a name", options[0])
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return err
	}
	e.Names = append(e.Names, NamedEndpoint{host, uint16(n)})
	return nil
}
