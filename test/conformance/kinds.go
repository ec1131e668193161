package conformance

import (
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// resource is a kind as the API defines it.
type resource struct {
	group, kind, plural string
	versions            []string
	cluster             bool // it has no namespace
}

const gatewayGroup = "gateway.networking.k8s.io"

// resources are the kinds that the suite reads or writes.
var resources = []resource{
	{"", "Namespace", "namespaces", []string{"v1"}, true},
	{"", "Service", "services", []string{"v1"}, false},
	{"", "ServiceAccount", "serviceaccounts", []string{"v1"}, false},
	{"", "Secret", "secrets", []string{"v1"}, false},
	{"", "ConfigMap", "configmaps", []string{"v1"}, false},
	{"", "Pod", "pods", []string{"v1"}, false},
	{"apps", "Deployment", "deployments", []string{"v1"}, false},
	{"discovery.k8s.io", "EndpointSlice", "endpointslices", []string{"v1"}, false},
	{"apiextensions.k8s.io", "CustomResourceDefinition", "customresourcedefinitions", []string{"v1"}, true},
	{gatewayGroup, "GatewayClass", "gatewayclasses", []string{"v1", "v1beta1"}, true},
	{gatewayGroup, "Gateway", "gateways", []string{"v1", "v1beta1"}, false},
	{gatewayGroup, "ListenerSet", "listenersets", []string{"v1"}, false},
	{gatewayGroup, "HTTPRoute", "httproutes", []string{"v1", "v1beta1"}, false},
	{gatewayGroup, "GRPCRoute", "grpcroutes", []string{"v1"}, false},
	{gatewayGroup, "TLSRoute", "tlsroutes", []string{"v1", "v1alpha2", "v1alpha3"}, false},
	{gatewayGroup, "TCPRoute", "tcproutes", []string{"v1", "v1alpha2"}, false},
	{gatewayGroup, "UDPRoute", "udproutes", []string{"v1", "v1alpha2"}, false},
	{gatewayGroup, "BackendTLSPolicy", "backendtlspolicies", []string{"v1", "v1alpha3"}, false},
	{gatewayGroup, "ReferenceGrant", "referencegrants", []string{"v1", "v1beta1"}, false},
}

// findKind returns the resource of a kind, or nil.
func findKind(group, kind string) *resource {
	return findResource(func(r *resource) bool { return r.group == group && r.kind == kind })
}

// findPlural returns the resource by its name in URLs, or nil.
func findPlural(group, plural string) *resource {
	return findResource(func(r *resource) bool { return r.group == group && r.plural == plural })
}

func findResource(is func(*resource) bool) *resource {
	for i := range resources {
		if is(&resources[i]) {
			return &resources[i]
		}
	}
	return nil
}

// restMapper returns a mapper for clients, which then need no discovery.
func restMapper() meta.RESTMapper {
	mapper := meta.NewDefaultRESTMapper(nil)
	for i := range resources {
		r := &resources[i]
		scope := meta.RESTScopeNamespace
		if r.cluster {
			scope = meta.RESTScopeRoot
		}
		for _, version := range r.versions {
			at := schema.GroupVersion{Group: r.group, Version: version}
			mapper.AddSpecific(at.WithKind(r.kind), at.WithResource(r.plural), at.WithResource(r.plural), scope)
		}
	}
	return mapper
}
