package source

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"windrose.dev/windrose/internal/reason"
)

// checker collects what an API server would refuse in one object.
type checker struct {
	object   *Resource
	problems []Problem
	most     int // problems
}

// fail records that the value at path is refused.
func (c *checker) fail(path *field.Path, message, fix string) {
	at := path.String()
	if len(c.problems) >= c.most || c.follows(at) {
		return
	}
	line := c.object.Lines.Of(at)
	if line == 0 {
		line = c.object.Line
	}
	c.problems = append(c.problems, Problem{Code: reason.InvalidValue, Field: at, Line: line, Message: message, Fix: fix})
}

// follows reports whether a problem at path may only be a consequence of one that
// the decoder found nearby: a misspelled field is also a missing one.
func (c *checker) follows(path string) bool {
	return slices.ContainsFunc(c.object.Problems, func(p Problem) bool {
		mapping := p.Field[:max(strings.LastIndexAny(p.Field, ".["), 0)]
		return mapping == "" && !strings.HasPrefix(path, "metadata") || mapping != "" && strings.HasPrefix(path, mapping)
	})
}

// failAll records the messages that a function of Kubernetes's own gave.
func (c *checker) failAll(path *field.Path, value string, messages []string, fix string) bool {
	for _, message := range messages {
		c.fail(path, fmt.Sprintf("%q is refused: %s", reason.Clip(value), shortened(message)), fix)
	}
	return len(messages) > 0
}

// failErrors records the errors that a validation of Kubernetes's own gave.
func (c *checker) failErrors(errs field.ErrorList, fix string) {
	for _, err := range errs {
		c.fail(field.NewPath(err.Field), shortened(err.ErrorBody()), fix)
	}
}

var regexpAside = regexp.MustCompile(` \(e\.g\. .*?regex used for validation is '[^']*'\)`)

// shortened leaves out the regular expressions that Kubernetes's messages end
// with; the fix says it in words.
func shortened(message string) string {
	return reason.ClipTo(regexpAside.ReplaceAllString(message, ""), 500)
}

func (c *checker) required(path *field.Path, value, what string) bool {
	if value == "" {
		c.fail(path, "a value is required", "write "+what)
	}
	return value != ""
}

// oneOf checks an enum; the empty value is the default.
func (c *checker) oneOf(path *field.Path, value string, allowed ...string) {
	if value != "" && !slices.Contains(allowed, value) {
		c.fail(path, fmt.Sprintf("%q is not one of %s", reason.Clip(value), strings.Join(allowed, ", ")), enumFix(value, allowed))
	}
}

func enumFix(value string, allowed []string) string {
	if near := Nearest(value, allowed); near != "" {
		return "write " + near
	}
	return "write one of " + strings.Join(allowed, ", ")
}

func (c *checker) portNumber(path *field.Path, port int32) {
	if port < 1 || port > 65535 {
		c.fail(path, fmt.Sprintf("%d is not a port", port), "write a port from 1 to 65535")
	}
}

func (c *checker) portName(path *field.Path, name string) {
	c.failAll(path, name, validation.IsValidPortName(name), "write a port's name, such as http")
}

// names finds names that stand twice in a list.
type names map[string]bool

func (c *checker) unique(seen names, path *field.Path, name string) {
	if name != "" && seen[name] {
		c.fail(path, fmt.Sprintf("%q stands twice in the list", reason.Clip(name)), "rename or remove one of the two")
	}
	seen[name] = true
}

func (c *checker) metadata() {
	meta := field.NewPath("metadata")
	value, k := c.object.Value, c.object.Kind
	if c.required(meta.Child("name"), value.GetName(), "a name") {
		c.failAll(meta.Child("name"), value.GetName(), k.validName(value.GetName()), "write a lower-case name of letters, digits and -")
	}
	if !k.Cluster {
		c.failAll(meta.Child("namespace"), value.GetNamespace(), validation.IsDNS1123Label(value.GetNamespace()), "write the name of a namespace")
	}
	c.labels(meta.Child("labels"), value.GetLabels())
	for key := range value.GetAnnotations() {
		if messages := validation.IsQualifiedName(strings.ToLower(key)); len(messages) > 0 {
			c.failAll(meta.Child("annotations").Key(key), key, messages, "write a key such as example.com/name")
		}
	}
}

func (c *checker) labels(path *field.Path, labels map[string]string) {
	if len(labels) > 0 {
		c.failErrors(metav1validation.ValidateLabels(labels, path), "write a key and a value that labels may have")
	}
}
