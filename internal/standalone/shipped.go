package standalone

import (
	"bytes"
	"io"
	"os"
	"regexp"

	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
)

// shippedSecrets returns the names of the Secrets that the user wrote: those of the Set,
// including stale ones, and broken ones, which are not in the Set.
func shippedSecrets(set *source.Set) map[source.Name]bool {
	shipped := map[source.Name]bool{}
	for secret := range set.Secrets.All() {
		shipped[secret.Name()] = true
	}
	for _, report := range set.Reports {
		if at := report.Origin; at.Kind == "Secret" && report.Severity == reason.Error {
			shipped[source.Name{Namespace: at.Namespace, Name: at.Name}] = true
		}
	}
	return shipped
}

// unreadPlaces returns the first place in each file of errors that belong to no object:
// what is written there is unknown.
func unreadPlaces(reports []reason.Report) []reason.Origin {
	var places []reason.Origin
	seen := map[string]bool{}
	for _, report := range reports {
		at := report.Origin
		if at.Kind == "" && at.File != "" && report.Severity == reason.Error && !seen[at.File] {
			seen[at.File] = true
			places = append(places, at)
		}
	}
	return places
}

// maxUnread bounds the size of a file, in bytes, that is searched for a Secret.
const maxUnread = 16 << 20

var secretKind = regexp.MustCompile(`kind["']?\s*:\s*["']?Secret\b`)

// unreadTexts searches for Secrets in files that could not be parsed.
type unreadTexts struct {
	places []reason.Origin
	texts  map[string][]byte // of the files read so far
}

// mayHold returns the first place that may hold the Secret: a file that contains its name
// and the word for its kind, or a file that cannot be read at all.
func (u *unreadTexts) mayHold(name source.Name) (reason.Origin, bool) {
	for _, at := range u.places {
		text, readable := u.text(at.File)
		if !readable || secretKind.Match(text) && bytes.Contains(text, []byte(name.Name)) {
			return at, true
		}
	}
	return reason.Origin{}, false
}

// text returns the text of a file, or false if it cannot be read.
func (u *unreadTexts) text(file string) ([]byte, bool) {
	text, known := u.texts[file]
	if !known {
		text = readText(file)
		u.texts[file] = text
	}
	return text, text != nil
}

// readText returns nil if path is not a regular file of a size that can be searched.
func readText(path string) []byte {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxUnread {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxUnread))
	if err != nil {
		return nil
	}
	return text
}
