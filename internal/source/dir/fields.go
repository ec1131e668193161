package dir

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// shape is what the decoder does for a type.
type shape uint8

const (
	shapeStruct shape = iota + 1
	shapeMap
	shapeList
	shapeBytes
	shapePointer
	shapeString
	shapeBool
	shapeInt
	shapeUint
	shapeJSON // the type reads JSON itself
	shapeNode // the node is kept as it is
)

// typeInfo is what the decoder knows of a Go type. It is made once for a
// Loader and only read afterwards.
type typeInfo struct {
	shape shape
	typ   reflect.Type
	// elem is the element of a map, list or pointer.
	elem *typeInfo
	// fields are those of a struct by JSON name, names in order of declaration.
	fields map[string]fieldInfo
	names  []string
	// wants is how messages call a value of the type.
	wants string
}

type fieldInfo struct {
	index []int
	info  *typeInfo
}

// typeTable builds typeInfos, one for each type.
type typeTable map[reflect.Type]*typeInfo

// of returns the typeInfo of t. It panics on a type that no Kubernetes object
// has, which the test of all kinds would show.
func (tt typeTable) of(t reflect.Type) *typeInfo {
	if info, ok := tt[t]; ok {
		return info
	}
	info := &typeInfo{typ: t}
	tt[t] = info // before its parts: types may be recursive
	tt.fill(info)
	return info
}

// keptNode is a node that is read later.
type keptNode struct{ node *yaml.Node }

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

func (tt typeTable) fill(info *typeInfo) {
	t := info.typ
	if t == reflect.TypeFor[keptNode]() {
		info.shape, info.wants = shapeNode, "anything"
		return
	}
	if t.Kind() != reflect.Pointer && reflect.PointerTo(t).Implements(unmarshaler) {
		info.shape, info.wants = shapeJSON, customWords(t)
		return
	}
	switch kind := t.Kind(); kind {
	case reflect.Struct:
		info.shape, info.wants = shapeStruct, "a mapping"
		info.fields = map[string]fieldInfo{}
		tt.addFields(info, t, nil)
	case reflect.Map:
		if t.Key().Kind() != reflect.String {
			panic(fmt.Sprintf("source: map with keys of type %v", t.Key()))
		}
		info.shape, info.wants, info.elem = shapeMap, "a mapping", tt.of(t.Elem())
	case reflect.Slice:
		info.shape, info.wants = shapeList, "a list"
		if t.Elem().Kind() == reflect.Uint8 {
			info.shape, info.wants = shapeBytes, "base64"
			return
		}
		info.elem = tt.of(t.Elem())
	case reflect.Pointer:
		info.elem = tt.of(t.Elem())
		info.shape, info.wants = shapePointer, info.elem.wants
	case reflect.String:
		info.shape, info.wants = shapeString, "a string"
	case reflect.Bool:
		info.shape, info.wants = shapeBool, "true or false"
	default:
		info.shape, info.wants = numberShape(t)
	}
}

func numberShape(t reflect.Type) (shape, string) {
	bits := t.Bits()
	switch t.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return shapeInt, fmt.Sprintf("an integer from %d to %d", int64(-1)<<(bits-1), uint64(1)<<(bits-1)-1)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return shapeUint, fmt.Sprintf("an integer from 0 to %d", ^uint64(0)>>(64-bits))
	}
	panic(fmt.Sprintf("source: no shape for type %v", t))
}

// addFields adds the fields of t, and those of its inlined structs, by the
// rules of encoding/json: a shallower field hides a deeper one.
func (tt typeTable) addFields(info *typeInfo, t reflect.Type, parents []int) {
	var inlined []reflect.StructField
	for field := range fieldsOf(t) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case name == "-" || !field.IsExported():
		case name == "" && field.Anonymous:
			inlined = append(inlined, field)
		default:
			if name == "" {
				name = field.Name
			}
			if _, hidden := info.fields[name]; !hidden {
				info.fields[name] = fieldInfo{indexOf(parents, field), tt.of(field.Type)}
				info.names = append(info.names, name)
			}
		}
	}
	for _, field := range inlined {
		tt.addFields(info, field.Type, indexOf(parents, field))
	}
}

func fieldsOf(t reflect.Type) func(yield func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if !yield(t.Field(i)) {
				return
			}
		}
	}
}

func indexOf(parents []int, field reflect.StructField) []int {
	return append(append([]int(nil), parents...), field.Index...)
}

// customWords says what a type that reads its own JSON takes.
func customWords(t reflect.Type) string {
	switch t.Name() {
	case "IntOrString":
		return "an integer or a string"
	case "Quantity":
		return "a quantity, such as 100m, 1.5 or 2Gi"
	case "Time":
		return "a time, such as 2006-01-02T15:04:05Z"
	case "MicroTime":
		return "a time, such as 2006-01-02T15:04:05.000000Z"
	}
	return "a value of type " + t.Name()
}
