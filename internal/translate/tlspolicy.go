package translate

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/translate/fragment"
)

// policies sets the TLS of the hosts of a listener. It comes from the dialects that set
// TLS by host, and is at least as strict as that of a wider name in an earlier dialect: a
// narrower certificate does not loosen it.
func (b *builder) policies(l *model.Listener) {
	wider := map[string]*model.TLSPolicy{} // of earlier Fragments
	owner := ""
	for i := range b.fragments {
		f := &b.fragments[i]
		if f.HostPolicies {
			b.byHost(l, f, wider, owner)
		}
		for _, c := range f.Certificates {
			if c.Listener == l.ID {
				wider[c.Host], owner = c.Policy, f.owner
			}
		}
	}
}

// byHost is policies for one Fragment. owner is the dialect of the wider names.
func (b *builder) byHost(l *model.Listener, f *owned, wider map[string]*model.TLSPolicy, owner string) {
	for _, p := range f.Policies {
		over := forHost(wider, p.Host)
		if _, taken := wider[p.Host]; p.Listener == l.ID && (taken || over != nil && len(over.Suites) > 0) {
			b.report(reason.PolicyConflict, p.Origin, "host %s has its cipher suites from %s", p.Host, owner)
		}
	}
	own := f.policiesOn(l.ID)
	spoken := map[string]*model.TLSPolicy{}
	for i := range l.Certificates {
		c := &l.Certificates[i]
		if _, theirs := wider[c.Host]; !theirs {
			c.Policy = stricter(own.of(c.Host), forHost(wider, c.Host))
		}
		spoken[c.Host] = c.Policy
	}
	if slices.ContainsFunc(f.Certificates, func(c fragment.Certificate) bool { return c.Listener == l.ID }) {
		b.apart(l, own, wider, spoken, f.owner)
	}
}

// apart gives hosts whose TLS differs from that of the wider name, which may belong to
// another tenant, an entry of their own with the wider name's certificate.
func (b *builder) apart(l *model.Listener, own hostPolicies, wider, spoken map[string]*model.TLSPolicy, owner string) {
	shown := b.certified[l.ID]
	for _, host := range slices.Sorted(maps.Keys(own)) { // wildcards come first
		if _, has := shown[host]; has {
			continue
		}
		has, policy := forHost(shown, host), stricter(own[host], forHost(wider, host))
		if has.secret != "" && !samePolicy(policy, forHost(spoken, host)) {
			spoken[host] = policy
			b.shows(l, model.Certificate{Host: host, Secret: has.secret, Policy: policy}, owner)
		}
	}
}

// hostPolicies holds the hosts of a Fragment with their TLS policies; nil is none.
type hostPolicies map[string]*model.TLSPolicy

// policiesOn returns the policies for a listener.
func (f *owned) policiesOn(listener model.ListenerID) hostPolicies {
	out := make(hostPolicies, len(f.Hosts))
	for i := range f.Hosts {
		out[f.Hosts[i].Name] = nil
	}
	for _, p := range f.Policies {
		if _, named := out[p.Host]; named && p.Listener == listener {
			out[p.Host] = p.TLS
		}
	}
	return out
}

// of returns the policy for a name: that of its own host, or else of the host that serves
// it.
func (h hostPolicies) of(name string) *model.TLSPolicy { return forHost(h, name) }

func samePolicy(a, b *model.TLSPolicy) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.MinVersion == b.MinVersion && slices.Equal(a.Suites, b.Suites)
}

// forHost returns the value of the most specific host for a name.
func forHost[T any](byHost map[string]T, name string) (found T) {
	for _, host := range hostsFor(name) {
		if found, known := byHost[host]; known {
			return found
		}
	}
	return found
}

// hostsFor returns the hosts that match a name, most specific first, in the order of
// model.Listener.Certificates.
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

// stricter joins two policies: it takes the higher version, and the suites of the wider
// name if it has any.
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
