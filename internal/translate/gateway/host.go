package gateway

import (
	"strings"

	"windrose.dev/windrose/internal/model"
)

// anyHost is the host of a listener or route that names none.
const anyHost = ""

// covers reports whether pattern matches every name that host matches. A wildcard stands
// for any number of labels (Listener.hostname).
func covers(pattern, host string) bool {
	if pattern == anyHost || pattern == host {
		return true
	}
	suffix, wildcard := strings.CutPrefix(pattern, "*")
	return wildcard && host != anyHost && strings.HasSuffix(strings.TrimPrefix(host, "*"), suffix) && len(host) > len(suffix)
}

// intersect returns the more specific of two hosts, if one covers the other.
func intersect(a, b string) (string, bool) {
	switch {
	case covers(a, b):
		return b, true
	case covers(b, a):
		return a, true
	}
	return "", false
}

// intersectAll returns the intersection of a listener's host with the hosts of a route. A
// route without hosts gets the listener's host.
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

// moreSpecific reports whether a is more specific than b: exact hosts before wildcards,
// longer before shorter.
func moreSpecific(a, b string) bool {
	exactA, exactB := a != anyHost && a[0] != '*', b != anyHost && b[0] != '*'
	if exactA != exactB {
		return exactA
	}
	return len(a) > len(b)
}

// modelHost returns a host in the form of model.Host.Name.
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
