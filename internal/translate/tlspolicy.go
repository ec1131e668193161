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
		over := forHost(wider, host)
		if _, taken := wider[host]; taken || over != nil && len(over.Suites) > 0 {
			b.report(reason.PolicyConflict, in.Policies[host].Origin, "host %s has its cipher suites from a Gateway", host)
		}
	}
	spoken := map[string]*model.TLSPolicy{}
	for i := range l.Certificates {
		c := &l.Certificates[i]
		if _, theirs := wider[c.Host]; !theirs {
			c.Policy = stricter(policyFor(in, c.Host), forHost(wider, c.Host))
		}
		spoken[c.Host] = c.Policy
	}
	if len(in.Certificates) > 0 {
		b.apart(l, in, wider, spoken)
	}
}

// apart shows the certificate of a wider name under the names of Ingresses that
// are spoken to in another way than that one, which may be of another tenant.
func (b *builder) apart(l *model.Listener, in ingress.Result, wider, spoken map[string]*model.TLSPolicy) {
	shown := b.certified[l.ID]
	for _, host := range slices.Sorted(maps.Keys(in.Blocks)) { // wildcards come first
		if _, own := shown[host]; own {
			continue
		}
		secret, policy := forHost(shown, host), stricter(in.Policies[host].TLS, forHost(wider, host))
		if secret != "" && !samePolicy(policy, forHost(spoken, host)) {
			spoken[host] = policy
			b.shows(l, model.Certificate{Host: host, Secret: secret, Policy: policy})
		}
	}
}

func samePolicy(a, b *model.TLSPolicy) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.MinVersion == b.MinVersion && slices.Equal(a.Suites, b.Suites)
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
