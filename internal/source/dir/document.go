package dir

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
)

// document is what the text of one document says. It does not depend on where
// the text stands: its lines count from the text's first.
type document struct {
	objects []*source.Resource
	// problems are those that belong to no object.
	problems []source.Problem
	unknown  []unknownKind
	// lost says that objects may stand here that could not be told apart.
	lost bool
}

// unknownKind is one object that Windrose has no use for.
type unknownKind struct {
	version, kind string
	line          int
}

// header is what decides how an object is read.
type header struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
}

// enclosing is what the list around an object says of it.
type enclosing struct {
	kind, version string
	// flaw is what is wrong with the list, and so with all in it; or nil.
	flaw *source.Problem
}

// listItems is a list whose items are read later, one by one.
type listItems struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`
	Items           []keptNode `json:"items"`
}

// reader turns texts into documents. It is read-only and safe for concurrent
// use.
type reader struct {
	config Config
	kinds  map[string]*source.Kind
	names  []string // of kinds, sorted
	types  map[*source.Kind]*typeInfo
	header *typeInfo
	list   *typeInfo
}

func newReader(config Config) *reader {
	types := typeTable{}
	r := &reader{
		config: config,
		kinds:  map[string]*source.Kind{},
		types:  map[*source.Kind]*typeInfo{},
		header: types.of(reflect.TypeFor[header]()),
		list:   types.of(reflect.TypeFor[listItems]()),
	}
	for _, k := range source.Kinds() {
		r.types[k] = types.of(k.Type)
		r.kinds[k.Name] = k
	}
	r.names = slices.Sorted(maps.Keys(r.kinds))
	return r
}

// document reads the text of one document.
func (r *reader) document(text string) *document {
	one := &reading{reader: r, document: &document{}, traceable: r.config.MaxAliasNodes}
	root, broken := parse(text)
	switch {
	case broken != nil:
		one.problems, one.lost = []source.Problem{*broken}, true
		// What breaks at its last line may have been cut there.
		one.salvage(tracesIn(text), broken.Line < clampLine(text, len(text)+1))
	case root != nil:
		one.object(root, enclosing{}, 0)
	}
	one.clamp(text)
	return one.document
}

// reading is the work on one document.
type reading struct {
	*reader
	*document
	// unfolded counts nodes read through aliases: the bound is for the whole
	// document.
	unfolded int
	// traceable counts down those that are read for traces.
	traceable int
}

// decode reads node into v. Problems are the caller's to use or drop.
func (r *reading) decode(d *decoder, node *yaml.Node, t *typeInfo, v any) {
	d.config, d.unfolded = &r.config, r.unfolded
	d.value(node, t, reflect.ValueOf(v).Elem())
	r.unfolded = d.unfolded
}

// clamp keeps all lines within the text: YAML ends lines at some characters
// that editors do not, and that nobody counts.
func (doc *document) clamp(text string) {
	if !strings.ContainsAny(text, "\r\u0085\u2028\u2029") {
		return
	}
	last := clampLine(text, len(text)+1)
	clamp := func(problems []source.Problem) {
		for i := range problems {
			problems[i].Line = min(problems[i].Line, last)
			problems[i].Other = min(problems[i].Other, last)
		}
	}
	clamp(doc.problems)
	for _, o := range doc.objects {
		o.Line = min(o.Line, last)
		clamp(o.Problems)
		o.Lines.Clamp(last)
	}
	for i := range doc.unknown {
		doc.unknown[i].line = min(doc.unknown[i].line, last)
	}
}

// object reads one object, or the objects of a list. What a typed list says of
// its items stands in for what they do not say themselves.
func (r *reading) object(node *yaml.Node, list enclosing, depth int) {
	h, isMapping := r.peek(node)
	if !isMapping {
		message := "want an object with apiVersion, kind and metadata, found " + (&decoder{secret: true}).describe(node)
		r.lose(source.Problem{Code: reason.WrongType, Line: node.Line, Message: message, Fix: "write an object, or move this out of the directory"})
		r.salvage(r.tracesOf(node), true)
		return
	}
	if h.Kind == "" {
		h.Kind, h.APIVersion = list.kind, list.version
	}
	k, isList, flaw := r.meant(node, h)
	flaw = cmp.Or(list.flaw, flaw)
	switch {
	case h.Kind == "":
		r.lose(source.Problem{Code: reason.InvalidValue, Field: "kind", Line: node.Line, Message: "the object has no kind", Fix: "write apiVersion and kind"})
		if looksLikeObject(node) {
			r.salvage(r.tracesOf(node), true)
		}
	case isList:
		r.items(node, enclosing{nameOf(k), h.APIVersion, flaw}, depth)
	case k == nil:
		r.unknown = append(r.unknown, unknownKind{h.APIVersion, h.Kind, node.Line})
	default:
		r.add(r.known(node, k, h, flaw))
	}
}

// lostLine is the line of the first place that could not be read.
func (doc *document) lostLine() int {
	if len(doc.problems) > 0 {
		return doc.problems[0].Line
	}
	for _, o := range doc.objects {
		if o.Name.Name == "" {
			return o.Line
		}
	}
	return 0
}

func (r *reading) lose(problems ...source.Problem) {
	r.lost = true
	r.problems = append(r.problems, problems[:min(len(problems), r.config.MaxProblems-min(len(r.problems), r.config.MaxProblems))]...)
}

func (r *reading) add(o *source.Resource) {
	o.Complete()
	// With a broken namespace or name it is not known which object this is: the
	// one that it was must not go.
	r.lost = r.lost || o.Name.Name == "" || anyUnder(o.Problems, "metadata")
	r.objects = append(r.objects, o)
}

// anyUnder reports whether any problem lies in a field, or below it. A source.Problem
// without a field concerns all of them.
func anyUnder(problems []source.Problem, field string) bool {
	return slices.ContainsFunc(problems, func(p source.Problem) bool {
		return p.Field == "" || p.Field == field || strings.HasPrefix(p.Field, field+".") || strings.HasPrefix(p.Field, field+"[")
	})
}

// peek reads the header of an object, whatever else is wrong with it.
func (r *reading) peek(node *yaml.Node) (h header, isMapping bool) {
	r.decode(&decoder{quiet: true}, node, r.header, &h)
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	return h, node.Kind == yaml.MappingNode
}

// known reads an object of a known kind. A flaw breaks it, whatever it says.
func (r *reading) known(node *yaml.Node, k *source.Kind, h header, flaw *source.Problem) *source.Resource {
	value := k.New()
	d := &decoder{secret: k.Name == "Secret"}
	r.decode(d, node, r.types[k], value)
	o := &source.Resource{Kind: k, Value: value, Line: node.Line, Lines: d.lines.Build(), Problems: d.problems}
	o.Incomplete = anyUnder(d.problems, "spec") || o.Lines.Of("spec") == 0
	if name := k.NameOf(value); max(len(name.Name), len(name.Namespace)) <= validation.DNS1123SubdomainMaxLength {
		o.Name = name
	}
	if !k.Reads(h.APIVersion) {
		// Its fields are those of another version: only this one is worth saying.
		o.Problems = []source.Problem{wrongVersion(o, h)}
	} else {
		o.Check(r.config.MaxProblems)
	}
	if flaw != nil {
		o.Problems = append([]source.Problem{*flaw}, o.Problems...)
	}
	r.admit(node, o, h)
	// In a broken object the annotations may stand where they do not belong.
	o.Guards = r.config.Guards(k.Name, h.Metadata.Annotations) ||
		len(o.Problems) > 0 && r.tracesOf(node).guard(k, &r.config) != nil
	return o
}

func wrongVersion(o *source.Resource, h header) source.Problem {
	message := fmt.Sprintf("%s has no apiVersion %s", o.Kind.Name, strconv.Quote(reason.Clip(h.APIVersion)))
	if h.APIVersion == "" {
		message = "apiVersion is required"
	}
	return source.Problem{
		Code: reason.InvalidValue, Field: "apiVersion", Line: cmp.Or(o.Lines.Of("apiVersion"), o.Line),
		Message: message, Fix: "write apiVersion: " + o.Kind.Version,
	}
}

// items reads the objects of a list.
func (r *reading) items(node *yaml.Node, of enclosing, depth int) {
	list := listItems{}
	d := &decoder{secret: true}
	r.decode(d, node, r.list, &list)
	if len(d.problems) > 0 {
		r.lose(d.problems...)
	}
	if len(d.problems) > 0 && (len(list.Items) == 0 || anyUnder(d.problems, "items")) {
		r.salvage(r.tracesOf(node), true)
	}
	for _, item := range list.Items {
		if item.node == nil {
			continue // a bound was passed before it, which is a problem of the list
		}
		if depth > 0 || item.node.Kind == yaml.AliasNode {
			r.unfolded++
		}
		if depth >= maxListDepth || r.unfolded > r.config.MaxAliasNodes {
			r.lose(source.Problem{Code: reason.TooLarge, Line: item.node.Line, Message: "lists stand within lists too deep or too often", Fix: "write the objects in one list"})
			r.salvage(r.tracesOf(item.node), true)
			return
		}
		r.object(item.node, of, depth+1)
	}
}

// maxListDepth bounds lists within lists.
const maxListDepth = 4
