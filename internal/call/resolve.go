package call

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Override is the address to use for one host and port, instead of what the name resolves
// to.
type Override struct {
	// Host is in lower case; "*" is any host.
	Host string
	Port uint16
	Addr netip.AddrPort
}

// ParseOverride reads HOST:PORT:ADDR as curl does. ADDR may also have a port:
// shop.example:443:127.0.0.1:8443. An IPv6 address that a port follows is in brackets.
func ParseOverride(s string) (Override, error) {
	host, rest, found := cutHost(s)
	port, address, foundPort := strings.Cut(rest, ":")
	if !found || !foundPort || host == "" {
		return Override{}, fmt.Errorf("%q is not of the form HOST:PORT:ADDR", s)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return Override{}, fmt.Errorf("%q: %q is not a port", s, port)
	}
	addr, err := parseAddr(address, uint16(number))
	if err != nil {
		return Override{}, fmt.Errorf("%q: %q is not an IP address", s, address)
	}
	return Override{strings.ToLower(host), uint16(number), addr}, nil
}

// cutHost cuts at the colon after a host, which may be an IPv6 address in brackets.
func cutHost(s string) (host, rest string, found bool) {
	if after, bracketed := strings.CutPrefix(s, "["); bracketed {
		return strings.Cut(after, "]:")
	}
	return strings.Cut(s, ":")
}

func parseAddr(s string, port uint16) (netip.AddrPort, error) {
	bare := strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	if addr, err := netip.ParseAddr(bare); err == nil {
		return netip.AddrPortFrom(addr, port), nil
	}
	return netip.ParseAddrPort(s)
}

// dialAddress returns the address to connect to for a URL. Names under localhost are
// never resolved.
func dialAddress(u *url.URL, overrides []Override) string {
	host, port := strings.ToLower(u.Hostname()), portOf(u)
	for _, o := range overrides {
		if (o.Host == "*" || o.Host == host) && strconv.Itoa(int(o.Port)) == port {
			return o.Addr.String()
		}
	}
	name := strings.TrimSuffix(host, ".")
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}
