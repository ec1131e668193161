package backend

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
)

// findExternal resolves a reference to a Service of type ExternalName. If the Service has
// no ports, it has any port that is asked for, as with ingress-nginx.
func findExternal(service *source.Object[corev1.Service], port Port) (*Ref, *Problem) {
	spec := &service.Value.Spec
	if !(model.NamedEndpoint{Host: strings.ToLower(spec.ExternalName), Port: 1}).Valid() { // the source has reported it
		return nil, &Problem{reason.ServiceTypeNotServed, fmt.Sprintf("Service %s stands for %.100q, which is no host name", service.Name(), spec.ExternalName)}
	}
	ref := &Ref{Service: service.Name(), UDP: port.UDP, External: strings.ToLower(spec.ExternalName)}
	for _, p := range spec.Ports {
		if port.names(&p) {
			ref.Port, ref.PortName, ref.AppProtocol = p.Port, p.Name, deref(p.AppProtocol, "")
			ref.TargetPort = uint16(p.Port)
			if p.TargetPort.Type == intstr.Int && p.TargetPort.IntVal != 0 {
				ref.TargetPort = uint16(p.TargetPort.IntVal)
			}
			return ref, nil
		}
	}
	if len(spec.Ports) == 0 && port.Number > 0 {
		ref.Port, ref.TargetPort = port.Number, uint16(port.Number)
		return ref, nil
	}
	return nil, missingPort(service, port)
}

// names reports whether p names the given port of a Service.
func (p Port) names(of *corev1.ServicePort) bool {
	return of.Protocol == p.protocol() && (p.Name != "" && of.Name == p.Name || p.Name == "" && of.Port == p.Number)
}

func missingPort(service *source.Object[corev1.Service], port Port) *Problem {
	var known []string
	for _, p := range service.Value.Spec.Ports {
		known = append(known, strings.TrimSuffix(fmt.Sprintf("%s %d", p.Name, p.Port), " "))
	}
	if len(known) == 0 {
		known = []string{"none"}
	}
	return &Problem{reason.PortNotFound, fmt.Sprintf("Service %s has no %s port %s; it has %s", service.Name(), port.protocol(), port, strings.Join(known, ", "))}
}

// names returns the hosts behind a reference: an ExternalName, or endpoints of type FQDN.
func (r Ref) names(all []*discoveryv1.EndpointSlice) []model.NamedEndpoint {
	if r.External != "" {
		return []model.NamedEndpoint{{Host: r.External, Port: r.TargetPort}}
	}
	var out []model.NamedEndpoint
	for _, slice := range all {
		if slice.AddressType != discoveryv1.AddressTypeFQDN {
			continue
		}
		for _, port := range slice.Ports {
			if r.has(&port) {
				out = appendNames(out, slice, uint16(*port.Port))
			}
		}
	}
	slices.SortFunc(out, func(a, b model.NamedEndpoint) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(out)
}

// appendNames adds the hosts of a slice that are ready. Terminating ones are left out,
// because their addresses cannot be distinguished from those of ready ones.
func appendNames(out []model.NamedEndpoint, slice *discoveryv1.EndpointSlice, port uint16) []model.NamedEndpoint {
	for _, e := range slice.Endpoints {
		if deref(e.Conditions.Ready, true) {
			for _, host := range e.Addresses {
				if one := (model.NamedEndpoint{Host: strings.ToLower(host), Port: port}); one.Valid() {
					out = append(out, one)
				}
			}
		}
	}
	return out
}
