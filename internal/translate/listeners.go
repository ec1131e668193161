package translate

import (
	"maps"
	"slices"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
)

// listeners merges the listeners of the Fragments, and adds their certificates.
func (b *builder) listeners() []model.Listener {
	byID, first := map[model.ListenerID]*model.Listener{}, map[model.ListenerID]int{}
	for i := range b.fragments {
		for _, l := range b.fragments[i].Listeners {
			switch port := byID[l.ID]; {
			case l.IfAbsent:
			case port == nil:
				own := l.Listener
				byID[l.ID], first[l.ID] = &own, i
			default:
				b.share(port, l.Listener, first[l.ID], i)
			}
		}
	}
	b.addAbsent(byID)
	for i := range b.fragments {
		for _, one := range b.fragments[i].Identities {
			if l := byID[one.Listener]; l == nil || l.BackendCertificate != "" {
				b.identify(one)
			}
		}
	}
	for i := range b.fragments {
		for _, c := range b.fragments[i].Certificates {
			b.certify(byID[c.Listener], c, b.fragments[i].owner)
		}
	}
	for _, l := range byID {
		b.policies(l)
	}
	out := make([]model.Listener, 0, len(byID))
	for _, id := range slices.SortedFunc(maps.Keys(byID), model.ListenerID.Compare) {
		out = append(out, *byID[id])
	}
	return out
}

// addAbsent adds the listeners that are wanted only if no other Fragment has the port.
func (b *builder) addAbsent(byID map[model.ListenerID]*model.Listener) {
	for i := range b.fragments {
		for _, l := range b.fragments[i].Listeners {
			if l.IfAbsent && byID[l.ID] == nil {
				own := l.Listener
				byID[l.ID] = &own
			}
		}
	}
}

// share lets a port serve two dialects, given by their numbers. If one of them asks
// clients for certificates, the clients of the other need them, too. The client
// certificate to backends of one dialect must not be shown to the backends of the other,
// so the port has none.
func (b *builder) share(port *model.Listener, l model.Listener, first, second int) {
	if port.Protocol != model.HTTPS {
		port.Protocol = l.Protocol
	}
	port.Names = append(port.Names, l.Names...)
	port.Address = ""
	asks, other := first, second
	if port.ClientAuth == nil {
		port.ClientAuth = l.ClientAuth
		asks, other = second, first
	}
	if port.ClientAuth != nil {
		at := reason.Origin{}
		for _, c := range b.fragments[asks].Certificates { // at least one, over TLS
			if c.Listener == l.ID {
				at = c.Origin
				break
			}
		}
		b.report(reason.HostShared, at, "%s that shares port %d with %s asks clients for certificates: those of the %s need them too",
			b.fragments[asks].owner, l.ID.Port, b.fragments[other].owners, b.fragments[other].owners)
	}
	port.BackendCertificate = ""
	for _, i := range []int{first, second} {
		for _, one := range b.fragments[i].Identities {
			if one.Listener == l.ID {
				b.report(reason.NotHonoured, one.Origin, "no client certificate is shown to backends on port %d, which is shared with %s", l.ID.Port, b.fragments[first+second-i].owners)
			}
		}
	}
}
