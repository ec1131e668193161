// Package backend resolves references to Services: to a port, and to the endpoints that
// serve it. All dialects share it.
package backend

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
)

// Ref is a port of an existing Service, with the protocol and TLS to use.
type Ref struct {
	Service source.Name
	Port    int32
	// PortName is the name of the port in EndpointSlices.
	PortName string
	// UDP means a UDP port.
	UDP bool
	// AppProtocol is the appProtocol of the port.
	AppProtocol string

	Protocol model.BackendProtocol
	TLS      *model.UpstreamTLS
	// TLSFrom names the origin of TLS, in one word. It distinguishes the Refs of one port
	// that differ in TLS: equal values mean equal TLS.
	TLSFrom string
	// ProxyProtocol is the PROXY protocol header that is sent on each connection.
	ProxyProtocol model.ProxyProtocol
	// External is the host of an ExternalName, and TargetPort its port; empty and 0 for
	// other Services.
	External   string
	TargetPort uint16
}

// ID returns the ID in the model. Its policy has a word each for TLS, the protocol and
// the PROXY protocol header, where they are not plain HTTP/1.1.
func (r Ref) ID() model.ServiceID {
	var policy []string
	if r.TLS != nil {
		policy = append(policy, r.TLSFrom)
	}
	if r.Protocol != model.HTTP1 {
		word, _ := r.Protocol.MarshalText()
		policy = append(policy, string(word))
	}
	if r.ProxyProtocol != model.NoProxyProtocol {
		word, _ := r.ProxyProtocol.MarshalText()
		policy = append(policy, "proxy-"+string(word))
	}
	return model.ServiceID{
		Namespace: r.Service.Namespace, Name: r.Service.Name, Port: strconv.Itoa(int(r.Port)), UDP: r.UDP,
		Policy: strings.Join(policy, "~"),
	}
}

// Port names a port of a Service: by number, or else by name.
type Port struct {
	Number int32
	Name   string
	// UDP asks for a UDP port instead of a TCP port.
	UDP bool
}

func (p Port) protocol() corev1.Protocol {
	if p.UDP {
		return corev1.ProtocolUDP
	}
	return corev1.ProtocolTCP
}

func (p Port) String() string {
	if p.Name != "" {
		return strconv.Quote(p.Name)
	}
	return strconv.Itoa(int(p.Number))
}

// Problem says why a reference does not resolve.
type Problem struct {
	Code    reason.Code
	Message string
}

// Find resolves a reference in a Set. Exactly one of its results is set.
func Find(set *source.Set, namespace, name string, port Port) (*Ref, *Problem) {
	service := set.Services.Get(namespace, name)
	if service == nil {
		return nil, &Problem{reason.ServiceNotFound, fmt.Sprintf("there is no Service %s/%s", namespace, name)}
	}
	version, problem := sendProxy(service.Value)
	if problem != nil {
		return nil, problem
	}
	find := findPort
	if service.Value.Spec.Type == corev1.ServiceTypeExternalName {
		find = findExternal
	}
	ref, problem := find(service, port)
	if ref != nil && !ref.UDP { // UDP has no connections that could begin with a header
		ref.ProxyProtocol = version
	}
	return ref, problem
}

func findPort(service *source.Object[corev1.Service], port Port) (*Ref, *Problem) {
	for _, p := range service.Value.Spec.Ports {
		if port.names(&p) {
			return &Ref{Service: service.Name(), Port: p.Port, PortName: p.Name, UDP: port.UDP, AppProtocol: deref(p.AppProtocol, "")}, nil
		}
	}
	return nil, missingPort(service, port)
}

// serviceOf returns the Service that a slice belongs to.
func serviceOf(slice *discoveryv1.EndpointSlice) source.Name {
	return source.Name{Namespace: slice.Namespace, Name: slice.Labels[discoveryv1.LabelServiceName]}
}

// Moved returns the endpoints of those refs whose endpoints may differ between before and
// set. The Services must be the same in both.
func Moved(set, before *source.Set, refs []Ref) []model.Endpoints {
	moved := map[source.Name]bool{}
	for _, object := range set.EndpointSlices.Changed(before.EndpointSlices) {
		moved[serviceOf(object.Value)] = true
	}
	for _, object := range set.Endpoints.Changed(before.Endpoints) {
		moved[object.Name()] = true
	}
	if len(moved) == 0 {
		return nil
	}
	var some []Ref
	for i := range refs {
		if moved[refs[i].Service] {
			some = append(some, refs[i])
		}
	}
	return Endpoints(set, some)
}

// Endpoints returns the endpoints of refs, each ref once.
func Endpoints(set *source.Set, refs []Ref) []model.Endpoints {
	slicesOf := make(map[source.Name][]*discoveryv1.EndpointSlice, len(refs))
	for i := range refs {
		slicesOf[refs[i].Service] = nil
	}
	for object := range set.EndpointSlices.All() {
		service := serviceOf(object.Value)
		if all, asked := slicesOf[service]; asked {
			slicesOf[service] = append(all, object.Value)
		}
	}
	seen := make(map[model.ServiceID]bool, len(refs))
	out := make([]model.Endpoints, 0, len(refs))
	for _, ref := range refs {
		if id := ref.ID(); !seen[id] {
			seen[id] = true
			out = append(out, model.Endpoints{Service: id, Endpoints: unique(ref.endpoints(set, slicesOf[ref.Service])), Names: ref.names(slicesOf[ref.Service])})
		}
	}
	return out
}

// endpoints reads the EndpointSlices of the Service or, if there are none, the Endpoints
// object that older controllers write.
func (r Ref) endpoints(set *source.Set, all []*discoveryv1.EndpointSlice) []model.Endpoint {
	var out []model.Endpoint
	if r.External != "" {
		return nil // slices of a Service of this type have no meaning
	}
	for _, slice := range all {
		if slice.AddressType == discoveryv1.AddressTypeFQDN {
			continue // see names
		}
		for _, port := range slice.Ports {
			if r.has(&port) {
				out = appendSlice(out, slice, uint16(*port.Port))
			}
		}
	}
	if len(all) > 0 {
		return out
	}
	if object := set.Endpoints.Get(r.Service.Namespace, r.Service.Name); object != nil {
		for _, subset := range object.Value.Subsets {
			for _, port := range subset.Ports {
				if port.Name == r.PortName && (port.Protocol == corev1.ProtocolUDP) == r.UDP {
					out = appendSubset(out, subset.Addresses, uint16(port.Port))
				}
			}
		}
	}
	return out
}

// has reports whether a slice's port is the port of the reference.
func (r Ref) has(port *discoveryv1.EndpointPort) bool {
	return port.Port != nil && deref(port.Name, "") == r.PortName && (deref(port.Protocol, corev1.ProtocolTCP) == corev1.ProtocolUDP) == r.UDP
}

func deref[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

// appendSlice adds the endpoints of a slice that are ready, or that still serve while
// they terminate. A missing condition means ready, as the EndpointSlice API says.
func appendSlice(out []model.Endpoint, slice *discoveryv1.EndpointSlice, port uint16) []model.Endpoint {
	for _, e := range slice.Endpoints {
		ready := deref(e.Conditions.Ready, true)
		terminating := deref(e.Conditions.Terminating, false)
		serving := deref(e.Conditions.Serving, ready)
		if !ready && !(terminating && serving) {
			continue
		}
		for _, text := range e.Addresses {
			addr, err := netip.ParseAddr(text)
			if err != nil {
				continue // the source has reported it
			}
			out = append(out, model.Endpoint{
				Addr: netip.AddrPortFrom(addr.Unmap(), port), Pod: podOf(slice.Namespace, e.TargetRef), Terminating: !ready,
				Locality: inZone(deref(e.Zone, "")),
			})
		}
	}
	return out
}

// inZone returns a zone without its region, which EndpointSlices do not have.
func inZone(zone string) model.Locality {
	if zone == "" {
		return ""
	}
	return model.Locality("/" + zone)
}

func appendSubset(out []model.Endpoint, addresses []corev1.EndpointAddress, port uint16) []model.Endpoint {
	for _, a := range addresses {
		if addr, err := netip.ParseAddr(a.IP); err == nil {
			out = append(out, model.Endpoint{Addr: netip.AddrPortFrom(addr.Unmap(), port), Pod: podOf("", a.TargetRef)})
		}
	}
	return out
}

func podOf(namespace string, ref *corev1.ObjectReference) string {
	if ref == nil || ref.Kind != "Pod" {
		return ""
	}
	if ref.Namespace != "" {
		namespace = ref.Namespace
	}
	return namespace + "/" + ref.Name
}

// unique drops duplicates, which overlapping slices have while they change.
func unique(all []model.Endpoint) []model.Endpoint {
	slices.SortFunc(all, func(a, b model.Endpoint) int { return a.Addr.Compare(b.Addr) })
	return slices.CompactFunc(all, func(a, b model.Endpoint) bool { return a.Addr == b.Addr })
}
