package translate

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/translate/gateway"
	"windrose.dev/windrose/internal/translate/ingress"
)

// policies has the names of Ingresses on a port spoken to as these ask, and as a
// Gateway does that has a wider name there: what it guards a narrower certificate
// does not open.
func (b *builder) policies(l *model.Listener, in ingress.Result, gw gateway.Result) {
	wider := map[string]*model.TLSPolicy{} // of Gateways
	for _, c := range gw.Certificates {
		if c.Listener == l.ID {
			wider[c.Host] = c.Policy
		}
	}
	for _, host := range slices.Sorted(maps.Keys(in.Policies)) {
		over, taken := forHost(wider, host), false
		if _, taken = wider[host]; taken || over != nil && len(over.Suites) > 0 {
			b.report(reason.PolicyConflict, in.Policies[host].Origin, "host %s has its cipher suites from a Gateway", host)
		}
		if taken || len(in.Certificates) == 0 {
			continue // a Gateway's alone, or not served here
		}
		own := slices.ContainsFunc(l.Certificates, func(c model.Certificate) bool { return c.Host == host })
		if secret := secretFor(l.Certificates, host); !own && secret != "" {
			l.Certificates = append(l.Certificates, model.Certificate{Host: host, Secret: secret})
		}
	}
	for i := range l.Certificates {
		c := &l.Certificates[i]
		if _, theirs := wider[c.Host]; !theirs {
			c.Policy = stricter(policyFor(in, c.Host), forHost(wider, c.Host))
		}
	}
}

// policyFor is what the Ingresses say of the TLS of a name: those that name it,
// or else those whose host takes its requests.
func policyFor(in ingress.Result, name string) *model.TLSPolicy {
	for _, host := range hostsFor(name) {
		if _, named := in.Blocks[host]; named {
			return in.Policies[host].TLS
		}
	}
	return nil
}

// secretFor names the Secret of the certificate that a name gets, or none.
func secretFor(all []model.Certificate, name string) string {
	bySecret := map[string]string{}
	for _, c := range all {
		bySecret[c.Host] = c.Secret
	}
	return forHost(bySecret, name)
}

// forHost finds what is most specific for a name.
func forHost[T any](byHost map[string]T, name string) (found T) {
	for _, host := range hostsFor(name) {
		if found, known := byHost[host]; known {
			return found
		}
	}
	return found
}

// hostsFor lists the hosts that have a name, the most specific first, as
// model.Listener.Certificates has it.
func hostsFor(name string) []string {
	out := []string{name}
	_, parent, more := strings.Cut(name, ".")
	if more {
		out = append(out, "*."+parent)
	}
	for ; more; _, parent, more = strings.Cut(parent, ".") {
		out = append(out, "**."+parent)
	}
	return append(out, "*")
}

// stricter joins two policies: the higher version, and the suites of the wider
// name if it has some.
func stricter(own, wider *model.TLSPolicy) *model.TLSPolicy {
	if own == nil || wider == nil {
		return cmp.Or(own, wider)
	}
	out := model.TLSPolicy{MinVersion: max(own.MinVersion, wider.MinVersion), Suites: wider.Suites}
	if len(out.Suites) == 0 {
		out.Suites = own.Suites
	}
	return &out
}
