package source

import (
	"cmp"
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source/crd"
)

// Defined reports whether a CustomResourceDefinition says what an object of that
// apiVersion and kind may be; see Admit.
func Defined(apiVersion, kind string) bool { return crd.Find(apiVersion, kind) != nil }

// Admit has an object checked and completed by its definition, as an API server does, up
// to a number of problems. object is the same as r.Value, as JSON has it; apiVersion and
// kind are as they were written.
func (r *Resource) Admit(apiVersion, kind string, object map[string]any, most int) {
	written := crd.Find(apiVersion, kind)
	r.refuse(written.Admit(object, most), most)
	served := written
	if r.Kind.Version != apiVersion {
		served = crd.Find(r.Kind.Version, kind)
		served.Convert(object)
	}
	r.admitted(object, served)
}

// refuse records what an API server has against the object, except what may
// only be a consequence of what the decoder found.
func (r *Resource) refuse(found []crd.Problem, most int) {
	c := checker{object: r}
	found = slices.DeleteFunc(found, func(p crd.Problem) bool { return c.follows(p.Path) })
	for _, p := range found[:min(len(found), max(0, most-len(r.Problems)))] {
		r.Problems = append(r.Problems, Problem{
			Code: codeOf(p.Type), Field: p.Path, Line: cmp.Or(r.Lines.Of(p.Path), r.Line),
			Message: p.Message, Fix: fixOf(p),
		})
	}
}

// admitted makes the typed value of an object that was admitted. One that is
// broken keeps what the decoder could read, with defaults.
func (r *Resource) admitted(object map[string]any, served *crd.Kind) {
	if len(r.Problems) > 0 {
		object, _ = runtime.DefaultUnstructuredConverter.ToUnstructured(r.Value)
		served.Convert(object)
	}
	value := r.Kind.make()
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(withoutMetadata(object), value); err != nil {
		r.fallBack(err)
		return
	}
	metadata := func(v metav1.Object) reflect.Value { return reflect.ValueOf(v).Elem().FieldByName("ObjectMeta") }
	metadata(value).Set(metadata(r.Value))
	r.Value = value
}

// fallBack keeps the value that the decoder read. A value that a schema admits
// and the Go type does not take is refused as well.
func (r *Resource) fallBack(err error) {
	if len(r.Problems) == 0 {
		r.Problems = append(r.Problems, Problem{Code: reason.WrongType, Line: r.Line, Message: reason.ClipTo(err.Error(), 500)})
	}
}

func withoutMetadata(object map[string]any) map[string]any {
	delete(object, "metadata")
	return object
}

// codeOf maps the types of problems to codes; the rest are values.
func codeOf(t crd.Type) reason.Code {
	switch t {
	case crd.Unknown:
		return reason.UnknownField
	case crd.WrongType:
		return reason.WrongType
	case crd.TooLarge:
		return reason.TooLarge
	}
	return reason.InvalidValue
}

// fixOf is more specific than the code's own fix where that is easy, and
// otherwise empty.
func fixOf(p crd.Problem) string {
	switch p.Type {
	case crd.Required:
		return "write " + p.Path[strings.LastIndexByte(p.Path, '.')+1:]
	case crd.Unsupported:
		return enumFix(p.Value, p.Allowed)
	case crd.Duplicate:
		return "rename or remove one of the two"
	}
	i := slices.IndexFunc(ruleFixes, func(f ruleFix) bool {
		return strings.Contains(p.Path, f.at) && strings.Contains(p.Message, f.says)
	})
	if i < 0 {
		return ""
	}
	return ruleFixes[i].fix
}

// ruleFix is the next step after a message of a definition's rule, at paths
// that have a part in them.
type ruleFix struct{ at, says, fix string }

// ruleFixes are those for common slips. The first that fits counts.
var ruleFixes = []ruleFix{
	{".hostname", "should match", "write a lower-case DNS name without a port, with *. in front at most"},
	{".timeouts", "should match", "write a duration such as 500ms, 10s or 1m30s"},
	{".controllerName", "should match", "write a name such as example.com/controller"},
	{".path", "start with '/'", "begin the path with /"},
	{".path", "must not contain", "remove it"},
	{".path", "must not end with", "remove it"},
	{"", "RequestRedirect filter must not be used together with backendRefs", "remove the backendRefs, or the redirect"},
	{"", "backendRequest timeout cannot be longer than request timeout", "make backendRequest as long as request, or shorter"},
	{"", "exactly one PathPrefix match must be specified", "give the rule one match, with a path of type PathPrefix"},
	{"", "filter cannot be repeated", "make one filter of the two"},
	{"", "must be specified for", "write it, or change the filter's type"},
	{"", "if the filter.type is not", "remove it, or change the filter's type"},
	{"", "sectionName or port must be", "tell the parents apart by sectionName or port, or remove one"},
	{"", "Must have port for Service reference", "write the port"},
	{"", "Combination of port, protocol and hostname must be unique", "give each listener another hostname or port"},
	{"", "must be unique", "rename or remove one of the two"},
	{"", "certificateRefs or options must be specified", "name the Secret of the certificate in tls.certificateRefs"},
	{"", "tls must not be specified for protocols", "remove tls, or write protocol: HTTPS"},
	{"", "tls mode must be Terminate for protocol HTTPS", "write mode: Terminate, or protocol: TLS"},
	{"", "tls mode must be set for protocol TLS", "write mode: Passthrough or mode: Terminate in tls"},
	{"", "hostname must not be specified for protocols", "remove the hostname"},
}
