package source

import (
	"fmt"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func checkSecret(c *checker, s *corev1.Secret) {
	c.dataKeys(field.NewPath("data"), slices.Sorted(maps.Keys(s.Data)))
	c.dataKeys(field.NewPath("stringData"), slices.Sorted(maps.Keys(s.StringData)))
}

func checkConfigMap(c *checker, m *corev1.ConfigMap) {
	c.dataKeys(field.NewPath("data"), slices.Sorted(maps.Keys(m.Data)))
	binary := field.NewPath("binaryData")
	c.dataKeys(binary, slices.Sorted(maps.Keys(m.BinaryData)))
	for key := range m.BinaryData {
		if _, both := m.Data[key]; both {
			c.fail(binary.Key(key), "the key stands in data and in binaryData", "remove one of the two")
		}
	}
}

func (c *checker) dataKeys(path *field.Path, keys []string) {
	for _, key := range keys {
		c.failAll(path.Key(key), key, validation.IsConfigMapKey(key), "write a key of letters, digits, -, _ and .")
	}
}

func checkPod(c *checker, p *corev1.Pod) { c.podSpec(field.NewPath("spec"), &p.Spec) }

// podSpec checks what decides how traffic finds a pod's ports. It does not ask
// for images: a loopback pod has none.
func (c *checker) podSpec(path *field.Path, spec *corev1.PodSpec) {
	containers := path.Child("containers")
	if len(spec.Containers) == 0 {
		c.fail(containers, "at least one container is required", "write a container")
	}
	seenContainers, seenPorts := names{}, names{}
	for i := range spec.Containers {
		container, at := &spec.Containers[i], containers.Index(i)
		if c.required(at.Child("name"), container.Name, "a name") {
			c.failAll(at.Child("name"), container.Name, validation.IsDNS1123Label(container.Name), "write a lower-case name of letters, digits and -")
		}
		c.unique(seenContainers, at.Child("name"), container.Name)
		for j := range container.Ports {
			c.containerPort(at.Child("ports").Index(j), &container.Ports[j], seenPorts)
		}
	}
}

func (c *checker) containerPort(path *field.Path, port *corev1.ContainerPort, seen names) {
	c.portNumber(path.Child("containerPort"), port.ContainerPort)
	c.protocol(path.Child("protocol"), port.Protocol)
	if port.Name != "" {
		c.portName(path.Child("name"), port.Name)
		c.unique(seen, path.Child("name"), port.Name)
	}
}

func checkDeployment(c *checker, d *appsv1.Deployment) {
	c.workload(d.Spec.Replicas, d.Spec.Selector, &d.Spec.Template)
}

func checkStatefulSet(c *checker, s *appsv1.StatefulSet) {
	c.workload(s.Spec.Replicas, s.Spec.Selector, &s.Spec.Template)
}

func (c *checker) workload(replicas *int32, selector *metav1.LabelSelector, template *corev1.PodTemplateSpec) {
	spec := field.NewPath("spec")
	if replicas != nil && *replicas < 0 {
		c.fail(spec.Child("replicas"), fmt.Sprintf("%d is negative", *replicas), "write 0 or more")
	}
	at := spec.Child("template")
	c.labels(at.Child("metadata", "labels"), template.Labels)
	c.podSpec(at.Child("spec"), &template.Spec)
	c.selector(spec.Child("selector"), selector, template.Labels)
}

// selector checks that a workload selects its own pods.
func (c *checker) selector(path *field.Path, selector *metav1.LabelSelector, own map[string]string) {
	if selector == nil || len(selector.MatchLabels)+len(selector.MatchExpressions) == 0 {
		c.fail(path, "a selector is required", "write matchLabels with the labels of the template")
		return
	}
	matcher, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		c.fail(path, err.Error(), "write a selector such as matchLabels: {app: web}")
		return
	}
	if !matcher.Matches(labels.Set(own)) {
		c.fail(path, "the selector does not match the labels of the template", "give spec.template.metadata.labels what the selector asks for")
	}
}
