package source

import (
	"fmt"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"windrose.dev/windrose/internal/reason"
)

func checkIngress(c *checker, in *networkingv1.Ingress) {
	spec := field.NewPath("spec")
	if len(in.Spec.Rules) == 0 && in.Spec.DefaultBackend == nil {
		c.fail(spec, "neither rules nor defaultBackend is there", "write at least one rule, or a default backend")
	}
	if backend := in.Spec.DefaultBackend; backend != nil {
		c.ingressBackend(spec.Child("defaultBackend"), backend)
	}
	if class := in.Spec.IngressClassName; class != nil {
		c.failAll(spec.Child("ingressClassName"), *class, validation.IsDNS1123Subdomain(*class), "write the name of an IngressClass")
	}
	for i, rule := range in.Spec.Rules {
		c.ingressRule(spec.Child("rules").Index(i), &rule)
	}
	for i, tls := range in.Spec.TLS {
		c.ingressTLS(spec.Child("tls").Index(i), &tls)
	}
}

func (c *checker) ingressRule(path *field.Path, rule *networkingv1.IngressRule) {
	if rule.Host != "" {
		c.host(path.Child("host"), rule.Host)
	}
	if rule.HTTP == nil {
		return
	}
	paths := path.Child("http", "paths")
	if len(rule.HTTP.Paths) == 0 {
		c.fail(paths, "at least one path is required", "write a path, or remove http")
	}
	for i := range rule.HTTP.Paths {
		c.ingressPath(paths.Index(i), &rule.HTTP.Paths[i])
	}
}

func (c *checker) ingressTLS(path *field.Path, tls *networkingv1.IngressTLS) {
	for i, host := range tls.Hosts {
		c.host(path.Child("hosts").Index(i), host)
	}
	if tls.SecretName != "" {
		c.failAll(path.Child("secretName"), tls.SecretName, validation.IsDNS1123Subdomain(tls.SecretName), "write the name of a Secret")
	}
}

// host checks a host of an Ingress: a DNS name in lower case, whose first
// label may be a wildcard as a whole, and no address.
func (c *checker) host(path *field.Path, host string) {
	const fix = "write a lower-case DNS name, with *. in front at most"
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		c.fail(path, fmt.Sprintf("%q is an IP address, not a DNS name", reason.Clip(host)), "write a DNS name, or leave host out to match every host")
		return
	}
	if strings.Contains(host, "*") {
		c.failAll(path, host, validation.IsWildcardDNS1123Subdomain(host), fix)
		return
	}
	c.failAll(path, host, validation.IsDNS1123Subdomain(host), fix)
}

func (c *checker) ingressPath(path *field.Path, p *networkingv1.HTTPIngressPath) {
	c.ingressBackend(path.Child("backend"), &p.Backend)
	at := path.Child("path")
	pathType := networkingv1.PathType("")
	if p.PathType != nil {
		pathType = *p.PathType
	}
	if c.required(path.Child("pathType"), string(pathType), "pathType: Prefix, Exact or ImplementationSpecific") {
		c.oneOf(path.Child("pathType"), string(pathType), "Exact", "Prefix", "ImplementationSpecific")
	}
	switch {
	case p.Path == "" && pathType == networkingv1.PathTypeImplementationSpecific:
	case !strings.HasPrefix(p.Path, "/"):
		c.fail(at, fmt.Sprintf("%q does not begin with /", reason.Clip(p.Path)), "begin the path with /")
	case pathType != networkingv1.PathTypeImplementationSpecific:
		c.pathSteps(at, p.Path)
	}
}

// pathSteps refuses what an API server refuses in Exact and Prefix paths: steps
// that requests never have once they are normalized.
func (c *checker) pathSteps(at *field.Path, path string) {
	for _, step := range []string{"//", "/./", "/../", "%2f", "%2F"} {
		if strings.Contains(path, step) {
			c.fail(at, fmt.Sprintf("a path must not contain %q", step), "remove it")
		}
	}
	for _, end := range []string{"/..", "/."} {
		if strings.HasSuffix(path, end) {
			c.fail(at, fmt.Sprintf("a path must not end with %q", end), "remove it")
		}
	}
}

func (c *checker) ingressBackend(path *field.Path, backend *networkingv1.IngressBackend) {
	switch {
	case backend.Service == nil && backend.Resource == nil:
		c.fail(path, "a backend is required", "name a service and its port")
	case backend.Service != nil && backend.Resource != nil:
		c.fail(path, "a backend is either a service or a resource, not both", "remove one of the two")
	case backend.Service != nil:
		c.serviceBackend(path.Child("service"), backend.Service)
	default:
		c.resourceBackend(path.Child("resource"), backend.Resource)
	}
}

func (c *checker) serviceBackend(path *field.Path, service *networkingv1.IngressServiceBackend) {
	if c.required(path.Child("name"), service.Name, "the name of a Service") {
		c.failAll(path.Child("name"), service.Name, validation.IsDNS1123Label(service.Name), "write the name of a Service")
	}
	port := path.Child("port")
	switch {
	case service.Port.Name == "" && service.Port.Number == 0:
		c.fail(port, "a port is required", "write the number or the name of one of the Service's ports")
	case service.Port.Name != "" && service.Port.Number != 0:
		c.fail(port, "a port has either a name or a number, not both", "remove one of the two")
	case service.Port.Name != "":
		c.portName(port.Child("name"), service.Port.Name)
	default:
		c.portNumber(port.Child("number"), service.Port.Number)
	}
}

func (c *checker) resourceBackend(path *field.Path, ref *corev1.TypedLocalObjectReference) {
	c.required(path.Child("kind"), ref.Kind, "the kind of the resource")
	c.required(path.Child("name"), ref.Name, "the name of the resource")
}

func checkIngressClass(c *checker, class *networkingv1.IngressClass) {
	at := field.NewPath("spec", "controller")
	if c.required(at, class.Spec.Controller, "the controller's name, such as k8s.io/ingress-nginx") {
		c.failErrors(validation.IsDomainPrefixedPath(at, class.Spec.Controller), "write a name such as example.com/controller")
	}
}
