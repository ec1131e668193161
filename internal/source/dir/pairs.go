package dir

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
)

// pair is one key of a mapping and its value.
type pair struct {
	key   string
	line  int // of the key
	value *yaml.Node
}

// pairsOf returns the pairs of a mapping in order, each key once: of two with
// one key the first stays and the second is a source.Problem, unless d is quiet. The pairs of merge keys
// (<<) follow, except those whose key is there already. The result lies on the
// decoder's stack; the caller hands it to release after use.
func (d *decoder) pairsOf(node *yaml.Node, of shape) []pair {
	start := len(d.pairs)
	var merges []*yaml.Node
	seen := keySet{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		keyNode, value := node.Content[i], node.Content[i+1]
		if isMerge(keyNode) {
			merges = append(merges, value)
			continue
		}
		key, ok := d.keyOf(keyNode)
		if !ok {
			continue
		}
		if first, dup := seen.add(d.pairs[start:], key); dup && !d.quiet {
			d.duplicateKey(d.pairs[start+first], keyNode.Line, of)
			continue
		}
		d.pairs = append(d.pairs, pair{key, keyNode.Line, value})
	}
	for _, merge := range merges {
		d.merge(merge, of, start, &seen)
	}
	return slices.Clip(d.pairs[start:])
}

func (d *decoder) release(pairs []pair) { d.pairs = d.pairs[:len(d.pairs)-len(pairs)] }

func isMerge(key *yaml.Node) bool {
	return key.Kind == yaml.ScalarNode && key.Value == "<<" && key.Style&quotedStyles == 0 &&
		(key.Style&yaml.TaggedStyle == 0 || key.ShortTag() == "!!merge")
}

// keyOf reads a key as Kubernetes does, which makes "true" of on and "8" of
// 010.
func (d *decoder) keyOf(node *yaml.Node) (string, bool) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind != yaml.ScalarNode {
		d.fail(reason.WrongType, node.Line, "a key is a list or a mapping", "write a string as the key")
		return "", false
	}
	s, err := readScalar(node)
	if err != nil || s.class == classNull {
		d.fail(reason.WrongType, node.Line, "a key is not a string", "quote it")
		return "", false
	}
	return s.key(), true
}

func (d *decoder) duplicateKey(first pair, line int, of shape) {
	key := reason.ClipTo(first.key, longestStep)
	field := d.path() + "[" + key + "]"
	if of == shapeStruct {
		field = strings.TrimPrefix(d.path()+"."+key, ".")
	}
	d.failAt(source.Problem{
		Code: reason.DuplicateKey, Field: field, Line: line, Other: first.line,
		Message: fmt.Sprintf("the key %q stands here and", key),
	})
}

// merge adds the pairs of the mapping, or list of mappings, that a merge key
// names.
func (d *decoder) merge(node *yaml.Node, of shape, start int, seen *keySet) {
	if !d.visit(node) {
		return
	}
	defer d.done(node)
	switch node.Kind {
	case yaml.AliasNode:
		d.merge(node.Alias, of, start, seen)
	case yaml.SequenceNode:
		for _, item := range node.Content {
			d.merge(item, of, start, seen)
		}
	case yaml.MappingNode:
		d.mergePairs(node, of, start, seen)
	default:
		d.fail(reason.WrongType, node.Line, "a merge key (<<) wants a mapping or a list of mappings", "name an anchor of a mapping")
	}
}

func (d *decoder) mergePairs(node *yaml.Node, of shape, start int, seen *keySet) {
	merged := slices.Clone(d.pairsOf(node, of))
	d.release(merged)
	for _, p := range merged {
		d.unfolded += countNodes(p.value, d.config.MaxAliasNodes)
		if _, dup := seen.add(d.pairs[start:], p.key); !dup {
			d.pairs = append(d.pairs, p)
		}
	}
}

// countNodes counts a node and those below it, without following aliases, up
// to a bound.
func countNodes(node *yaml.Node, most int) int {
	n := 1
	for _, child := range node.Content {
		if n > most {
			break
		}
		n += countNodes(child, most-n)
	}
	return n
}

// keySet finds a key among pairs. Small mappings, which nearly all are, are
// searched; large ones are indexed.
type keySet struct{ index map[string]int }

// add returns the place of key among pairs, if it is there; otherwise the
// caller appends it.
func (s *keySet) add(pairs []pair, key string) (int, bool) {
	const small = 12
	if len(pairs) < small {
		i := slices.IndexFunc(pairs, func(p pair) bool { return p.key == key })
		return i, i >= 0
	}
	if s.index == nil {
		s.index = make(map[string]int, 2*len(pairs))
		for i, p := range pairs {
			s.index[p.key] = i
		}
	}
	if i, ok := s.index[key]; ok {
		return i, true
	}
	s.index[key] = len(pairs)
	return 0, false
}
