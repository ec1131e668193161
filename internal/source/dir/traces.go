package dir

import (
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/util/validation"

	"windrose.dev/windrose/internal/source"
)

// traces are what is left of an object that cannot be read as one: what may be
// its annotations, wherever they stand, and the hosts that it names. They serve
// to close, never to open, and so take more than a reader would.
type traces struct {
	marks     []mark
	kinds     []string
	namespace string
	// hosts are valid names in lower case; "" is any host.
	hosts []string
	// torn: a host is named that cannot be read.
	torn bool
}

// mark is what may be an annotation.
type mark struct {
	key, value string
	line       int
}

// unreadable stands for a value that cannot be read: no annotation takes it for
// a value with which it does nothing.
const unreadable = "?"

// guard returns the first mark that guards an object of a kind, or nil.
func (t *traces) guard(k *source.Kind, config *Config) *mark {
	for i, m := range t.marks {
		if config.Guards(k.Name, map[string]string{m.key: m.value}) {
			return &t.marks[i]
		}
	}
	return nil
}

// may reports whether an object of kind k may have left the traces: one that
// names no kind may be of any.
func (r *reader) may(t *traces, k *source.Kind) bool {
	named := false
	for _, word := range t.kinds {
		stem, _ := cutList(word)
		named = named || stem != ""
		if r.kindNamed(stem) == k {
			return true
		}
	}
	return !named
}

// salvage leaves tombstones for what an object or text guards that cannot be
// read. Complete says that nothing of it is missing.
func (r *reading) salvage(t *traces, complete bool) {
	for _, k := range r.kinds {
		if !k.Salvages() || !r.may(t, k) {
			continue
		}
		found := t.guard(k, &r.config)
		if found == nil {
			continue
		}
		value := k.New()
		value.SetNamespace(t.namespace)
		o := &source.Resource{Kind: k, Value: value, Line: found.line, Guards: true}
		o.Incomplete = !complete || t.torn || len(t.hosts) == 0
		o.Name.Namespace = k.NameOf(value).Namespace
		k.Salvage(value, t.hosts)
		r.objects = append(r.objects, o)
	}
}

// tracesOf gathers the traces of a node.
func (r *reading) tracesOf(node *yaml.Node) *traces {
	if node.Kind == yaml.ScalarNode {
		t := tracesIn(node.Value)
		for i := range t.marks {
			t.marks[i].line = node.Line
		}
		return t
	}
	w := tracer{left: &r.traceable}
	w.walk(node, r.config.MaxDepth)
	return &w.traces
}

// looksLikeObject reports whether a mapping without a kind may have been meant as
// a resource, and is not just some YAML.
func looksLikeObject(node *yaml.Node) bool {
	node = aliased(node)
	for i := 0; i+1 < len(node.Content); i += 2 {
		switch node.Content[i].Value {
		case "apiVersion", "metadata", "spec":
			return true
		}
	}
	return false
}

// tracer walks nodes for their traces.
type tracer struct {
	traces
	aliases int  // being followed
	left    *int // nodes that may still be read through aliases
}

func (w *tracer) walk(node *yaml.Node, depth int) {
	if w.aliases > 0 {
		*w.left--
	}
	if depth == 0 || *w.left < 0 {
		w.torn = true
		return
	}
	switch node.Kind {
	case yaml.AliasNode:
		w.aliases++
		w.walk(node.Alias, depth-1)
		w.aliases--
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			w.pair(node.Content[i], node.Content[i+1])
			w.walk(node.Content[i+1], depth-1)
		}
	case yaml.SequenceNode:
		for _, item := range node.Content {
			w.walk(item, depth-1)
		}
	case yaml.ScalarNode:
		w.statement(node)
	}
}

func (w *tracer) pair(key, value *yaml.Node) {
	word, _ := scalarText(key)
	text, isScalar := scalarText(value)
	switch {
	case strings.EqualFold(word, "hosts"):
		if value = aliased(value); value.Kind != yaml.SequenceNode {
			w.host(text, isScalar)
			return
		}
		for _, item := range value.Content {
			if name, isScalar := scalarText(item); isScalar {
				w.host(name, true)
			}
		}
	case strings.EqualFold(word, "host"):
		w.host(text, isScalar)
	case strings.Contains(word, "/"):
		if !isScalar {
			text = unreadable
		}
		w.marks = append(w.marks, mark{word, text, key.Line})
	default:
		w.word(word, text)
	}
}

// statement reads a scalar that may be an annotation as a whole: "key: value",
// "key=value", or a key alone.
func (w *tracer) statement(node *yaml.Node) {
	key, value := node.Value, unreadable
	if i := strings.IndexAny(key, ":= \t"); i > 0 {
		key, value = key[:i], strings.TrimLeft(key[i:], ":= \t")
	}
	if strings.Contains(key, "/") {
		w.marks = append(w.marks, mark{key, value, node.Line})
	}
}

func aliased(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}

func scalarText(node *yaml.Node) (string, bool) {
	node = aliased(node)
	return node.Value, node.Kind == yaml.ScalarNode
}

// word takes what a key other than a host's says.
func (t *traces) word(key, value string) {
	switch {
	case strings.EqualFold(key, "kind"):
		t.kinds = append(t.kinds, value)
	case strings.EqualFold(key, "namespace") && t.namespace == "" && len(validation.IsDNS1123Label(value)) == 0:
		t.namespace = value
	}
}

// host takes a host's name.
func (t *traces) host(name string, readable bool) {
	name = strings.ToLower(strings.TrimSpace(name))
	if !readable || name != "" && len(validation.IsDNS1123Subdomain(strings.TrimPrefix(name, "*."))) > 0 {
		t.torn = true
		return
	}
	if !slices.Contains(t.hosts, name) {
		t.hosts = append(t.hosts, name)
	}
}

var (
	// traceWord finds the keys that matter in a line of YAML or JSON, and a host
	// whose colon is missing.
	traceWord = regexp.MustCompile(`(?i)(?:^|[\s{,\["'])-?(kind|namespace|hosts?)["']?\s*[:=]|^\s*-?\s*["']?(hosts?)["']?\s`)
	// traceMark finds what may be an annotation's key.
	traceMark = regexp.MustCompile(`[A-Za-z0-9.-]+/[A-Za-z0-9._-]+`)
	afterKey  = regexp.MustCompile(`^["']?\s*[:=]`)
)

// tracesIn gathers the traces of a text that does not parse, line by line.
// Comments have none.
func tracesIn(text string) *traces {
	t := &traces{}
	line, inHosts := 0, false
	for row := range strings.Lines(strings.ReplaceAll(text, "\x00", "")) {
		line++
		if row = strings.TrimRight(row, "\r\n"); strings.HasPrefix(strings.TrimSpace(row), "#") {
			continue
		}
		inHosts = inHosts && t.hostItem(row)
		t.marksIn(row, line)
		inHosts = t.wordsIn(row) || inHosts
	}
	return t
}

func (t *traces) marksIn(row string, line int) {
	for _, at := range traceMark.FindAllStringIndex(row, -1) {
		value := unreadable
		if sep := afterKey.FindString(row[at[1]:]); sep != "" {
			value, _ = textValue(row[at[1]+len(sep):])
		}
		t.marks = append(t.marks, mark{row[at[0]:at[1]], value, line})
	}
}

// wordsIn reports whether hosts are to follow in lines of their own.
func (t *traces) wordsIn(row string) (hostsFollow bool) {
	for _, at := range traceWord.FindAllStringSubmatchIndex(row, -1) {
		word, rest := submatch(row, at), row[at[1]:]
		value, readable := textValue(rest)
		switch strings.ToLower(word) {
		case "hosts":
			hostsFollow = t.hostList(rest)
		case "host":
			t.host(value, readable)
		default:
			t.word(word, value)
		}
	}
	return hostsFollow
}

func submatch(row string, at []int) string {
	if at[2] >= 0 {
		return row[at[2]:at[3]]
	}
	return row[at[4]:at[5]]
}

// textValue reads the scalar that a text begins with; ok is false if there is
// none.
func textValue(text string) (value string, ok bool) {
	text = strings.TrimSpace(text)
	if text == "" {
		return unreadable, false
	}
	if quote := text[0]; quote == '"' || quote == '\'' {
		value, _, _ = strings.Cut(text[1:], string(quote))
		return value, true
	}
	if end := strings.IndexAny(text, ",}]"); end >= 0 {
		text = text[:end]
	}
	return strings.TrimSpace(uncommented(text)), true
}

// hostList reads the hosts that stand behind "hosts:", and reports whether more
// are to follow in lines of their own.
func (t *traces) hostList(rest string) (follow bool) {
	list, _, closed := strings.Cut(rest, "]")
	names := listed(list)
	for _, name := range names {
		t.host(name, true)
	}
	return !closed && (len(names) == 0 || strings.Contains(list, "["))
}

// hostItem reads a line of a list of hosts, and reports whether it was one.
func (t *traces) hostItem(row string) bool {
	if strings.Contains(row, ":") {
		return false
	}
	for _, name := range listed(row) {
		t.host(name, true)
	}
	return !strings.Contains(row, "]")
}

// listed takes the items of a list in block or flow style from a line.
func listed(row string) []string {
	row = strings.TrimPrefix(strings.TrimSpace(uncommented(row)), "-")
	return strings.FieldsFunc(row, func(c rune) bool { return strings.ContainsRune("[]{},\"' \t", c) })
}

func uncommented(text string) string {
	text, _, _ = strings.Cut(text, " #")
	return text
}
