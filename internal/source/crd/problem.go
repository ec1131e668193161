package crd

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Type sorts problems by what the user can do about them.
type Type uint8

const (
	// Invalid: a value that the schema or a rule does not allow.
	Invalid Type = iota
	// Unknown: a field that the kind does not have.
	Unknown
	// WrongType: a value of another type than the field takes.
	WrongType
	// Required: a field that is missing.
	Required
	// Unsupported: a value that is not among those Allowed.
	Unsupported
	// Duplicate: an item that stands twice in a list.
	Duplicate
	// TooLarge: the object is larger than an API server takes.
	TooLarge
)

// Problem is one reason to refuse an object.
type Problem struct {
	Type Type
	// Path is the field as users write it, such as spec.rules[0].matches[1];
	// empty for the object as a whole.
	Path string
	// Message is the API server's. Long values are cut in it.
	Message string
	// Value is what stands there, if it is a text, and Allowed what may, of
	// Unsupported.
	Value   string
	Allowed []string
}

func tooLarge() Problem {
	return Problem{Type: TooLarge, Message: fmt.Sprintf("Request entity too large: limit is %d", MaxObjectBytes)}
}

func unknownFields(paths []string) []Problem {
	problems := make([]Problem, len(paths))
	for i, path := range paths {
		problems[i] = Problem{Type: Unknown, Path: path, Message: fmt.Sprintf("unknown field %q", cut(path, longestMessage))}
	}
	return problems
}

// errorTypes are those of errors that are more than Invalid.
var errorTypes = map[field.ErrorType]Type{
	field.ErrorTypeTypeInvalid:  WrongType,
	field.ErrorTypeRequired:     Required,
	field.ErrorTypeNotSupported: Unsupported,
	field.ErrorTypeDuplicate:    Duplicate,
}

// problemsOf renders the first errors by path: the order in which validators
// find them is that of Go's maps.
func problemsOf(errs field.ErrorList, most int) []Problem {
	slices.SortFunc(errs, func(a, b *field.Error) int {
		return cmp.Or(cmp.Compare(a.Field, b.Field), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Detail, b.Detail))
	})
	errs = slices.CompactFunc(errs, func(a, b *field.Error) bool {
		return a.Field == b.Field && a.Type == b.Type && a.Detail == b.Detail
	})
	var problems []Problem
	for _, err := range errs[:min(len(errs), most)] {
		problems = append(problems, problemOf(err))
	}
	return problems
}

// quoted finds the values in the API server's list of those that are allowed.
var quoted = regexp.MustCompile(`"([^"]*)"`)

// pathInDetail finds the field of errors that have it only in their text.
var pathInDetail = regexp.MustCompile(`^"([^"]*)" must validate`)

func problemOf(err *field.Error) Problem {
	p := Problem{Type: errorTypes[err.Type], Path: err.Field}
	if place := pathInDetail.FindStringSubmatch(err.Detail); p.Path == "<nil>" {
		p.Path = ""
		if place != nil {
			p.Path = place[1]
		}
	}
	p.Value, _ = err.BadValue.(string)
	if p.Type == Unsupported {
		for _, value := range quoted.FindAllStringSubmatch(err.Detail, -1) {
			p.Allowed = append(p.Allowed, value[1])
		}
	}
	short := *err
	short.BadValue = shortValue(err.BadValue)
	p.Message = cut(short.ErrorBody(), longestMessage)
	return p
}

const longestValue, longestMessage = 60, 600

// shortValue is a value as it stands in a message: one that is no scalar says
// more about the object than about what is wrong with it.
func shortValue(value any) any {
	switch value := value.(type) {
	case string:
		return cut(value, longestValue)
	case map[string]any:
		if sizeOf(value, longestValue) > longestValue {
			return field.OmitValueType{}
		}
	case []any:
		return field.OmitValueType{}
	}
	return value
}

// cut ends a text after a number of bytes, between characters.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most] + "…"
}

func sorted(problems []Problem, most int) []Problem {
	slices.SortStableFunc(problems, func(a, b Problem) int { return cmp.Compare(a.Path, b.Path) })
	return problems[:min(len(problems), most)]
}
