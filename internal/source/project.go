package source

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A Set lives as long as its configuration, and a cluster's may have 100,000 Pods: what
// nothing in Windrose reads is dropped once an object was checked, before it is kept.

// projectMeta drops what tools note in every object: who manages which field, and the
// text that kubectl applied last, which holds a copy of the object.
func projectMeta(o metav1.Object) {
	o.SetManagedFields(nil)
	annotations := o.GetAnnotations()
	if _, has := annotations[corev1.LastAppliedConfigAnnotation]; has {
		annotations = maps.Clone(annotations)
		delete(annotations, corev1.LastAppliedConfigAnnotation)
		o.SetAnnotations(annotations)
	}
}

// projectPodSpec keeps what names a pod, and what its containers run and listen on.
func projectPodSpec(spec *corev1.PodSpec) {
	*spec = corev1.PodSpec{
		Containers: spec.Containers, InitContainers: spec.InitContainers,
		RestartPolicy: spec.RestartPolicy, TerminationGracePeriodSeconds: spec.TerminationGracePeriodSeconds,
		ServiceAccountName: spec.ServiceAccountName, NodeName: spec.NodeName, HostNetwork: spec.HostNetwork,
		Hostname: spec.Hostname, Subdomain: spec.Subdomain,
	}
	for _, containers := range [][]corev1.Container{spec.Containers, spec.InitContainers} {
		for i := range containers {
			c := &containers[i]
			*c = corev1.Container{
				Name: c.Name, Image: c.Image, Command: c.Command, Args: c.Args, WorkingDir: c.WorkingDir,
				Ports: c.Ports, Env: c.Env, EnvFrom: c.EnvFrom, RestartPolicy: c.RestartPolicy,
			}
		}
	}
}
