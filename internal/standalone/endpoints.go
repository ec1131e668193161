package standalone

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
)

//lint:file-ignore SA1019 Endpoints is deprecated, and clusters still have it.

const (
	// loopback is the address of every pod. It needs no privileges, and other machines
	// cannot reach it.
	loopback = "127.0.0.1"
	// managedBy marks the EndpointSlices made by this package.
	managedBy = "standalone.windrose.dev"
	// managedByKubernetes marks those made by a cluster's own controller, in a directory
	// exported from a cluster.
	managedByKubernetes = "endpointslice-controller.k8s.io"
)

// runningPod is the state of a pod at one moment.
type runningPod struct {
	origin reason.Origin
	object *corev1.Pod
	// ports maps TCP container ports to the pod's ports at 127.0.0.1; udp does so for
	// UDP.
	ports, udp map[int32]int32
	ready      bool
}

func isTCP(protocol corev1.Protocol) bool {
	return protocol == "" || protocol == corev1.ProtocolTCP
}

func isUDP(protocol corev1.Protocol) bool { return protocol == corev1.ProtocolUDP }

// containerPorts returns the TCP and UDP ports of a pod's containers, including native
// sidecars.
func containerPorts(spec *corev1.PodSpec) []corev1.ContainerPort {
	var ports []corev1.ContainerPort
	for _, c := range spec.Containers {
		ports = append(ports, c.Ports...)
	}
	for _, c := range spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			ports = append(ports, c.Ports...)
		}
	}
	return slices.DeleteFunc(ports, func(p corev1.ContainerPort) bool { return !isTCP(p.Protocol) && !isUDP(p.Protocol) })
}

// targetPort returns the container port of a pod to which a Service's port leads.
func targetPort(spec *corev1.PodSpec, port corev1.ServicePort) (int32, bool) {
	target := port.TargetPort
	switch {
	case target.Type == intstr.String && target.StrVal != "":
		named := containerPorts(spec)
		i := slices.IndexFunc(named, func(p corev1.ContainerPort) bool {
			return p.Name == target.StrVal && isUDP(p.Protocol) == isUDP(port.Protocol)
		})
		if i < 0 {
			return 0, false
		}
		return named[i].ContainerPort, true
	case target.Type == intstr.Int && target.IntVal != 0:
		return target.IntVal, true
	}
	return port.Port, true
}

// selects reports whether a Service's selector selects a pod.
func selects(service *source.Object[corev1.Service], pod *corev1.Pod) bool {
	if !hasSelector(service) || service.Name().Namespace != pod.Namespace {
		return false
	}
	for key, value := range service.Value.Spec.Selector {
		if got, found := pod.Labels[key]; !found || got != value {
			return false
		}
	}
	return true
}

func hasSelector(service *source.Object[corev1.Service]) bool {
	spec := &service.Value.Spec
	return service.State != source.Tombstone &&
		spec.Type != corev1.ServiceTypeExternalName && len(spec.Selector) > 0
}

// publish returns set with the state of the pods: Pods with a status, and one
// EndpointSlice for each Service and ready pod, since each pod has its own ports. Objects
// that a cluster's controllers made for the same workloads and Services are removed; what
// the user wrote stays.
func publish(set *source.Set, pods []runningPod) *source.Set {
	out := *set
	out.Pods = keep(set.Pods, func(o *source.Object[corev1.Pod]) bool { return !madeByWorkload(set, o) }).
		With(podObjects(pods)...)
	out.EndpointSlices = keep(set.EndpointSlices, func(o *source.Object[discoveryv1.EndpointSlice]) bool {
		return !isExported(set, o)
	}).With(endpointSlices(set, pods)...)
	// A cluster, too, overwrites the Endpoints of a Service with a selector.
	out.Endpoints = keep(set.Endpoints, func(o *source.Object[corev1.Endpoints]) bool {
		service := set.Services.Get(o.Name().Namespace, o.Name().Name)
		return service == nil || !hasSelector(service)
	})
	return &out
}

func keep[T any](index source.Index[T], wanted func(*source.Object[T]) bool) source.Index[T] {
	all := slices.Collect(index.All())
	return source.NewIndex(slices.DeleteFunc(all, func(o *source.Object[T]) bool { return !wanted(o) }))
}

// isExported reports whether a cluster's controller made a slice for a Service whose
// endpoints are made here.
func isExported(set *source.Set, slice *source.Object[discoveryv1.EndpointSlice]) bool {
	labels := slice.Value.Labels
	service := set.Services.Get(slice.Name().Namespace, labels[discoveryv1.LabelServiceName])
	return labels[discoveryv1.LabelManagedBy] == managedByKubernetes && service != nil && hasSelector(service)
}

func podObjects(pods []runningPod) []*source.Object[corev1.Pod] {
	out := make([]*source.Object[corev1.Pod], 0, len(pods))
	for _, pod := range pods {
		object := pod.object.DeepCopy()
		object.Status = status(pod)
		out = append(out, &source.Object[corev1.Pod]{Value: object, Origin: derived(pod.origin, "Pod", object.Namespace, object.Name)})
	}
	return out
}

func status(pod runningPod) corev1.PodStatus {
	if !pod.ready {
		return corev1.PodStatus{
			Phase: corev1.PodPending,
			Conditions: []corev1.PodCondition{
				{Type: corev1.PodScheduled, Status: corev1.ConditionTrue},
				{Type: corev1.PodReady, Status: corev1.ConditionFalse, Reason: "ContainersNotReady"},
			},
		}
	}
	return corev1.PodStatus{
		Phase:  corev1.PodRunning,
		HostIP: loopback, HostIPs: []corev1.HostIP{{IP: loopback}},
		PodIP: loopback, PodIPs: []corev1.PodIP{{IP: loopback}},
		Conditions: []corev1.PodCondition{
			{Type: corev1.PodScheduled, Status: corev1.ConditionTrue},
			{Type: corev1.PodInitialized, Status: corev1.ConditionTrue},
			{Type: corev1.ContainersReady, Status: corev1.ConditionTrue},
			{Type: corev1.PodReady, Status: corev1.ConditionTrue},
		},
	}
}

// derived returns the origin of an object made here: the place of the resource that needs
// it.
func derived(from reason.Origin, kind, namespace, name string) reason.Origin {
	return reason.Origin{Kind: kind, Namespace: namespace, Name: name, File: from.File, Line: from.Line}
}

func endpointSlices(set *source.Set, pods []runningPod) []*source.Object[discoveryv1.EndpointSlice] {
	var out []*source.Object[discoveryv1.EndpointSlice]
	taken := map[source.Name]bool{}
	for service := range set.Services.All() {
		for _, pod := range pods {
			if !pod.ready || !selects(service, pod.object) {
				continue
			}
			ports := slicePorts(service.Value, pod)
			if len(ports) == 0 && len(service.Value.Spec.Ports) > 0 {
				continue
			}
			name := sliceName(set, taken, service, pod)
			taken[name] = true
			out = append(out, endpointSlice(name.Name, service, pod, ports))
		}
	}
	return out
}

// sliceName returns <service>-<pod>, with a hash if another slice has that name: web with
// api-0, and web-api with 0, both give web-api-0.
func sliceName(set *source.Set, taken map[source.Name]bool, service *source.Object[corev1.Service], pod runningPod) source.Name {
	name := source.Name{Namespace: pod.object.Namespace, Name: service.Name().Name + "-" + pod.object.Name}
	if taken[name] || set.EndpointSlices.Get(name.Namespace, name.Name) != nil {
		name.Name += "-" + hashString(service.Name().Name+"/"+pod.object.Name)
	}
	return name
}

func slicePorts(service *corev1.Service, pod runningPod) []discoveryv1.EndpointPort {
	var out []discoveryv1.EndpointPort
	for _, port := range service.Spec.Ports {
		target, found := targetPort(&pod.object.Spec, port)
		ports, protocol := pod.ports, corev1.ProtocolTCP
		if isUDP(port.Protocol) {
			ports, protocol = pod.udp, corev1.ProtocolUDP
		}
		number, listening := ports[target]
		if !found || !listening || !isTCP(port.Protocol) && !isUDP(port.Protocol) {
			continue
		}
		name := port.Name
		out = append(out, discoveryv1.EndpointPort{
			Name: &name, Protocol: &protocol, Port: &number, AppProtocol: port.AppProtocol,
		})
	}
	return out
}

func endpointSlice(name string, service *source.Object[corev1.Service], pod runningPod, ports []discoveryv1.EndpointPort) *source.Object[discoveryv1.EndpointSlice] {
	yes, no := true, false
	namespace := service.Name().Namespace
	endpoint := discoveryv1.Endpoint{
		Addresses:  []string{loopback},
		Conditions: discoveryv1.EndpointConditions{Ready: &yes, Serving: &yes, Terminating: &no},
		TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: pod.object.Namespace, Name: pod.object.Name},
	}
	if spec := &pod.object.Spec; spec.Hostname != "" && spec.Subdomain == service.Name().Name {
		endpoint.Hostname = &spec.Hostname
	}
	value := &discoveryv1.EndpointSlice{
		TypeMeta: metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name,
			Labels: map[string]string{
				discoveryv1.LabelServiceName: service.Name().Name,
				discoveryv1.LabelManagedBy:   managedBy,
			},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "v1", Kind: "Service", Name: service.Name().Name, Controller: &yes,
			}},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{endpoint},
		Ports:       ports,
	}
	return &source.Object[discoveryv1.EndpointSlice]{Value: value, Origin: derived(service.Origin, "EndpointSlice", namespace, name)}
}
