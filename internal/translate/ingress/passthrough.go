package ingress

import (
	"slices"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
)

// passthrough makes the L4 route of a host, if it has ssl-passthrough. The oldest Ingress
// that names the host decides, as with ingress-nginx, and paths are ignored there. If an
// Ingress asks for passthrough but does not get it, it is closed: clients authenticate at
// its backend.
func (t *translation) passthrough(name string, h *host) {
	for _, naming := range h.names {
		in := naming.ingress
		if !in.passthrough || in.closedBy != "" {
			continue
		}
		switch {
		case name == "*":
			t.closePassthrough(in, "it stands at no host, and a server name is what tells its connections apart")
		case in != h.names[0].ingress:
			t.closePassthrough(in, "host "+name+" belongs first to "+h.names[0].object.Origin.Object()+", which does not pass TLS through")
		}
	}
	if len(h.names) == 0 || !h.names[0].passthrough || name == "*" {
		return
	}
	if one := h.root(h.names[0].ingress); one != nil {
		t.l4Route(name, h, one)
	}
}

func (t *translation) closePassthrough(in *ingress, why string) {
	in.closedBy = "ssl-passthrough"
	at := in.object.At("metadata.annotations[" + Prefix + "ssl-passthrough]")
	t.report(reason.GuardClosed, at, "ssl-passthrough is not in force: %s", why)
	t.fix("give it a host of its own")
}

// root returns the rule of an Ingress that gets all connections of a host: the rule of
// its root path, or else its first.
func (h *host) root(in *ingress) *rule {
	own := slices.DeleteFunc(slices.Clone(h.rules), func(r *rule) bool { return r.ingress != in })
	if h.fallback != nil && h.fallback.ingress == in {
		own = append(own, h.fallback)
	}
	if i := slices.IndexFunc(own, func(r *rule) bool { return r.path.Value == "/" }); i >= 0 {
		return own[i]
	}
	if len(own) == 0 {
		return nil
	}
	return own[0]
}

func (t *translation) l4Route(name string, h *host, one *rule) {
	r := model.L4Route{ID: one.id + "/tls", Listener: httpsID, Name: name, ConnectTimeout: one.connect}
	closed := t.closed(h, one)
	switch {
	case closed != "":
		r.Respond = &model.Respond{Status: 503, Outcome: reason.Closed, Why: closed}
	case one.ref == nil:
		r.Respond = &model.Respond{Status: 503, Outcome: reason.BackendInvalid, Why: one.lost.Message}
	default:
		r.Backends = []model.Backend{{Service: one.ref.ID(), Weight: 1}}
		t.out.Services = append(t.out.Services, *one.ref)
	}
	t.out.L4 = append(t.out.L4, r)
	t.out.Origins[r.ID] = one.at
}
