package ingress

import (
	"fmt"

	networkingv1 "k8s.io/api/networking/v1"

	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
)

// legacyClass is the annotation that named the class before the field existed.
const legacyClass = "kubernetes.io/ingress.class"

// classes decides which Ingresses are served.
type classes struct {
	// only limits this to one class; empty serves every class.
	only string
	// byDefault is the default class, for Ingresses that name none.
	byDefault string
}

func newClasses(set *source.Set, only string) (classes, []reason.Report) {
	c := classes{only: only}
	var chosen *source.Object[networkingv1.IngressClass]
	var marked []*source.Object[networkingv1.IngressClass]
	for object := range set.IngressClasses.All() {
		if object.Value.Annotations[networkingv1.AnnotationIsDefaultIngressClass] != "true" {
			continue
		}
		marked = append(marked, object)
		// As in Kubernetes: the newest, then the first by name.
		if chosen == nil || chosen.Value.CreationTimestamp.Before(&object.Value.CreationTimestamp) {
			chosen = object
		}
	}
	if chosen == nil {
		return c, nil
	}
	c.byDefault = chosen.Origin.Name
	var reports []reason.Report
	for _, object := range marked {
		if object != chosen {
			at := object.At("metadata.annotations[" + networkingv1.AnnotationIsDefaultIngressClass + "]")
			reports = append(reports, reason.New(reason.DefaultClassConflict, at,
				fmt.Sprintf("IngressClass %s is marked as default too, and wins", chosen.Origin.Name)))
		}
	}
	return c, reports
}

// serves reports whether an Ingress is served; if not, the Report says why.
func (c classes) serves(object *source.Object[networkingv1.Ingress]) (bool, *reason.Report) {
	class, field := c.byDefault, "spec.ingressClassName"
	switch {
	case object.Value.Spec.IngressClassName != nil:
		class = *object.Value.Spec.IngressClassName
	case object.Value.Annotations[legacyClass] != "":
		class, field = object.Value.Annotations[legacyClass], "metadata.annotations["+legacyClass+"]"
	}
	// The class of a tombstone may itself be broken.
	if c.only == "" || class == c.only || object.State == source.Tombstone {
		return true, nil
	}
	message := fmt.Sprintf("class %q is not served; --class serves %q", class, c.only)
	if class == "" {
		message = fmt.Sprintf("it names no class and there is no default class; --class serves %q", c.only)
	}
	report := reason.New(reason.ClassNotServed, object.At(field), message)
	return false, &report
}
