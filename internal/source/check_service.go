package source

import (
	"fmt"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"windrose.dev/windrose/internal/reason"
)

//lint:file-ignore SA1019 Endpoints is deprecated, and clusters still have it.

func checkService(c *checker, s *corev1.Service) {
	spec := field.NewPath("spec")
	c.oneOf(spec.Child("type"), string(s.Spec.Type), "ClusterIP", "NodePort", "LoadBalancer", "ExternalName")
	c.oneOf(spec.Child("sessionAffinity"), string(s.Spec.SessionAffinity), "None", "ClientIP")
	c.labels(spec.Child("selector"), s.Spec.Selector)
	external := s.Spec.Type == corev1.ServiceTypeExternalName
	if external {
		c.externalName(spec.Child("externalName"), s.Spec.ExternalName)
	}
	ports := spec.Child("ports")
	if len(s.Spec.Ports) == 0 && !external && s.Spec.ClusterIP != corev1.ClusterIPNone {
		c.fail(ports, "at least one port is required", "write a port, or clusterIP: None for a headless service")
	}
	byName, byNumber := names{}, names{}
	for i := range s.Spec.Ports {
		port, at := &s.Spec.Ports[i], ports.Index(i)
		c.servicePort(at, port)
		if len(s.Spec.Ports) > 1 {
			c.required(at.Child("name"), port.Name, "a name: a service with several ports names each")
		}
		c.unique(byName, at.Child("name"), port.Name)
		c.unique(byNumber, at.Child("port"), fmt.Sprintf("%d/%s", port.Port, protocolOf(port.Protocol)))
	}
}

func protocolOf(p corev1.Protocol) corev1.Protocol {
	if p == "" {
		return corev1.ProtocolTCP
	}
	return p
}

func (c *checker) externalName(path *field.Path, name string) {
	if c.required(path, name, "the DNS name that the service stands for") {
		c.failAll(path, name, validation.IsDNS1123Subdomain(strings.TrimSuffix(name, ".")), "write a lower-case DNS name")
	}
}

func (c *checker) protocol(path *field.Path, p corev1.Protocol) {
	c.oneOf(path, string(p), "TCP", "UDP", "SCTP")
}

func (c *checker) servicePort(path *field.Path, port *corev1.ServicePort) {
	c.portNumber(path.Child("port"), port.Port)
	c.protocol(path.Child("protocol"), port.Protocol)
	if port.Name != "" {
		c.failAll(path.Child("name"), port.Name, validation.IsDNS1123Label(port.Name), "write a lower-case name of letters, digits and -")
	}
	target := path.Child("targetPort")
	switch {
	case port.TargetPort.Type == intstr.String && port.TargetPort.StrVal != "":
		c.portName(target, port.TargetPort.StrVal)
	case port.TargetPort.IntVal != 0:
		c.portNumber(target, port.TargetPort.IntVal)
	}
}

func checkEndpointSlice(c *checker, s *discoveryv1.EndpointSlice) {
	kind := field.NewPath("addressType")
	if c.required(kind, string(s.AddressType), "addressType: IPv4, IPv6 or FQDN") {
		c.oneOf(kind, string(s.AddressType), "IPv4", "IPv6", "FQDN")
	}
	for i, endpoint := range s.Endpoints {
		at := field.NewPath("endpoints").Index(i).Child("addresses")
		if len(endpoint.Addresses) == 0 {
			c.fail(at, "at least one address is required", "write the address of the endpoint")
		}
		for j, address := range endpoint.Addresses {
			c.sliceAddress(at.Index(j), s.AddressType, address)
		}
	}
	seen := names{}
	for i, port := range s.Ports {
		at := field.NewPath("ports").Index(i)
		c.endpointPort(at, "", port.Port, port.Protocol)
		if port.Name != nil {
			c.unique(seen, at.Child("name"), *port.Name)
		}
	}
}

func (c *checker) sliceAddress(path *field.Path, kind discoveryv1.AddressType, address string) {
	if kind == discoveryv1.AddressTypeFQDN {
		c.failAll(path, address, validation.IsDNS1123Subdomain(address), "write a lower-case DNS name")
		return
	}
	ip := c.address(path, address)
	if ip.IsValid() && kind != "" && ip.Is4() != (kind == discoveryv1.AddressTypeIPv4) {
		c.fail(path, fmt.Sprintf("%s is not an address of type %s", ip, kind), "put it into a slice of its own type")
	}
}

// address parses an IP address, or records that it is none.
func (c *checker) address(path *field.Path, address string) netip.Addr {
	ip, err := netip.ParseAddr(address)
	if err != nil || ip.Zone() != "" {
		c.fail(path, fmt.Sprintf("%q is not an IP address", reason.Clip(address)), "write an IP address")
		return netip.Addr{}
	}
	return ip
}

func (c *checker) endpointPort(path *field.Path, name string, port *int32, protocol *corev1.Protocol) {
	if port != nil {
		c.portNumber(path.Child("port"), *port)
	}
	if protocol != nil {
		c.protocol(path.Child("protocol"), *protocol)
	}
	if name != "" {
		c.failAll(path.Child("name"), name, validation.IsDNS1123Label(name), "write a lower-case name of letters, digits and -")
	}
}

func checkEndpoints(c *checker, e *corev1.Endpoints) {
	for i, subset := range e.Subsets {
		at := field.NewPath("subsets").Index(i)
		for j, address := range subset.Addresses {
			c.address(at.Child("addresses").Index(j).Child("ip"), address.IP)
		}
		for j, address := range subset.NotReadyAddresses {
			c.address(at.Child("notReadyAddresses").Index(j).Child("ip"), address.IP)
		}
		seen := names{}
		for j := range subset.Ports {
			port, at := &subset.Ports[j], at.Child("ports").Index(j)
			c.endpointPort(at, port.Name, &port.Port, &port.Protocol)
			if len(subset.Ports) > 1 {
				c.required(at.Child("name"), port.Name, "a name: several ports are each named")
			}
			c.unique(seen, at.Child("name"), port.Name)
		}
	}
}
