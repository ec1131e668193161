package status

import (
	"fmt"
	"strings"
)

// String returns the text form of a List: one line for each object, listener, parent and
// ancestor. Each condition is type=reason, with a ! before the reason if it is false and
// a ? if it is unknown.
//
//	gateway infra/edge Accepted=Accepted Programmed=Programmed
//	listener infra/edge http attached=1 kinds=HTTPRoute Accepted=Accepted Conflicted=!NoConflicts …
//	httproute shop/web parent=infra/edge Accepted=!NoMatchingParent ResolvedRefs=ResolvedRefs
func (l List) String() string {
	var b strings.Builder
	for _, o := range l {
		o.write(&b)
	}
	return b.String()
}

func (o *Object) write(b *strings.Builder) {
	line := func(conditions []Condition, words ...string) {
		for _, c := range conditions {
			words = append(words, c.text())
		}
		b.WriteString(strings.Join(words, " ") + "\n")
	}
	kind, name := strings.ToLower(o.Ref.Kind), slashed(o.Ref.Namespace, o.Ref.Name)
	if words := o.words(); len(words)+len(o.Conditions) > 0 {
		line(o.Conditions, append([]string{kind, name}, words...)...)
	}
	for _, l := range o.Listeners {
		line(l.Conditions, "listener", name, l.Name, fmt.Sprintf("attached=%d", l.AttachedRoutes), "kinds="+kindsText(l.Kinds))
	}
	for _, p := range o.Parents {
		line(p.Conditions, kind, name, "parent="+p.Ref.text(o.Ref.Namespace))
	}
	for _, a := range o.Ancestors {
		line(a.Conditions, kind, name, "ancestor="+a.Ref.text(o.Ref.Namespace))
	}
}

// words returns what the object has besides its conditions. The features of a class are
// left out: they are many, and the same for all classes.
func (o *Object) words() (words []string) {
	for _, a := range o.Addresses {
		words = append(words, "address="+a.Value)
	}
	if o.AttachedListenerSets != nil {
		words = append(words, fmt.Sprintf("sets=%d", *o.AttachedListenerSets))
	}
	return words
}

func (c Condition) text() string {
	sign := map[Truth]string{False: "!", Unknown: "?"}[c.Status]
	return c.Type + "=" + sign + c.Reason
}

func kindsText(kinds []GroupKind) string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.Kind
	}
	return strings.Join(names, ",")
}

// text returns a reference as [kind:]namespace/name[/section][:port].
func (r ParentRef) text(home string) string {
	namespace := r.Namespace
	if namespace == "" {
		namespace = home
	}
	text := slashed(namespace, r.Name)
	if r.Kind != "Gateway" {
		text = strings.ToLower(r.Kind) + ":" + text
	}
	if r.Section != "" {
		text += "/" + r.Section
	}
	if r.Port != 0 {
		text += fmt.Sprintf(":%d", r.Port)
	}
	return text
}

func slashed(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return namespace + "/" + name
}
