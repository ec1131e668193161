package standalone

import (
	"errors"
	"strings"
)

var (
	errUnterminated = errors.New("a quote is not closed")
	errNoWords      = errors.New("it is empty")
	errTrailing     = errors.New("it ends in a backslash")
)

// words splits a command line as a shell does, but supports nothing else of a shell: no
// variables, patterns, pipes or redirections. Single quotes keep everything literally;
// within double quotes a backslash escapes `"`, `\`, `$` and "`"; outside quotes it
// escapes any character.
func words(line string) ([]string, error) {
	s := splitter{}
	for _, r := range line {
		s.next(r)
	}
	switch {
	case s.escaped:
		return nil, errTrailing
	case s.quote != 0:
		return nil, errUnterminated
	}
	s.end()
	if len(s.words) == 0 {
		return nil, errNoWords
	}
	return s.words, nil
}

// splitter is the state of the scanner between two characters.
type splitter struct {
	words   []string
	word    strings.Builder
	inWord  bool
	quote   rune
	escaped bool
}

func (s *splitter) next(r rune) {
	switch {
	case s.escaped:
		s.unescape(r)
	case r == '\\' && s.quote != '\'':
		s.escaped, s.inWord = true, true
	case s.quote != 0 && r == s.quote:
		s.quote = 0
	case s.quote == 0 && (r == '\'' || r == '"'):
		s.quote, s.inWord = r, true
	case s.quote == 0 && strings.ContainsRune(" \t\r\n", r):
		s.end()
	default:
		s.put(r)
	}
}

// unescape handles the character after a backslash. Within double quotes, the backslash
// is kept before a character that needs no escape.
func (s *splitter) unescape(r rune) {
	s.escaped = false
	if s.quote == '"' && !strings.ContainsRune("\"\\$`", r) {
		s.put('\\')
	}
	s.put(r)
}

func (s *splitter) put(r rune) {
	s.inWord = true
	s.word.WriteRune(r)
}

func (s *splitter) end() {
	if s.inWord {
		s.words = append(s.words, s.word.String())
	}
	s.word.Reset()
	s.inWord = false
}
