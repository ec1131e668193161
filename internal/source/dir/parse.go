package dir

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
)

// parse reads the text of one document. It returns nil, nil for one that is
// empty.
func parse(text string) (*yaml.Node, *source.Problem) {
	if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") {
		return nil, &source.Problem{Code: reason.ParseError, Line: 1, Message: "the file is UTF-16", Fix: "save it as UTF-8"}
	}
	node, err := parseYAML(text)
	if err == nil {
		return node, nil
	}
	message, line := yamlError(err)
	if !strings.HasPrefix(strings.TrimSpace(text), "{") {
		line = brokenLine(text, line)
	} else if at, ok := brokenJSONLine(text); ok {
		line = at
	}
	return nil, &source.Problem{Code: reason.ParseError, Line: clampLine(text, line), Message: message}
}

// parseYAML parses exactly one document. A panic of the YAML library is an
// error of the text: users' files must not stop the program.
func parseYAML(text string) (root *yaml.Node, err error) {
	defer func() {
		if p := recover(); p != nil {
			root, err = nil, fmt.Errorf("yaml: the parser gave up: %v", p)
		}
	}()
	dec := yaml.NewDecoder(strings.NewReader(text))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); err == io.EOF {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if err := dec.Decode(&more); err == nil {
		return nil, fmt.Errorf("yaml: line %d: %s", more.Line, secondDocument)
	} else if err != io.EOF {
		return nil, err
	}
	if len(doc.Content) == 0 || isNull(doc.Content[0]) {
		return nil, nil
	}
	return doc.Content[0], nil
}

var yamlErrorText = regexp.MustCompile(`(?s)^yaml: (?:line (\d+): )?(.*)$`)

// yamlError takes the line out of an error of the YAML library; 1 if it has
// none. The message holds nothing that the user wrote: it may be a secret.
func yamlError(err error) (message string, line int) {
	parts := yamlErrorText.FindStringSubmatch(err.Error())
	if parts == nil {
		return inOwnWords(""), 1
	}
	line, _ = strconv.Atoi(parts[1])
	return inOwnWords(parts[2]), max(line, 1)
}

// yamlMessages are the messages of the YAML library that say something to
// users, by their beginnings: what may follow is the user's own text.
var yamlMessages = []struct{ begin, words string }{
	{"block sequence entries are not allowed in this context", ""},
	{"control characters are not allowed", ""},
	{"could not find expected ':'", ""},
	{"did not find URI escaped octet", "a tag is not written as YAML wants it"},
	{"did not find expected '!'", "a tag is not written as YAML wants it"},
	{"did not find expected ',' or ']'", ""},
	{"did not find expected ',' or '}'", ""},
	{"did not find expected '-' indicator", ""},
	{"did not find expected <document start>", "something stands before the document that does not belong there"},
	{"did not find expected alphabetic or numeric character", "an anchor or alias has no name"},
	{"did not find expected comment or line break", ""},
	{"did not find expected hexdecimal number", "an escape wants hexadecimal digits"},
	{"did not find expected key", ""},
	{"did not find expected node content", ""},
	{"did not find expected tag URI", "a tag is not written as YAML wants it"},
	{"did not find expected whitespace", ""},
	{"exceeded max depth", "lists and mappings nest too deep"},
	{"found a tab character that violates indentation", ""},
	{"found a tab character where an indentation space is expected", ""},
	{"found character that cannot start any token", ""},
	{"found duplicate %YAML directive", ""},
	{"found incompatible YAML document", "the %YAML directive asks for a version other than 1.1 or 1.2"},
	{"found invalid Unicode character escape code", "an escape is no Unicode character"},
	{"found undefined tag handle", "a tag begins with a handle that no %TAG directive defines"},
	{"found unexpected document indicator", ""},
	{"found unexpected end of stream", ""},
	{"found unknown directive name", "a line begins with %, which only %YAML and %TAG may"},
	{"found unknown escape character", "a backslash in double quotes begins no escape that YAML knows"},
	{"incomplete UTF-8 octet sequence", "the text is not UTF-8"},
	{"invalid Unicode character", "a character is not allowed in YAML"},
	{"invalid leading UTF-8 octet", "the text is not UTF-8"},
	{"invalid trailing UTF-8 octet", "the text is not UTF-8"},
	{"mapping keys are not allowed in this context", ""},
	{"mapping values are not allowed in this context", ""},
	{"anchor '", "an anchor contains itself"},
	{"unknown anchor '", "an alias names an anchor that does not stand before it"},
	{secondDocument, ""},
}

const secondDocument = "a second document begins without --- at the start of a line"

// inOwnWords says what a message of the YAML library says, without the user's
// text.
func inOwnWords(message string) string {
	for _, row := range yamlMessages {
		if strings.HasPrefix(message, row.begin) {
			return cmp.Or(row.words, row.begin)
		}
	}
	return "this is not YAML"
}

// brokenLine finds the line after which a text no longer parses. The YAML
// library names the line where the enclosing mapping begins, or is one off; so
// we look for the longest run of whole lines that does parse. Where that would
// take long, hint, the library's line, has to do.
func brokenLine(text string, hint int) int {
	const mostBytes, ahead = 64 << 10, 40
	if len(text) > mostBytes {
		return hint
	}
	ends := lineEnds(text)
	parses := func(lines int) bool {
		_, err := parseYAML(text[:ends[lines]])
		return err == nil
	}
	good, bad := 0, len(ends)-1
	for bad-good > 1 {
		if mid := (good + bad) / 2; parses(mid) {
			good = mid
		} else {
			bad = mid
		}
	}
	// An open quote or bracket breaks a run of lines too, until it is closed.
	for next := good + 2; next < len(ends) && next <= good+ahead; next++ {
		if parses(next) {
			good = next
		}
	}
	return good + 1
}

// lineEnds returns where each line of text ends, after 0 for none.
func lineEnds(text string) []int {
	ends := []int{0}
	for at := 0; at < len(text); {
		i := strings.IndexByte(text[at:], '\n')
		if i < 0 {
			return append(ends, len(text))
		}
		at += i + 1
		ends = append(ends, at)
	}
	return ends
}

func brokenJSONLine(text string) (int, bool) {
	var raw json.RawMessage
	var syntax *json.SyntaxError
	if !errors.As(json.Unmarshal([]byte(text), &raw), &syntax) {
		return 0, false
	}
	offset := min(max(int(syntax.Offset)-1, 0), len(text))
	return strings.Count(text[:offset], "\n") + 1, true
}

// clampLine keeps line within text: YAML counts some characters as line ends
// that editors do not.
func clampLine(text string, line int) int {
	return min(max(line, 1), strings.Count(strings.TrimSuffix(text, "\n"), "\n")+1)
}
