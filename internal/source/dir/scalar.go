package dir

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"windrose.dev/windrose/internal/reason"
)

// class is what a scalar turned out to be.
type class uint8

const (
	classString class = iota
	classNull
	classBool
	classInt
	classUint // an integer that only an unsigned one holds
	classFloat
)

// scalar is one YAML scalar, read as Kubernetes reads it: by the rules of YAML
// 1.1, where yes, on and y are booleans too, 010 is eight, and a date is a
// string.
type scalar struct {
	class class
	text  string // of a string
	bool  bool
	int   int64
	uint  uint64
	float float64
}

// String describes s for a message.
func (s scalar) String() string {
	switch s.class {
	case classNull:
		return "null"
	case classBool:
		return "the boolean " + strconv.FormatBool(s.bool)
	case classInt, classUint, classFloat:
		return "the number " + s.key()
	}
	return "the string " + strconv.Quote(reason.Clip(s.text))
}

// word names what s is without its value, for values that are secret.
func (s scalar) word() string {
	return [...]string{"a string", "null", "a boolean", "a number", "a number", "a number"}[s.class]
}

// key is s as a key of a JSON object.
func (s scalar) key() string {
	switch s.class {
	case classBool:
		return strconv.FormatBool(s.bool)
	case classInt:
		return strconv.FormatInt(s.int, 10)
	case classUint:
		return strconv.FormatUint(s.uint, 10)
	case classFloat:
		return floatKey(s.float)
	}
	return s.text
}

// floatKey follows sigs.k8s.io/yaml, single precision and all.
func floatKey(f float64) string {
	switch {
	case math.IsNaN(f):
		return ".nan"
	case math.IsInf(f, 1):
		return ".inf"
	case math.IsInf(f, -1):
		return "-.inf"
	}
	return strconv.FormatFloat(f, 'g', -1, 32)
}

// value is s as encoding/json holds it.
func (s scalar) value() any {
	switch s.class {
	case classNull:
		return nil
	case classBool:
		return s.bool
	case classInt:
		return s.int
	case classUint:
		return s.uint
	case classFloat:
		return s.float
	}
	return s.text
}

// integer returns s as an integer, if it is one. A float counts when JSON
// writes it without point and exponent, as 80.0 is written 80.
func (s scalar) integer() (text string, ok bool) {
	switch s.class {
	case classInt, classUint:
		return s.key(), true
	case classFloat:
		raw, err := json.Marshal(s.float)
		return string(raw), err == nil && strings.Trim(string(raw), "-0123456789") == ""
	}
	return "", false
}

const quotedStyles = yaml.DoubleQuotedStyle | yaml.SingleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle

// readScalar resolves a scalar node. It fails on a tag that is not YAML's own,
// or that its value does not fit.
func readScalar(node *yaml.Node) (scalar, error) {
	switch {
	case node.Style&yaml.TaggedStyle != 0:
		return readTagged(node)
	case node.Style&quotedStyles != 0:
		return scalar{text: node.Value}, nil
	}
	return resolve(node.Value), nil
}

func readTagged(node *yaml.Node) (scalar, error) {
	got := resolve(node.Value)
	fits := false
	switch node.ShortTag() {
	case "!!str", "!!timestamp":
		return scalar{text: node.Value}, nil
	case "!!binary":
		raw, err := base64.StdEncoding.DecodeString(node.Value)
		if err != nil {
			return scalar{}, fmt.Errorf("the value of !!binary is not base64")
		}
		return scalar{text: string(raw)}, nil
	case "!!null":
		fits = got.class == classNull
	case "!!bool":
		fits = got.class == classBool
	case "!!int":
		fits = got.class == classInt || got.class == classUint
	case "!!float":
		if got.class == classInt {
			got = scalar{class: classFloat, float: float64(got.int)}
		}
		fits = got.class == classFloat
	default:
		return scalar{}, errors.New("the tag is not understood here")
	}
	if !fits {
		return scalar{}, fmt.Errorf("the value is not a %s", strings.TrimPrefix(node.ShortTag(), "!!"))
	}
	return got, nil
}

// resolve reads a plain scalar.
func resolve(plain string) scalar {
	if plain == "" {
		return scalar{class: classNull}
	}
	switch c := plain[0]; {
	case c == '.':
		if s, ok := resolveWord(plain); ok {
			return s
		}
		if f, err := strconv.ParseFloat(plain, 64); err == nil {
			return scalar{class: classFloat, float: f}
		}
	case c >= '0' && c <= '9', c == '+', c == '-':
		if s, ok := resolveWord(plain); ok {
			return s
		}
		return resolveNumber(plain)
	case strings.IndexByte("yYnNtTfFoO~", c) >= 0:
		if s, ok := resolveWord(plain); ok {
			return s
		}
	}
	return scalar{text: plain}
}

// resolveWord reads the words that are not strings.
func resolveWord(plain string) (scalar, bool) {
	switch plain {
	case "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON":
		return scalar{class: classBool, bool: true}, true
	case "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF":
		return scalar{class: classBool}, true
	case "~", "null", "Null", "NULL":
		return scalar{class: classNull}, true
	case ".nan", ".NaN", ".NAN":
		return scalar{class: classFloat, float: math.NaN()}, true
	case ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF":
		return scalar{class: classFloat, float: math.Inf(1)}, true
	case "-.inf", "-.Inf", "-.INF":
		return scalar{class: classFloat, float: math.Inf(-1)}, true
	}
	return scalar{}, false
}

var plainFloat = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)

// resolveNumber reads an integer of any base, then a float; anything else, a
// date included, is a string.
func resolveNumber(plain string) scalar {
	digits := strings.ReplaceAll(plain, "_", "")
	if i, err := strconv.ParseInt(digits, 0, 64); err == nil {
		return scalar{class: classInt, int: i}
	}
	if u, err := strconv.ParseUint(digits, 0, 64); err == nil {
		return scalar{class: classUint, uint: u}
	}
	if plainFloat.MatchString(digits) {
		if f, err := strconv.ParseFloat(digits, 64); err == nil {
			return scalar{class: classFloat, float: f}
		}
	}
	return scalar{text: plain}
}
