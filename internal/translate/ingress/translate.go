package ingress

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/translate/backend"
	"windrose.dev/windrose/internal/translate/fragment"
	"windrose.dev/windrose/internal/translate/secret"
)

// Options configure the translation.
type Options struct {
	// Class limits the translation to the Ingresses of one class; empty serves every
	// class.
	Class string
	// IgnoreGuards opens routes whose guards are not honoured.
	IgnoreGuards bool
	// Compress is how responses are compressed if an Ingress does not say; with no
	// encodings they are not compressed.
	Compress model.Compress
}

// Dialect is the name of this dialect's blocks.
const Dialect = "ingress"

// The ports on which Ingress hosts are served.
var (
	httpID  = model.ListenerID{Port: 80}
	httpsID = model.ListenerID{Port: 443}
)

// Translate translates all Ingresses of a Set, with the Secrets of secrets.
func Translate(set *source.Set, secrets *secret.Reader, opts Options) fragment.Fragment {
	t := &translation{
		set: set, secrets: secrets, opts: opts, hosts: map[string]*host{}, tls: map[string]fragment.Certificate{}, ciphers: map[string]fragment.Policy{},
		closedNamespaces: map[string]reason.Origin{}, policies: policiesOf(set),
		out: fragment.Fragment{HostPolicies: true, Origins: map[string]reason.Origin{}},
	}
	served := t.served()
	t.owners = ownersOf(served)
	for _, in := range served {
		t.collectTLS(in)
	}
	for _, in := range served {
		t.collectRules(in)
	}
	t.shareDefault()
	for _, name := range sortedKeys(t.hosts) {
		t.passthrough(name, t.hosts[name])
	}
	for _, name := range sortedKeys(t.hosts) {
		t.reportMerged(name, t.hosts[name])
		block := t.block(name, t.hosts[name])
		t.out.Hosts = append(t.out.Hosts, fragment.Host{Listeners: t.ports(), Name: name, Block: &block})
	}
	for _, name := range sortedKeys(t.tls) {
		t.out.Certificates = append(t.out.Certificates, t.tls[name])
	}
	for _, name := range sortedKeys(t.ciphers) {
		t.out.Policies = append(t.out.Policies, t.ciphers[name])
	}
	t.listen()
	return t.out
}

// ports returns the listeners of the hosts.
func (t *translation) ports() []model.ListenerID {
	if len(t.tls) > 0 {
		return []model.ListenerID{httpID, httpsID}
	}
	return []model.ListenerID{httpID}
}

// listen adds the listeners that the hosts and the passthrough routes need.
func (t *translation) listen() {
	if len(t.hosts) > 0 || len(t.tls) > 0 {
		t.out.Listeners = append(t.out.Listeners, fragment.Listener{Listener: model.Listener{ID: httpID}})
	}
	switch {
	case len(t.tls) > 0:
		t.out.Listeners = append(t.out.Listeners, fragment.Listener{Listener: model.Listener{ID: httpsID, Protocol: model.HTTPS}})
	case len(t.out.L4) > 0:
		t.out.Listeners = append(t.out.Listeners, fragment.Listener{Listener: model.Listener{ID: httpsID, Protocol: model.TLS}, IfAbsent: true})
	}
}

// translation is the state of one call of Translate.
type translation struct {
	set     *source.Set
	secrets *secret.Reader
	opts    Options
	hosts   map[string]*host
	tls     map[string]fragment.Certificate
	owners  ownership
	// policies are the BackendTLSPolicies by Service. Ingresses do not honour them.
	policies map[source.Name]string
	// closedNamespaces are the namespaces with a tombstone whose guarded hosts are
	// unknown.
	closedNamespaces map[string]reason.Origin
	// ciphers are the TLS policies of hosts.
	ciphers map[string]fragment.Policy
	out     fragment.Fragment
}

// ingress is one Ingress with its settings.
type ingress struct {
	object *source.Object[networkingv1.Ingress]
	settings
	secured *secured // TLS to its backends, once it has been read
}

// host collects the rules for one host name.
type host struct {
	rules   []*rule
	byMatch map[model.PathMatch]*rule
	// fallback is the default backend.
	fallback *rule
	regex    bool
	// names are the Ingresses that name the host, oldest first.
	names []naming
	// closedBy holds, by namespace, the Ingress that closes the namespace's rules here.
	closedBy map[string]*ingress
}

// naming is an Ingress that names a host, with the rule that does so.
type naming struct {
	*ingress
	rule int
}

// rule is one path of one Ingress.
type rule struct {
	*ingress
	id       string
	path     model.PathMatch
	at       reason.Origin
	ref      *backend.Ref
	lost     *backend.Problem // why there is no ref
	useRegex bool             // the Ingress itself asks for expressions
	// rewritten means that rewrite-target applies to the rule.
	rewritten bool
	// hostClosedBy is the Ingress that closes the host from which the rule is shared, if
	// any.
	hostClosedBy *ingress
}

func (t *translation) report(code reason.Code, at reason.Origin, format string, args ...any) {
	t.out.Reports = append(t.out.Reports, reason.New(code, at, fmt.Sprintf(format, args...)))
}

// fix gives the last Report a more specific next step.
func (t *translation) fix(format string, args ...any) {
	t.out.Reports[len(t.out.Reports)-1].Fix = fmt.Sprintf(format, args...)
}

// served returns the Ingresses to serve, oldest first, with their settings. Objects from
// files have no age and are sorted by name.
func (t *translation) served() []*ingress {
	classes, reports := newClasses(t.set, t.opts.Class)
	t.out.Reports = append(t.out.Reports, reports...)
	var out []*ingress
	for object := range t.set.Ingresses.All() {
		ok, report := classes.serves(object)
		if report != nil {
			t.out.Reports = append(t.out.Reports, *report)
		}
		if !ok {
			continue
		}
		in := &ingress{object: object}
		in.settings, reports = read(object, t.opts)
		t.out.Reports = append(t.out.Reports, reports...)
		if t.setAside(in) {
			continue
		}
		out = append(out, in)
	}
	slices.SortStableFunc(out, func(a, b *ingress) int {
		return cmp.Or(a.object.Value.CreationTimestamp.Compare(b.object.Value.CreationTimestamp.Time),
			a.object.Name().Compare(b.object.Name()))
	})
	return out
}

// setAside reports whether an Ingress is left out. A tombstone is not: it closes the
// hosts that it names and, if it could not be read completely, its namespace.
func (t *translation) setAside(in *ingress) bool {
	if in.canary {
		t.report(reason.CanarySetAside, in.object.At("metadata.annotations["+Prefix+"canary]"), "this Ingress is set aside")
		return true
	}
	if in.object.State != source.Tombstone {
		return false
	}
	in.closedBy, in.closesHosts = "a broken resource", true
	if in.object.Incomplete {
		t.closeNamespace(in.object)
	}
	return false
}

// closeNamespace closes all Ingresses of a namespace, because a broken one guarded
// something that cannot be read any more.
func (t *translation) closeNamespace(object *source.Object[networkingv1.Ingress]) {
	namespace := object.Origin.Namespace
	if _, closed := t.closedNamespaces[namespace]; !closed {
		t.closedNamespaces[namespace] = object.Origin
		t.report(reason.GuardClosed, object.Origin, "not all of what it guarded can be read, so all Ingresses of namespace %s answer 503", namespace)
		last := &t.out.Reports[len(t.out.Reports)-1]
		last.Fix = "mend the errors reported for this object"
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
