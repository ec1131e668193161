package dir

import (
	"math"

	"go.yaml.in/yaml/v3"

	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
)

// admit has an object of a custom kind checked and completed by the kind's
// definition, as an API server does. Other kinds stay as they are.
func (r *reading) admit(node *yaml.Node, o *source.Resource, h header) {
	if source.Defined(h.APIVersion, h.Kind) {
		o.Admit(h.APIVersion, h.Kind, r.generic(node, o), r.config.MaxProblems)
	}
}

// generic reads node as encoding/json would.
func (r *reading) generic(node *yaml.Node, o *source.Resource) map[string]any {
	d := &decoder{quiet: true, config: &r.config, unfolded: r.unfolded}
	object, _ := asJSON(d.json(node)).(map[string]any)
	r.unfolded = d.unfolded
	if d.exhausted && len(o.Problems) == 0 {
		o.Problems = append(o.Problems, source.Problem{Code: reason.TooLarge, Line: o.Line, Message: "the object nests too deep or its aliases unfold to too much"})
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
