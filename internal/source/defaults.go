package source

import (
	"maps"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

//lint:file-ignore SA1019 Endpoints is deprecated, and clusters still have it.

// The defaults below are those of an API server, as far as somebody here reads
// them. One is left out on purpose: conditions.ready of an endpoint may stay
// nil, which its readers are to take as true.

// completeNamespace labels a namespace with its name, which selectors rely on.
func completeNamespace(n *corev1.Namespace) {
	if n.Name == "" {
		return
	}
	labels := maps.Clone(n.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[corev1.LabelMetadataName] = n.Name
	n.Labels = labels
}

func completeService(s *corev1.Service) {
	orDefault(&s.Spec.Type, corev1.ServiceTypeClusterIP)
	completeAffinity(&s.Spec)
	completeTrafficPolicies(&s.Spec)
	for i := range s.Spec.Ports {
		port := &s.Spec.Ports[i]
		orDefault(&port.Protocol, corev1.ProtocolTCP)
		if port.TargetPort == intstr.FromInt32(0) || port.TargetPort == intstr.FromString("") {
			port.TargetPort = intstr.FromInt32(port.Port)
		}
	}
}

// completeAffinity sets for how long a client stays with its endpoint: three
// hours.
func completeAffinity(s *corev1.ServiceSpec) {
	orDefault(&s.SessionAffinity, corev1.ServiceAffinityNone)
	switch s.SessionAffinity {
	case corev1.ServiceAffinityNone:
		s.SessionAffinityConfig = nil
	case corev1.ServiceAffinityClientIP:
		if s.SessionAffinityConfig == nil || s.SessionAffinityConfig.ClientIP == nil || s.SessionAffinityConfig.ClientIP.TimeoutSeconds == nil {
			timeout := corev1.DefaultClientIPServiceAffinitySeconds
			s.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: &timeout}}
		}
	}
}

func completeTrafficPolicies(s *corev1.ServiceSpec) {
	if s.Type == corev1.ServiceTypeNodePort || s.Type == corev1.ServiceTypeLoadBalancer {
		orDefault(&s.ExternalTrafficPolicy, corev1.ServiceExternalTrafficPolicyCluster)
	}
	if s.Type != corev1.ServiceTypeExternalName {
		orNew(&s.InternalTrafficPolicy, corev1.ServiceInternalTrafficPolicyCluster)
	}
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func orNew[T any](field **T, value T) {
	if *field == nil {
		*field = &value
	}
}

func completeEndpointSlice(s *discoveryv1.EndpointSlice) {
	for i := range s.Ports {
		orNew(&s.Ports[i].Name, "")
		orNew(&s.Ports[i].Protocol, corev1.ProtocolTCP)
	}
}

func completeEndpoints(e *corev1.Endpoints) {
	for i := range e.Subsets {
		ports := e.Subsets[i].Ports
		for j := range ports {
			orDefault(&ports[j].Protocol, corev1.ProtocolTCP)
		}
	}
}

// completeSecret merges stringData into data, over which it wins.
func completeSecret(s *corev1.Secret) {
	orDefault(&s.Type, corev1.SecretTypeOpaque)
	if len(s.StringData) == 0 {
		return
	}
	data := maps.Clone(s.Data)
	if data == nil {
		data = make(map[string][]byte, len(s.StringData))
	}
	for key, value := range s.StringData {
		data[key] = []byte(value)
	}
	s.Data, s.StringData = data, nil
}

func completePodSpec(spec *corev1.PodSpec) {
	orDefault(&spec.RestartPolicy, corev1.RestartPolicyAlways)
	completePorts(spec.InitContainers)
	completePorts(spec.Containers)
}

func completePorts(containers []corev1.Container) {
	for i := range containers {
		ports := containers[i].Ports
		for j := range ports {
			orDefault(&ports[j].Protocol, corev1.ProtocolTCP)
		}
	}
}

func completeDeployment(d *appsv1.Deployment) {
	orNew(&d.Spec.Replicas, 1)
	completePodSpec(&d.Spec.Template.Spec)
}

func completeStatefulSet(s *appsv1.StatefulSet) {
	orNew(&s.Spec.Replicas, 1)
	completePodSpec(&s.Spec.Template.Spec)
}
