package dir

import (
	"encoding/base64"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
)

// decoder reads one object from YAML nodes into a Kubernetes type. It is
// strict and lenient at once: all that is wrong becomes a source.Problem, and all that
// can be read is read.
type decoder struct {
	config *Config
	// secret keeps values out of messages.
	secret bool
	// quiet reads what it can and has no problems: it passes over unknown
	// fields, and reads both of two values of one key.
	quiet bool

	steps    []step
	lines    source.LineBuilder
	problems []source.Problem
	pairs    []pair // a stack: see pairsOf

	depth     int
	aliases   []*yaml.Node // those being unfolded
	unfolded  int          // nodes read through aliases and merge keys
	exhausted bool         // a bound was passed: nothing more is read
}

// step is one step of the path to the field being read, with the hash of the
// path up to it.
type step struct {
	hash  source.PathHash
	name  string // a field; or a key, if isKey
	isKey bool
	index int // of a list item, if there is no name
}

func (d *decoder) field(name string, line int) {
	if len(d.steps) == 0 {
		d.enter(step{hash: source.RootPath.On(name), name: name}, line)
		return
	}
	d.enter(step{hash: d.hash().On(".").On(name), name: name}, line)
}

func (d *decoder) key(key string, line int) {
	hash := d.hash().On("[").On(key).On("]")
	d.enter(step{hash: hash, name: key, isKey: true}, line)
}

func (d *decoder) item(index, line int) {
	var digits [24]byte
	hash := d.hash().On("[").On(string(strconv.AppendInt(digits[:0], int64(index), 10))).On("]")
	d.enter(step{hash: hash, index: index}, line)
}

func (d *decoder) enter(s step, line int) {
	d.steps = append(d.steps, s)
	d.lines.Add(s.hash, line)
}

func (d *decoder) leave() { d.steps = d.steps[:len(d.steps)-1] }

func (d *decoder) hash() source.PathHash {
	if len(d.steps) == 0 {
		return source.RootPath
	}
	return d.steps[len(d.steps)-1].hash
}

// longestStep bounds a step of a path in a message. Labels and annotations have
// keys of up to 253 + 1 + 63 bytes.
const longestStep = 320

// path writes the steps as users do: spec.rules[0].http.
func (d *decoder) path() string {
	var out strings.Builder
	for _, s := range d.steps {
		s.name = reason.ClipTo(s.name, longestStep)
		switch {
		case s.isKey:
			out.WriteString("[" + s.name + "]")
		case s.name != "":
			if out.Len() > 0 {
				out.WriteByte('.')
			}
			out.WriteString(s.name)
		default:
			out.WriteString("[" + strconv.Itoa(s.index) + "]")
		}
	}
	return out.String()
}

// fail records a problem with the field being read.
func (d *decoder) fail(code reason.Code, line int, message, fix string) {
	d.failAt(source.Problem{Code: code, Field: d.path(), Line: line, Message: message, Fix: fix})
}

func (d *decoder) failAt(p source.Problem) {
	if !d.quiet && len(d.problems) < d.config.MaxProblems {
		d.problems = append(d.problems, p)
	}
}

// exhaust records that a bound was passed and stops the reading.
func (d *decoder) exhaust(line int, message, fix string) {
	if !d.exhausted {
		d.fail(reason.TooLarge, line, message, fix)
	}
	d.exhausted = true
}

// visit counts a node on the way down and reports whether it may be read. If so,
// the caller calls done with the same node after it.
func (d *decoder) visit(node *yaml.Node) bool {
	if len(d.aliases) > 0 {
		d.unfolded++
	}
	switch {
	case d.exhausted:
		return false
	case d.depth >= d.config.MaxDepth:
		d.exhaust(node.Line, fmt.Sprintf("lists and mappings nest more than %d deep", d.config.MaxDepth), "nest less")
		return false
	case d.unfolded > d.config.MaxAliasNodes:
		d.exhaust(node.Line, fmt.Sprintf("the aliases unfold to more than %d nodes", d.config.MaxAliasNodes), "write out what the aliases stand for, or use fewer")
		return false
	case node.Kind == yaml.AliasNode && slices.Contains(d.aliases, node.Alias):
		d.exhaust(node.Line, "the alias contains itself", "remove the alias")
		return false
	}
	d.depth++
	if node.Kind == yaml.AliasNode {
		d.aliases = append(d.aliases, node.Alias)
	}
	return true
}

func (d *decoder) done(node *yaml.Node) {
	d.depth--
	if node.Kind == yaml.AliasNode {
		d.aliases = d.aliases[:len(d.aliases)-1]
	}
}

// value reads node into v and reports whether v holds something of it.
func (d *decoder) value(node *yaml.Node, t *typeInfo, v reflect.Value) bool {
	if !d.visit(node) {
		return false
	}
	defer d.done(node)
	switch {
	case t.shape == shapeNode:
		v.Set(reflect.ValueOf(keptNode{node}))
		return true
	case node.Kind == yaml.AliasNode:
		return d.value(node.Alias, t, v)
	case isNull(node):
		return true // as in JSON, null is the same as leaving it out
	}
	switch t.shape {
	case shapePointer:
		return d.pointer(node, t, v)
	case shapeStruct:
		return d.structure(node, t, v)
	case shapeMap:
		return d.mapping(node, t, v)
	case shapeList:
		return d.list(node, t, v)
	case shapeJSON:
		return d.custom(node, t, v)
	}
	return d.plain(node, t, v)
}

func isNull(node *yaml.Node) bool {
	if node.Kind != yaml.ScalarNode || node.Style&quotedStyles != 0 {
		return false
	}
	switch node.Value {
	case "", "~", "null", "Null", "NULL":
		return node.Style&yaml.TaggedStyle == 0 || node.ShortTag() == "!!null"
	}
	return false
}

func (d *decoder) pointer(node *yaml.Node, t *typeInfo, v reflect.Value) bool {
	target := reflect.New(t.elem.typ)
	if !d.value(node, t.elem, target.Elem()) {
		return false
	}
	v.Set(target)
	return true
}

func (d *decoder) structure(node *yaml.Node, t *typeInfo, v reflect.Value) bool {
	if node.Kind != yaml.MappingNode {
		return d.wrongType(node, t)
	}
	pairs := d.pairsOf(node, t.shape)
	defer d.release(pairs)
	for _, p := range pairs {
		field, known := t.fields[p.key]
		if !known && d.quiet {
			continue
		}
		d.field(p.key, p.line)
		if known {
			d.value(p.value, field.info, v.FieldByIndex(field.index))
		} else {
			d.unknownField(p, t)
		}
		d.leave()
	}
	return true
}

func (d *decoder) unknownField(p pair, t *typeInfo) {
	fix := "remove it; the fields here are " + strings.Join(t.names, ", ")
	if len(t.names) > 12 {
		fix = "remove it"
	}
	if near := source.Nearest(p.key, t.names); near != "" {
		fix = "write " + near
	}
	d.fail(reason.UnknownField, p.line, "unknown field "+strconv.Quote(reason.Clip(p.key)), fix)
}

func (d *decoder) mapping(node *yaml.Node, t *typeInfo, v reflect.Value) bool {
	if node.Kind != yaml.MappingNode {
		return d.wrongType(node, t)
	}
	pairs := d.pairsOf(node, t.shape)
	defer d.release(pairs)
	out := v
	if v.IsNil() || !d.quiet {
		out = reflect.MakeMapWithSize(t.typ, len(pairs))
	}
	for _, p := range pairs {
		elem := reflect.New(t.elem.typ).Elem()
		d.key(p.key, p.line)
		if d.value(p.value, t.elem, elem) {
			out.SetMapIndex(reflect.ValueOf(p.key).Convert(t.typ.Key()), elem)
		}
		d.leave()
	}
	v.Set(out)
	return true
}

// list keeps the place of an item that cannot be read, so that the indices of
// the others stay those of the text.
func (d *decoder) list(node *yaml.Node, t *typeInfo, v reflect.Value) bool {
	if node.Kind != yaml.SequenceNode {
		return d.wrongType(node, t)
	}
	out := reflect.MakeSlice(t.typ, len(node.Content), len(node.Content))
	for i, item := range node.Content {
		d.item(i, item.Line)
		d.value(item, t.elem, out.Index(i))
		d.leave()
	}
	v.Set(out)
	return true
}

// plain reads strings, booleans, numbers and base64.
func (d *decoder) plain(node *yaml.Node, t *typeInfo, v reflect.Value) bool {
	if node.Kind != yaml.ScalarNode {
		return d.wrongType(node, t)
	}
	s, err := readScalar(node)
	if err != nil {
		d.fail(reason.WrongType, node.Line, err.Error(), "remove the tag, or mend the value")
		return false
	}
	switch t.shape {
	case shapeString:
		if s.class != classString {
			d.wrongType(node, t)
			s.text = node.Value // what was most likely meant
		}
		v.SetString(s.text)
		return true
	case shapeBool:
		if s.class != classBool {
			return d.wrongType(node, t)
		}
		v.SetBool(s.bool)
		return true
	case shapeBytes:
		return d.bytes(node, s, t, v)
	}
	return d.number(node, s, t, v)
}

func (d *decoder) number(node *yaml.Node, s scalar, t *typeInfo, v reflect.Value) bool {
	text, ok := s.integer()
	if !ok {
		return d.wrongType(node, t)
	}
	if t.shape == shapeUint {
		u, err := strconv.ParseUint(text, 10, t.typ.Bits())
		if err != nil {
			return d.wrongType(node, t)
		}
		v.SetUint(u)
		return true
	}
	i, err := strconv.ParseInt(text, 10, t.typ.Bits())
	if err != nil {
		return d.wrongType(node, t)
	}
	v.SetInt(i)
	return true
}

func (d *decoder) bytes(node *yaml.Node, s scalar, t *typeInfo, v reflect.Value) bool {
	if s.class != classString {
		return d.wrongType(node, t)
	}
	raw, err := base64.StdEncoding.DecodeString(s.text)
	if err != nil {
		d.fail(reason.WrongType, node.Line, "want base64; this is not ("+err.Error()+")", "encode the value with base64, or move it to stringData if this is a Secret")
		return false
	}
	v.SetBytes(raw)
	return true
}

// wrongType records that node is not what t takes. It returns false.
func (d *decoder) wrongType(node *yaml.Node, t *typeInfo) bool {
	message := "want " + t.wants + ", found " + d.describe(node)
	d.fail(reason.WrongType, node.Line, message, wrongTypeFix(node, t))
	return false
}

func (d *decoder) describe(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	s, err := readScalar(node)
	if err != nil {
		return "a scalar whose tag is not understood here"
	}
	if d.secret {
		return s.word()
	}
	return s.String()
}

// wrongTypeFix is more specific than the code's own where the slip is a common
// one, and otherwise empty.
func wrongTypeFix(node *yaml.Node, t *typeInfo) string {
	isScalar := node.Kind == yaml.ScalarNode
	quoted := isScalar && node.Style&quotedStyles != 0
	switch {
	case t.shape == shapeString && isScalar:
		return "quote it"
	case t.shape == shapeList && node.Kind == yaml.MappingNode:
		return `begin each item with "- "`
	case t.shape == shapeStruct && node.Kind == yaml.SequenceNode:
		return `remove the "- "`
	case quoted && (t.shape == shapeInt || t.shape == shapeUint):
		if _, ok := resolve(node.Value).integer(); ok {
			return "remove the quotes"
		}
	case quoted && t.shape == shapeBool && resolve(node.Value).class == classBool:
		return "remove the quotes"
	}
	return ""
}
