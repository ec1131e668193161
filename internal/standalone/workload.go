package standalone

import (
	"fmt"
	"maps"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
)

// workloadKey names a workload, whose pods are replaced together.
type workloadKey struct {
	kind string
	name source.Name
}

func (k workloadKey) String() string { return k.kind + " " + k.name.String() }

// workload is what Pods, Deployments and StatefulSets have in common.
type workload struct {
	workloadKey
	origin reason.Origin
	// at returns the origin of a field of the object as it was written.
	at func(field string) reason.Origin
	// prefix is the path of the pod within the object: "" or "spec.template.".
	prefix string
	// template is shared with the Set: do not change it.
	template corev1.PodTemplateSpec
	replicas int
	// pods returns n pods as the API server would hold them before they run.
	pods func(n int) []*corev1.Pod
}

// workloads lists the workloads of the Set, in a stable order.
func workloads(set *source.Set) []workload {
	var out []workload
	for object := range set.Deployments.All() {
		if object.State != source.Tombstone {
			out = append(out, deployment(object))
		}
	}
	for object := range set.StatefulSets.All() {
		if object.State != source.Tombstone {
			out = append(out, statefulSet(object))
		}
	}
	for object := range set.Pods.All() {
		if object.State != source.Tombstone && !madeByWorkload(set, object) {
			out = append(out, barePod(object))
		}
	}
	return out
}

// madeByWorkload reports whether a workload in the same directory made a Pod, as in an
// export of a cluster. The workload makes its own pods here, so that pod would exist
// twice.
func madeByWorkload(set *source.Set, pod *source.Object[corev1.Pod]) bool {
	owner := metav1.GetControllerOf(pod.Value)
	if owner == nil {
		return false
	}
	namespace := pod.Name().Namespace
	switch owner.Kind {
	case "StatefulSet":
		return set.StatefulSets.Get(namespace, owner.Name) != nil
	case "ReplicaSet":
		cut := max(strings.LastIndexByte(owner.Name, '-'), 0)
		return set.Deployments.Get(namespace, owner.Name[:cut]) != nil
	}
	return false
}

func deployment(object *source.Object[appsv1.Deployment]) workload {
	name, spec := object.Name(), &object.Value.Spec
	return workload{
		workloadKey: workloadKey{"Deployment", name},
		origin:      object.Origin, at: object.At, prefix: "spec.template.",
		template: spec.Template, replicas: replicas(spec.Replicas),
		pods: func(n int) []*corev1.Pod { return deploymentPods(name, &spec.Template, n) },
	}
}

// deploymentPods returns pods that are owned by a ReplicaSet, as on a cluster, although
// none exists here: tools find the Deployment by the ReplicaSet's name.
func deploymentPods(name source.Name, template *corev1.PodTemplateSpec, n int) []*corev1.Pod {
	hash := contentHash(template)
	owner := controller("ReplicaSet", name.Name+"-"+hash)
	pods := make([]*corev1.Pod, 0, n)
	for _, suffix := range podSuffixes(hash, n) {
		pod := podFrom(template, name.Namespace, fmt.Sprintf("%s-%s-%s", name.Name, hash, suffix))
		pod.GenerateName = name.Name + "-" + hash + "-"
		pod.OwnerReferences = owner
		setLabel(pod, appsv1.DefaultDeploymentUniqueLabelKey, hash)
		pods = append(pods, pod)
	}
	return pods
}

func statefulSet(object *source.Object[appsv1.StatefulSet]) workload {
	spec := &object.Value.Spec
	return workload{
		workloadKey: workloadKey{"StatefulSet", object.Name()},
		origin:      object.Origin, at: object.At, prefix: "spec.template.",
		template: spec.Template, replicas: replicas(spec.Replicas),
		pods: func(n int) []*corev1.Pod { return statefulSetPods(object.Name(), spec, n) },
	}
}

func statefulSetPods(name source.Name, spec *appsv1.StatefulSetSpec, n int) []*corev1.Pod {
	hash := contentHash(&spec.Template)
	first := 0
	if spec.Ordinals != nil {
		first = int(spec.Ordinals.Start)
	}
	pods := make([]*corev1.Pod, 0, n)
	for i := range n {
		ordinal := fmt.Sprint(first + i)
		pod := podFrom(&spec.Template, name.Namespace, name.Name+"-"+ordinal)
		pod.OwnerReferences = controller("StatefulSet", name.Name)
		pod.Spec.Hostname, pod.Spec.Subdomain = pod.Name, spec.ServiceName
		setLabel(pod, appsv1.StatefulSetPodNameLabel, pod.Name)
		setLabel(pod, appsv1.PodIndexLabel, ordinal)
		setLabel(pod, appsv1.ControllerRevisionHashLabelKey, name.Name+"-"+hash)
		pods = append(pods, pod)
	}
	return pods
}

func barePod(object *source.Object[corev1.Pod]) workload {
	name, pod := object.Name(), object.Value
	template := corev1.PodTemplateSpec{ObjectMeta: pod.ObjectMeta, Spec: pod.Spec}
	return workload{
		workloadKey: workloadKey{"Pod", name},
		origin:      object.Origin, at: object.At,
		template: template, replicas: 1,
		pods: func(n int) []*corev1.Pod {
			made := podFrom(&template, name.Namespace, name.Name)
			made.OwnerReferences = pod.OwnerReferences
			return []*corev1.Pod{made}[:n]
		},
	}
}

// podFrom makes a pod from a template, and does not change the template.
func podFrom(template *corev1.PodTemplateSpec, namespace, name string) *corev1.Pod {
	pod := &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name,
			Labels:      maps.Clone(template.Labels),
			Annotations: maps.Clone(template.Annotations),
		},
		Spec: *template.Spec.DeepCopy(),
	}
	if pod.Spec.ServiceAccountName == "" {
		pod.Spec.ServiceAccountName = "default"
	}
	return pod
}

func setLabel(pod *corev1.Pod, key, value string) {
	if pod.Labels == nil {
		pod.Labels = map[string]string{}
	}
	pod.Labels[key] = value
}

func controller(kind, name string) []metav1.OwnerReference {
	yes := true
	return []metav1.OwnerReference{{
		APIVersion: "apps/v1", Kind: kind, Name: name, Controller: &yes, BlockOwnerDeletion: &yes,
	}}
}

// replicas returns the number of replicas; as in Kubernetes, the default is one.
func replicas(n *int32) int {
	if n == nil {
		return 1
	}
	return max(int(*n), 0)
}
