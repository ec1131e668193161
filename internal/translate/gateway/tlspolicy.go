package gateway

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/translate/backend"
	"windrose.dev/windrose/internal/translate/status"
)

// tlsPolicy is a BackendTLSPolicy, with the results of its checks.
type tlsPolicy struct {
	object             *source.Object[gatewayv1.BackendTLSPolicy]
	accepted, resolved verdict
	// tls is the TLS that it asks for; nil closes its targets.
	tls *model.UpstreamTLS
	// ancestors are the Gateways with routes to its targets, each with the policy that
	// takes precedence for a target there, or nil.
	ancestors map[source.Name]*tlsPolicy
}

// policyTarget is the target of a policy: a Service, or a port of it by name.
type policyTarget struct {
	service source.Name
	section string
}

// tlsPolicies are all policies, indexed by their targets.
type tlsPolicies struct {
	all []*tlsPolicy
	// at lists the policies for each target in order of precedence: the first one is in
	// force.
	at map[policyTarget][]*tlsPolicy
	// astray are policies for a port that their Service does not have. They are not
	// accepted, and close the ports of the Service that have no other policy.
	astray map[source.Name][]*tlsPolicy
	// namespaces are closed by policies whose targets cannot be read.
	namespaces map[string]*tlsPolicy
	// reached are the targets and Gateways that reach has recorded.
	reached map[reach]bool
}

// reach is a Gateway with a route to a target, or to a Service with astray policies.
type reach struct {
	target  policyTarget
	astray  bool
	gateway source.Name
}

// readPolicies reads the BackendTLSPolicies: the broken ones first, then the oldest
// first. An API server would refuse broken ones, and what they guard is closed.
func (t *translation) readPolicies() {
	t.policies = tlsPolicies{at: map[policyTarget][]*tlsPolicy{}, astray: map[source.Name][]*tlsPolicy{}, namespaces: map[string]*tlsPolicy{}, reached: map[reach]bool{}}
	all := byAge(t.set.BackendTLSPolicies)
	slices.SortStableFunc(all, func(a, b *source.Object[gatewayv1.BackendTLSPolicy]) int {
		return compareBool(b.State == source.Tombstone, a.State == source.Tombstone)
	})
	for _, object := range all {
		p := &tlsPolicy{object: object, ancestors: map[source.Name]*tlsPolicy{}}
		if object.State == source.Tombstone {
			p.accepted = no(gatewayv1.PolicyReasonInvalid, "it is broken")
		} else {
			t.readPolicy(p)
		}
		t.target(p)
		t.policies.all = append(t.policies.all, p)
	}
}

// target adds a policy to the lists of its targets.
func (t *translation) target(p *tlsPolicy) {
	namespace, refs := p.object.Origin.Namespace, p.object.Value.Spec.TargetRefs
	if p.object.State == source.Tombstone && (p.object.Incomplete || len(refs) == 0) {
		t.policies.namespaces[namespace] = p
	}
	for i, ref := range refs {
		at := p.object.At(item("spec.targetRefs", i))
		if ref.Kind != "Service" || ref.Group != "" {
			t.report(reason.NotHonoured, at, "the target is a %s, and only Services are reached over TLS", ref.Kind)
			continue
		}
		target := policyTarget{source.Name{Namespace: namespace, Name: string(ref.Name)}, string(deref(ref.SectionName, ""))}
		service := t.set.Services.Get(namespace, target.service.Name)
		if service != nil && target.section != "" && !hasPort(service, target.section) {
			t.policies.astray[target.service] = append(t.policies.astray[target.service], p)
			p.accepted, p.tls = no(gatewayv1.PolicyReasonTargetNotFound, fmt.Sprintf("Service %s has no port %s", target.service, target.section)), nil
			t.report(reason.PortNotFound, at, "%s: its ports are closed, unless another policy is for them", p.accepted.message)
			continue
		}
		t.policies.at[target] = append(t.policies.at[target], p)
		if first := t.policies.at[target][0]; first != p {
			t.report(reason.PolicyConflict, at, "the target belongs to %s, %s", first.object.Origin.Object(), first.object.Origin.Place())
		}
	}
}

// readPolicy reads the TLS that a policy asks for.
func (t *translation) readPolicy(p *tlsPolicy) {
	v := &p.object.Value.Spec.Validation
	p.accepted, p.resolved = yes(gatewayv1.PolicyReasonAccepted), yes(gatewayv1.BackendTLSPolicyReasonResolvedRefs)
	tls := &model.UpstreamTLS{ServerName: string(v.Hostname)}
	policy, why := t.readOptions(p.object.Value.Spec.Options, p.object.At, "spec.options", reason.InvalidValue)
	if tls.Policy = policy; why != "" {
		p.accepted = no(gatewayv1.PolicyReasonInvalid, why)
	}
	for _, san := range v.SubjectAltNames {
		if san.Type == gatewayv1.URISubjectAltNameType {
			tls.URIs = append(tls.URIs, string(san.URI))
		} else {
			tls.Names = append(tls.Names, string(san.Hostname))
		}
	}
	if len(v.SubjectAltNames) == 0 {
		tls.Names = []string{string(v.Hostname)}
	}
	t.readAuthorities(p, tls)
	if err := tls.ValidateNames(); err != nil { // the API accepts any text as a URI
		p.accepted = no(gatewayv1.PolicyReasonInvalid, err.Error())
		t.report(reason.InvalidValue, p.object.At("spec.validation"), "%s", p.accepted.message)
	}
	if !p.accepted.no {
		p.tls = tls
	}
}

// readAuthorities reads the certificate authorities for the backend.
func (t *translation) readAuthorities(p *tlsPolicy, tls *model.UpstreamTLS) {
	v := &p.object.Value.Spec.Validation
	if wellKnown := deref(v.WellKnownCACertificates, ""); len(v.CACertificateRefs) == 0 {
		tls.SystemRoots = wellKnown == gatewayv1.WellKnownCACertificatesSystem
		if !tls.SystemRoots {
			p.accepted = no(gatewayv1.PolicyReasonInvalid, fmt.Sprintf("%q is no well-known set of authorities; System is", wellKnown))
			t.report(reason.BundleInvalid, p.object.At("spec.validation.wellKnownCACertificates"), "%s", p.accepted.message)
		}
		return
	}
	for i, ref := range v.CACertificateRefs {
		bundle, problem := t.bundle(string(ref.Group), string(ref.Kind), source.Name{Namespace: p.object.Origin.Namespace, Name: string(ref.Name)})
		if problem == nil {
			tls.Bundles = append(tls.Bundles, bundle)
			continue
		}
		why := gatewayv1.BackendTLSPolicyReasonInvalidCACertificateRef
		if problem.kind {
			why = gatewayv1.BackendTLSPolicyReasonInvalidKind
		}
		p.resolved = no(why, fmt.Sprintf("caCertificateRefs[%d]: %s", i, problem.message))
		t.report(reason.BundleInvalid, p.object.At(item("spec.validation.caCertificateRefs", i)), "%s", problem.message)
	}
	if len(tls.Bundles) == 0 {
		p.accepted = no(gatewayv1.BackendTLSPolicyReasonNoValidCACertificate, "no reference leads to certificates of authorities")
	}
}

// bundleProblem says why a reference to a certificate authority bundle does not resolve.
type bundleProblem struct {
	kind    bool // a resource of this kind cannot hold them
	message string
}

// bundle resolves a reference to a bundle, adds it to the Snapshot and returns its name.
func (t *translation) bundle(group, kind string, name source.Name) (string, *bundleProblem) {
	if group != "" || kind != "ConfigMap" && kind != "Secret" {
		return "", &bundleProblem{true, fmt.Sprintf("authorities are in a ConfigMap or Secret, not in a %s", kind)}
	}
	bundle, err := backend.Bundle(t.set, t.secrets, kind, name)
	if err != nil {
		return "", &bundleProblem{message: err.Error()}
	}
	t.out.Bundles = append(t.out.Bundles, bundle)
	return bundle.Name, nil
}

// policyFor returns the policy that guards a port, or nil. It also records the Gateways
// that route to the port with all policies for it.
func (t *translation) policyFor(ref *backend.Ref, gateways []source.Name) *tlsPolicy {
	all := &t.policies
	var winner *tlsPolicy
	targets := []policyTarget{{ref.Service, ""}}
	if ref.PortName != "" {
		targets = []policyTarget{{ref.Service, ref.PortName}, {ref.Service, ""}}
	}
	for _, target := range targets {
		if at := all.at[target]; len(at) > 0 {
			winner = cmp.Or(winner, at[0])
			all.reach(reach{target: target}, at, gateways)
		}
	}
	if astray := all.astray[ref.Service]; len(astray) > 0 {
		winner = cmp.Or(winner, astray[0])
		all.reach(reach{target: policyTarget{service: ref.Service}, astray: true}, astray, gateways)
	}
	return cmp.Or(all.namespaces[ref.Service.Namespace], winner)
}

// reach records the Gateways that have routes to a target with all policies for it. The
// first policy takes precedence over the others.
func (all *tlsPolicies) reach(what reach, policies []*tlsPolicy, gateways []source.Name) {
	for _, what.gateway = range gateways {
		if all.reached[what] {
			continue
		}
		all.reached[what] = true
		for i, p := range policies {
			var before *tlsPolicy
			if i > 0 && !what.astray {
				before = policies[0]
			}
			p.ancestors[what.gateway] = cmp.Or(p.ancestors[what.gateway], before)
		}
	}
}

// why says why a policy is not in force.
func (p *tlsPolicy) why() string { return cmp.Or(p.accepted.message, "it is not valid") }

func hasPort(service *source.Object[corev1.Service], name string) bool {
	return slices.ContainsFunc(service.Value.Spec.Ports, func(p corev1.ServicePort) bool { return p.Name == name })
}

// maxAncestors is the API's limit for PolicyStatus.ancestors.
const maxAncestors = 16

// policyStatus writes the status of the policies whose targets our routes reach.
func (t *translation) policyStatus() {
	for _, p := range t.policies.all {
		if p.object.State != source.Tombstone && len(p.ancestors) > 0 {
			t.out.Status = append(t.out.Status, p.status())
		}
	}
}

func (p *tlsPolicy) status() status.Object {
	out := status.Object{Ref: refOf("BackendTLSPolicy", p.object.Name()), Generation: p.object.Value.Generation}
	names := slices.SortedFunc(maps.Keys(p.ancestors), source.Name.Compare)
	for _, name := range names[:min(len(names), maxAncestors)] {
		var c conditions
		accepted := p.accepted
		if before := p.ancestors[name]; before != nil && !accepted.no {
			accepted = no(gatewayv1.PolicyReasonConflicted, "the target belongs to "+before.object.Origin.Object())
		}
		set(&c, gatewayv1.PolicyConditionAccepted, accepted)
		set(&c, gatewayv1.BackendTLSPolicyConditionResolvedRefs, p.resolved)
		out.Ancestors = append(out.Ancestors, status.Parent{
			Ref: status.ParentRef{Ref: refOf("Gateway", name)}, Controller: string(Controller), Conditions: c,
		})
	}
	return out
}
