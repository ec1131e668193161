package dir

import (
	"encoding/json"
	"math"
	"reflect"
	"slices"

	"go.yaml.in/yaml/v3"

	"windrose.dev/windrose/internal/reason"
)

// custom reads a type that reads JSON itself: the node is written as JSON for
// it, as the way through sigs.k8s.io/yaml would.
func (d *decoder) custom(node *yaml.Node, t *typeInfo, v reflect.Value) bool {
	// Numbers of a million digits take minutes to read, and mean nothing.
	const longestScalar = 1024
	if node.Kind == yaml.ScalarNode && len(node.Value) > longestScalar {
		d.fail(reason.InvalidValue, node.Line, "want "+t.wants+", found a text of more than 1024 bytes", "")
		return false
	}
	before := len(d.problems)
	value := d.json(node)
	if len(d.problems) > before || d.exhausted {
		return false
	}
	raw, err := json.Marshal(value)
	if err == nil {
		err = v.Addr().Interface().(json.Unmarshaler).UnmarshalJSON(raw)
	}
	if err == nil {
		return true
	}
	v.SetZero()
	if _, isString := value.(string); !isString {
		return d.wrongType(node, t)
	}
	d.fail(reason.InvalidValue, node.Line, "want "+t.wants+", found "+d.describe(node), "")
	return false
}

// json converts a node to what encoding/json holds.
func (d *decoder) json(node *yaml.Node) any {
	if !d.visit(node) {
		return nil
	}
	defer d.done(node)
	switch node.Kind {
	case yaml.AliasNode:
		return d.json(node.Alias)
	case yaml.MappingNode:
		return d.jsonObject(node)
	case yaml.SequenceNode:
		out := make([]any, len(node.Content))
		for i, item := range node.Content {
			out[i] = d.json(item)
		}
		return out
	}
	return d.jsonScalar(node)
}

func (d *decoder) jsonObject(node *yaml.Node) any {
	pairs := slices.Clone(d.pairsOf(node, shapeMap))
	d.release(pairs)
	out := make(map[string]any, len(pairs))
	for _, p := range pairs {
		out[p.key] = d.json(p.value)
	}
	return out
}

func (d *decoder) jsonScalar(node *yaml.Node) any {
	s, err := readScalar(node)
	if err != nil {
		d.fail(reason.WrongType, node.Line, err.Error(), "remove the tag, or mend the value")
		return nil
	}
	if s.class == classFloat && (math.IsNaN(s.float) || math.IsInf(s.float, 0)) {
		d.fail(reason.WrongType, node.Line, "the number is not finite", "")
		return nil
	}
	return s.value()
}
