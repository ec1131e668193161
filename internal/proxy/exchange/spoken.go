package exchange

import (
	"fmt"
	"slices"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
)

// unspoken says why the engine cannot reach the endpoints of a service as it
// asks to be reached; empty is that it can. What leads to such a service is
// closed, and is never sent in plain text, or unverified, instead.
//
// This is the one switch between what the model can say of backends and what
// the data path does: whoever teaches the data path a protocol, or TLS, takes
// its case out.
func unspoken(s *model.Service) string {
	switch {
	case s.TLS != nil:
		return fmt.Sprintf("service %s asks for TLS, which this proxy does not speak to backends yet", s.ID)
	case s.Protocol != model.HTTP1:
		return fmt.Sprintf("service %s asks for HTTP/2, which this proxy does not speak to backends yet", s.ID)
	}
	return ""
}

// reachable replaces the backends of a rule that cannot be reached by a closed
// answer, and says why. Mirrors that cannot be reached are left out: they take
// nothing away from the original.
func reachable(services []model.Service, r *model.Rule, index map[string]int) (*model.Rule, []string) {
	problem := func(id string) string {
		if i, known := index[id]; known {
			return unspoken(&services[i])
		}
		return ""
	}
	var why []string
	for id := range r.Services() {
		if text := problem(id); text != "" && !slices.Contains(why, text) {
			why = append(why, text)
		}
	}
	if len(why) == 0 {
		return r, nil
	}
	out := *r
	lost := func(m model.Mirror) bool { return problem(m.Service) != "" }
	out.Mirrors = slices.DeleteFunc(slices.Clone(r.Mirrors), lost)
	if r.Forward != nil {
		forward := *r.Forward
		forward.Backends = slices.Clone(forward.Backends)
		for i := range forward.Backends {
			b := &forward.Backends[i]
			if text := problem(b.Service); text != "" {
				*b = model.Backend{Weight: b.Weight, Respond: &model.Respond{Status: 503, Outcome: reason.Closed, Why: text}}
			}
			b.Mirrors = slices.DeleteFunc(slices.Clone(b.Mirrors), lost)
		}
		out.Forward = &forward
	}
	return &out, why
}
