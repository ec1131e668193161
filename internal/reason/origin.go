package reason

import (
	"cmp"
	"strconv"
	"strings"
)

// Origin says where the user wrote something: which object, which file and
// line, and which field within the object. Every part may be empty; an Origin
// without File comes from an API server.
type Origin struct {
	Kind      string `cbor:"1,keyasint,omitempty" json:"kind,omitempty"`
	Namespace string `cbor:"2,keyasint,omitempty" json:"namespace,omitempty"`
	Name      string `cbor:"3,keyasint,omitempty" json:"name,omitempty"`
	File      string `cbor:"4,keyasint,omitempty" json:"file,omitempty"`
	// Line counts from 1; 0 is unknown.
	Line int `cbor:"5,keyasint,omitempty" json:"line,omitempty"`
	// Field is a path within the object: spec.rules[0].http.paths[1].path.
	Field string `cbor:"6,keyasint,omitempty" json:"field,omitempty"`
}

// Object names the object alone: "Ingress shop/web", or "" if there is none.
func (o Origin) Object() string {
	switch {
	case o.Kind == "" && o.Name == "":
		return ""
	case o.Namespace == "":
		return o.Kind + " " + o.Name
	default:
		return o.Kind + " " + o.Namespace + "/" + o.Name
	}
}

// Place returns file:line, without the parts that are unknown.
func (o Origin) Place() string {
	if o.File == "" || o.Line == 0 {
		return o.File
	}
	return o.File + ":" + strconv.Itoa(o.Line)
}

// String returns "file:line: Kind ns/name: field", without the parts that are unknown.
func (o Origin) String() string {
	parts := make([]string, 0, 3)
	for _, part := range []string{o.Place(), o.Object(), o.Field} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ": ")
}

// At returns o for another field and line of the same object.
func (o Origin) At(field string, line int) Origin {
	o.Field = field
	if line > 0 {
		o.Line = line
	}
	return o
}

// Compare orders by file, line, object and field.
func (o Origin) Compare(p Origin) int {
	return cmp.Or(
		cmp.Compare(o.File, p.File),
		cmp.Compare(o.Line, p.Line),
		cmp.Compare(o.Kind, p.Kind),
		cmp.Compare(o.Namespace, p.Namespace),
		cmp.Compare(o.Name, p.Name),
		cmp.Compare(o.Field, p.Field),
	)
}
