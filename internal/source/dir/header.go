package dir

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
)

// kindNamed returns the kind that a word names, or was probably meant to name:
// letters of the other case and a slip or two of the pen do not count. Short
// names allow for less, because Pod is near Job.
func (r *reader) kindNamed(word string) *source.Kind {
	if k := r.kinds[word]; k != nil {
		return k
	}
	var best *source.Kind
	bestDistance := 3
	for _, name := range r.names {
		d := source.Distance(strings.ToLower(word), strings.ToLower(name))
		if d < bestDistance && d <= max(1, len(name)/3) {
			best, bestDistance = r.kinds[name], d
		}
	}
	return best
}

// cutList takes the word List, or what was probably meant to be it, from the
// end of a kind.
func cutList(word string) (stem string, isList bool) {
	const list = "list"
	lower := strings.ToLower(word)
	if source.Distance(lower, list) <= 1 {
		return "", true
	}
	if strings.HasSuffix(lower, list) {
		return word[:len(word)-len(list)], true
	}
	return word, false
}

func nameOf(k *source.Kind) string {
	if k == nil {
		return ""
	}
	return k.Name
}

// meant tells which kind, or list of a kind, a header means, and what is wrong
// with how it says so. The kind is nil for a List of anything, and for what
// Windrose has no use for.
func (r *reader) meant(node *yaml.Node, h header) (k *source.Kind, isList bool, flaw *source.Problem) {
	stem, isList := cutList(h.Kind)
	written := "List"
	if stem != "" {
		k = r.kindNamed(stem)
		if k == nil || foreign(k, h.APIVersion) {
			return nil, false, nil
		}
		if written = k.Name; isList {
			written += "List"
		}
	}
	whose := ""
	if isList {
		whose = "the list's "
	}
	switch {
	case h.Kind != written:
		flaw = &source.Problem{Field: "kind", Message: fmt.Sprintf("%s%q is no kind", whose, reason.Clip(h.Kind)), Fix: "write kind: " + written}
	case written == "List" && h.APIVersion != "v1":
		flaw = &source.Problem{Field: "apiVersion", Message: fmt.Sprintf("%sapiVersion is %q, and List has no such", whose, reason.Clip(h.APIVersion)), Fix: "write apiVersion: v1"}
	default:
		return k, isList, nil
	}
	flaw.Code, flaw.Line = reason.InvalidValue, lineOfKey(node, flaw.Field)
	return k, isList, flaw
}

// lineOfKey is the line of a key of a mapping, or else that of the mapping.
func lineOfKey(node *yaml.Node, key string) int {
	node = aliased(node)
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			return node.Content[i].Line
		}
	}
	return node.Line
}

// foreign reports whether apiVersion is that of somebody else's kind with the
// same name, such as serving.knative.dev/v1 Service. The groups of Kubernetes
// itself, and slips of the pen, are not foreign.
func foreign(k *source.Kind, apiVersion string) bool {
	group, _, grouped := strings.Cut(apiVersion, "/")
	if !grouped || !strings.Contains(group, ".") || strings.HasSuffix(group, ".k8s.io") {
		return false
	}
	own, _, _ := strings.Cut(k.Version, "/")
	return source.Distance(group, own) > 3
}
