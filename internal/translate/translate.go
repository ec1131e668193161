// Package translate builds a Snapshot from a Set: it runs the translators of
// all dialects, merges what they ask for, and resolves Services and Secrets.
//
// [Build] is a pure function. Nothing that is wrong stops it: it becomes a
// Report, and what it concerns is closed or left out.
package translate

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/translate/backend"
	"windrose.dev/windrose/internal/translate/fragment"
	"windrose.dev/windrose/internal/translate/gateway"
	"windrose.dev/windrose/internal/translate/ingress"
	"windrose.dev/windrose/internal/translate/secret"
	"windrose.dev/windrose/internal/translate/status"
)

// Options are what the user of the translation chooses.
type Options struct {
	Ingress ingress.Options
	Gateway gateway.Options
	// CloseUnsound closes and reports the rules that no proxy would take. Whoever
	// hands the Snapshot to a proxy may leave it out, and build again with it when
	// the proxy refuses.
	CloseUnsound bool
}

// Result is what a Set comes to.
type Result struct {
	Snapshot *model.Snapshot
	// Reports are sorted, and include those of the Set.
	Reports []reason.Report
	// Status is what a controller would write into the Set's objects.
	Status status.List

	// What BuildOver needs of it.
	set      *source.Set
	services []backend.Ref
	reads    secret.Reads
	reports  []reason.Report // without those of the Set
}

// Build makes the Snapshot for a Set.
func Build(set *source.Set, opts Options) Result {
	owned := make([]owned, len(dialects))
	without, pairs := secret.Apart(set)
	for i, d := range dialects {
		owned[i].Fragment, owned[i].dialect = d.translate(without, pairs, opts), d
	}
	return merge(set, pairs, owned, opts.CloseUnsound)
}

// BuildOver is Build for a Set that comes after that of last, with the same options.
// Where only what runs has changed, and key material, only endpoints and secrets are made
// anew, and of these only those that changed: the configuration is that of last.
func BuildOver(set *source.Set, opts Options, last *Result) Result {
	if last.set == nil || !set.SameConfig(last.set) {
		return Build(set, opts)
	}
	rotated, only := last.reads.Rotated(last.set.Secrets, set.Secrets)
	if !only {
		return Build(set, opts)
	}
	result := *last
	result.set, result.Reports = set, reason.Sorted(slices.Concat(set.Reports, last.reports))
	endpoints := last.Snapshot.FrozenEndpoints().With(backend.Moved(set, last.set, last.services))
	secrets := last.Snapshot.FrozenSecrets().With(material(rotated))
	result.Snapshot = model.Compose(last.Snapshot.FrozenConfig(), endpoints, secrets)
	return result
}

// material are the model's secrets of pairs that are whole. What was read for authorities
// alone is among them, and in no Snapshot.
func material(pairs map[source.Name]*secret.Pair) []model.Secret {
	out := make([]model.Secret, 0, len(pairs))
	for name, pair := range pairs {
		out = append(out, model.Secret{Name: escaped(name.String()), Chain: pair.Chain, Key: pair.Key})
	}
	return out
}

// owned is a Fragment and whose it is.
type owned struct {
	fragment.Fragment
	dialect
}

// merge makes a Result of Fragments, of which earlier ones have what several ask for.
// Dialects never interleave within a host, and every overlap is reported.
func merge(set *source.Set, pairs *secret.Reader, all []owned, closeUnsound bool) Result {
	b := builder{pairs: pairs, fragments: all, made: map[source.Name]bool{}, certified: map[model.ListenerID]map[string]holder{}}
	var refs []backend.Ref
	var bundled []model.Bundle
	var said [][]status.Object
	parts := model.Parts{Origins: map[string]reason.Origin{}}
	for i := range all {
		f := &all[i]
		b.reports = slices.Concat(b.reports, f.Reports)
		refs, bundled = append(refs, f.Services...), append(bundled, f.Bundles...)
		said = append(said, f.Status)
		maps.Copy(parts.Origins, f.Origins)
	}
	printable(parts.Origins)
	b.origins = parts.Origins
	parts.Config.Services = services(refs)
	parts.Endpoints = backend.Endpoints(set, refs)
	parts.Config.Listeners = b.listeners()
	parts.Config.Hosts, parts.Config.L4Routes = b.routes()
	if closeUnsound {
		b.closeUnsound(&parts)
		b.closeL4Routes(&parts)
	}
	parts.Secrets = b.secrets
	parts.Bundles = bundles(bundled)
	return Result{
		Snapshot: model.Freeze(parts), Reports: reason.Sorted(slices.Concat(set.Reports, b.reports)), Status: status.Merge(said...),
		set: set, services: refs, reads: pairs.Reads(), reports: b.reports,
	}
}

// printable makes origins fit for the wire: a file's name may be any bytes.
func printable(origins map[string]reason.Origin) {
	for id, o := range origins {
		if !utf8.ValidString(o.File) {
			o.File = strings.ToValidUTF8(o.File, "\uFFFD")
			origins[id] = o
		}
	}
}

func services(refs []backend.Ref) []model.Service {
	out := make([]model.Service, 0, len(refs))
	for _, ref := range refs {
		out = append(out, ref.Model())
	}
	slices.SortStableFunc(out, func(a, b model.Service) int { return a.ID.Compare(b.ID) })
	return slices.CompactFunc(out, func(a, b model.Service) bool { return a.ID == b.ID })
}

// bundles are those that the dialects name, each once.
func bundles(all []model.Bundle) []model.Bundle {
	out := slices.SortedFunc(slices.Values(all), func(a, b model.Bundle) int { return cmp.Compare(a.Name, b.Name) })
	return slices.CompactFunc(out, func(a, b model.Bundle) bool { return a.Name == b.Name })
}

// builder gathers what the Fragments ask for.
type builder struct {
	pairs     *secret.Reader
	fragments []owned
	origins   map[string]reason.Origin
	reports   []reason.Report
	secrets   []model.Secret
	made      map[source.Name]bool // which are in secrets
	// certified are the Secrets by which the hosts of each listener are known.
	certified map[model.ListenerID]map[string]holder
}

// holder is the Secret that a host of a listener has its certificate from, and whose
// wish it was.
type holder struct {
	secret string
	owner  string
}

// closeUnsound closes the rules that no proxy would take, so that one value of
// one tenant cannot keep everybody's Snapshot from being live. The translators
// report what they know to be wrong; this is for what they let through.
func (b *builder) closeUnsound(parts *model.Parts) {
	for i := range parts.Config.Hosts {
		for j := range parts.Config.Hosts[i].Blocks {
			rules := parts.Config.Hosts[i].Blocks[j].Rules
			for k := range rules {
				if err := rules[k].Validate(); err != nil {
					b.closeRule(&rules[k], parts.Origins, err)
				}
			}
		}
	}
}

func (b *builder) closeL4Routes(parts *model.Parts) {
	for i := range parts.Config.L4Routes {
		r := &parts.Config.L4Routes[i]
		if err := r.Validate(); err != nil {
			at := parts.Origins[r.ID]
			b.report(reason.RuleInvalid, at, "%v", err)
			delete(parts.Origins, r.ID)
			*r = model.L4Route{
				ID: escaped(r.ID), Listener: r.Listener, Name: strings.ToLower(escaped(r.Name)), Terminate: r.Terminate,
				Respond: &model.Respond{Status: 503, Outcome: reason.Closed, Why: "the rule is not valid"},
			}
			parts.Origins[r.ID] = at
		}
	}
}

func (b *builder) closeRule(r *model.Rule, origins map[string]reason.Origin, err error) {
	at := origins[r.ID]
	b.report(reason.RuleInvalid, at, "%v", err)
	closed := model.Rule{
		ID: escaped(r.ID), Path: r.Path, When: r.When, Rank: r.Rank,
		Respond: &model.Respond{Status: 503, Outcome: reason.Closed, Why: "the rule is not valid"},
	}
	if closed.Path.Validate() != nil {
		closed.Path = model.PathMatch{} // what it would have matched is not known
	}
	if closed.When != nil && closed.When.Validate() != nil {
		closed.When = nil
	}
	delete(origins, r.ID)
	origins[closed.ID] = at
	*r = closed
}

// escaped writes control characters as escapes: a tombstone's names may have
// any.
func escaped(name string) string {
	if strings.IndexFunc(name, unicode.IsControl) < 0 {
		return name
	}
	return strings.Trim(strconv.Quote(name), `"`)
}

func (b *builder) report(code reason.Code, at reason.Origin, format string, args ...any) {
	b.reports = append(b.reports, reason.New(code, at, fmt.Sprintf(format, args...)))
}
