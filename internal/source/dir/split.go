package dir

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// chunk is the text of one document and where it begins.
type chunk struct {
	text string
	// base is the number of lines before it in its file.
	base int
}

// split cuts a file into its documents before any is parsed, so that one that
// is broken takes no other with it. That is sound because YAML reserves --- and
// ... at the start of a line even within quotes and block scalars.
func split(text string) []chunk {
	text = strings.TrimPrefix(text, "\ufeff")
	var out []chunk
	start, base, line := 0, 0, 0
	bare := true // nothing but comments and directives since start
	cut := func(end, nextLine int) {
		if strings.TrimSpace(text[start:end]) != "" {
			out = append(out, chunk{text[start:end], base})
		}
		start, base, bare = end, nextLine, true
	}
	for at := 0; at < len(text); line++ {
		end := len(text)
		if i := strings.IndexByte(text[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		switch row := text[at:end]; {
		case isMarker(row, "---"):
			if !bare {
				cut(at, line)
			}
			bare = false
		case isMarker(row, "..."):
			cut(end, line+1)
		case bare:
			bare = isBare(row)
		}
		at = end
	}
	cut(len(text), line)
	return out
}

func isMarker(row, marker string) bool {
	rest, ok := strings.CutPrefix(row, marker)
	return ok && (rest == "" || strings.IndexByte(" \t\r\n", rest[0]) >= 0)
}

func isBare(row string) bool {
	row = strings.TrimSpace(row)
	return row == "" || row[0] == '#' || row[0] == '%'
}

// splitAny cuts a file of either form, whatever its name says: a YAML file may
// hold JSON as well.
func splitAny(text string) []chunk {
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		return splitJSON(text)
	}
	return split(text)
}

// splitJSON cuts a file of one JSON value after another. One that is not all
// JSON is left to split and to the YAML parser, whose errors are as good.
func splitJSON(text string) []chunk {
	var out []chunk
	dec := json.NewDecoder(strings.NewReader(text))
	line, counted := 0, 0
	for {
		var raw json.RawMessage
		err := dec.Decode(&raw)
		if err == io.EOF {
			return out
		}
		if err != nil {
			return split(text)
		}
		end := int(dec.InputOffset())
		begin := end - len(raw)
		line += strings.Count(text[counted:begin], "\n")
		counted = begin
		out = append(out, chunk{yamlEscapes(text[begin:end]), line})
	}
}

// yamlEscapes rewrites the two escapes of JSON that the YAML library does not
// read: \/, and pairs of \u, in which JSON spells what lies beyond the first
// 65,536 characters.
func yamlEscapes(text string) string {
	if !strings.Contains(text, `\/`) && !strings.Contains(text, `\ud`) && !strings.Contains(text, `\uD`) {
		return text
	}
	var out strings.Builder
	for {
		i := strings.IndexByte(text, '\\')
		if i < 0 || i+1 == len(text) {
			out.WriteString(text)
			return out.String()
		}
		out.WriteString(text[:i])
		text = text[i:]
		escape, n := text[:2], 2
		if text[1] == '/' {
			escape = "/"
		} else if r := surrogatePair(text); r != 0 {
			escape, n = fmt.Sprintf(`\U%08X`, r), pairLen
		}
		out.WriteString(escape)
		text = text[n:]
	}
}

const pairLen = len(`\ud83d\ude00`)

// surrogatePair reads the pair that text begins with, or returns 0.
func surrogatePair(text string) rune {
	if len(text) < pairLen || text[:2] != `\u` || text[6:8] != `\u` {
		return 0
	}
	high, errHigh := strconv.ParseUint(text[2:6], 16, 16)
	low, errLow := strconv.ParseUint(text[8:12], 16, 16)
	if errHigh != nil || errLow != nil {
		return 0
	}
	if r := utf16.DecodeRune(rune(high), rune(low)); r != utf8.RuneError {
		return r
	}
	return 0
}
