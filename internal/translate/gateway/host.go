package gateway

import (
	"strings"

	"windrose.dev/windrose/internal/model"
)

// anyHost is the host of a listener or route that names none.
const anyHost = ""

// covers reports whether every name that host stands for is one that pattern
// stands for. A wildcard stands for any number of labels (Listener.hostname).
func covers(pattern, host string) bool {
	if pattern == anyHost || pattern == host {
		return true
	}
	suffix, wildcard := strings.CutPrefix(pattern, "*")
	return wildcard && host != anyHost && strings.HasSuffix(strings.TrimPrefix(host, "*"), suffix) && len(host) > len(suffix)
}

// intersect is the more specific of two hosts, if one covers the other.
func intersect(a, b string) (string, bool) {
	switch {
	case covers(a, b):
		return b, true
	case covers(b, a):
		return a, true
	}
	return "", false
}

// intersectAll lists what a listener's host and the hosts of a route have in
// common. A route without hosts takes what the listener has.
func intersectAll(listener string, route []string) []string {
	if len(route) == 0 {
		return []string{listener}
	}
	var out []string
	seen := map[string]bool{}
	for _, host := range route {
		if common, ok := intersect(listener, host); ok && !seen[common] {
			seen[common] = true
			out = append(out, common)
		}
	}
	return out
}

// moreSpecific reports whether a host is closer than another to a name that both
// stand for: an exact one before wildcards, the longer before the shorter.
func moreSpecific(a, b string) bool {
	exactA, exactB := a != anyHost && a[0] != '*', b != anyHost && b[0] != '*'
	if exactA != exactB {
		return exactA
	}
	return len(a) > len(b)
}

// modelHost writes a host as the model has it.
func modelHost(host string) string {
	switch {
	case host == anyHost:
		return "*"
	case host[0] == '*':
		return "*" + host
	}
	return host
}

// blockKey is a host of one listener of the model.
type blockKey struct {
	listener model.ListenerID
	host     string // as modelHost writes it
}
