package source

import (
	"cmp"
	"math"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source/crd"
)

// admit has an object of a custom kind checked and completed by the kind's
// definition, as an API server does. Other kinds stay as they are.
func (r *reading) admit(node *yaml.Node, o *decoded, h header) {
	written := crd.Find(h.APIVersion, h.Kind)
	if written == nil {
		return
	}
	object := r.generic(node, o)
	o.refuse(written.Admit(object, r.config.MaxProblems), r.config.MaxProblems)
	served := written
	if o.kind.version != h.APIVersion {
		served = crd.Find(o.kind.version, h.Kind)
		served.Convert(object)
	}
	o.complete(object, served)
}

// generic reads node as encoding/json would.
func (r *reading) generic(node *yaml.Node, o *decoded) map[string]any {
	d := &decoder{quiet: true, config: &r.config, unfolded: r.unfolded}
	object, _ := asJSON(d.json(node)).(map[string]any)
	r.unfolded = d.unfolded
	if d.exhausted && len(o.problems) == 0 {
		o.problems = append(o.problems, problem{code: reason.TooLarge, line: o.line, message: "the object nests too deep or its aliases unfold to too much"})
	}
	return object
}

// asJSON gives numbers the types that an API server reads them as: integers
// are int64 if they fit, whatever YAML took them for.
func asJSON(value any) any {
	switch value := value.(type) {
	case uint64:
		return float64(value)
	case float64:
		if -1<<63 <= value && value < 1<<63 && value == math.Trunc(value) {
			return int64(value)
		}
	case map[string]any:
		for key, child := range value {
			value[key] = asJSON(child)
		}
	case []any:
		for i, child := range value {
			value[i] = asJSON(child)
		}
	}
	return value
}

// refuse records what an API server has against the object, except what may
// only be a consequence of what the decoder found.
func (o *decoded) refuse(found []crd.Problem, most int) {
	c := checker{object: o}
	found = slices.DeleteFunc(found, func(p crd.Problem) bool { return c.follows(p.Path) })
	for _, p := range found[:min(len(found), max(0, most-len(o.problems)))] {
		o.problems = append(o.problems, problem{
			code: codeOf(p.Type), field: p.Path, line: cmp.Or(o.lines.Of(p.Path), o.line),
			message: p.Message, fix: fixOf(p),
		})
	}
}

// complete makes the typed value of an object that was admitted. One that is
// broken keeps what the decoder could read, with defaults.
func (o *decoded) complete(object map[string]any, served *crd.Kind) {
	if len(o.problems) > 0 {
		object, _ = runtime.DefaultUnstructuredConverter.ToUnstructured(o.value)
		served.Convert(object)
	}
	value := o.kind.make()
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(withoutMetadata(object), value); err != nil {
		o.fallBack(err)
		return
	}
	metadata := func(v metav1.Object) reflect.Value { return reflect.ValueOf(v).Elem().FieldByName("ObjectMeta") }
	metadata(value).Set(metadata(o.value))
	o.value = value
}

// fallBack keeps the value that the decoder read. A value that a schema admits
// and the Go type does not take is refused as well.
func (o *decoded) fallBack(err error) {
	if len(o.problems) == 0 {
		o.problems = append(o.problems, problem{code: reason.WrongType, line: o.line, message: clipTo(err.Error(), 500)})
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
