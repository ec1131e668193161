package ingress

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"windrose.dev/windrose/internal/proxy/route"
)

// inRequest returns a path in the form in which the proxy matches requests with the
// settings of this dialect: no character is encoded that a path may hold literally, and
// every run of slashes is one slash.
func inRequest(path string) (canonical string, dotsRemoved, ok bool) {
	p, _, ok := route.Canonical([]byte(path), nil)
	if !ok {
		return "", false, false
	}
	seen, _ := route.View{Decode: true, Merge: true}.Of(p.Bytes, nil)
	dots := p.DotsRemoved || bytes.Contains(p.Bytes, []byte("%2F")) && hasDots(string(p.Bytes))
	return string(seen), dots, true
}

// hasDots reports whether a path has dot segments after its encoded slashes are decoded.
func hasDots(path string) bool {
	segments := strings.Split(strings.ReplaceAll(path, "%2F", "/"), "/")
	return slices.Contains(segments, ".") || slices.Contains(segments, "..")
}

// urlPath holds the characters that a URL's path may hold literally (RFC 3986 §3.3),
// apart from escapes.
const urlPath = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,;=:@/%"

func hasOnly(s, allowed string) bool { return strings.Trim(s, allowed) == "" }

// differ compares CanonicalPath, which writes the paths of rules, with the proxy's form
// of the paths of requests. If they differ, a request for the path of a rule misses that
// rule, and perhaps a guard with it.
func differ(t *testing.T, path string) {
	if !strings.HasPrefix(path, "/") || strings.ContainsRune(path, 0) || strings.Contains(path, "%00") {
		return // the proxy refuses a NUL; the source refuses a path without a slash
	}
	rule, ok := blockForm.CanonicalPath(path)
	if ok {
		// The path of a rule equals that of a request for it.
		if got, dots, valid := inRequest(rule); got != rule || dots || !valid {
			t.Errorf("the rule %q for path %q is %q in a request, dots %t, valid %t", rule, path, got, dots, valid)
		}
	}
	request, dots, valid := inRequest(path)
	if !valid || !hasOnly(path, urlPath) {
		return // not a URL
	}
	if ok == dots {
		t.Errorf("path %q: the rule has dot segments: %t, the request: %t", path, !ok, dots)
	}
	if ok && rule != request {
		t.Errorf("path %q: the rule has %q, the request %q", path, rule, request)
	}
}

func TestCanonicalPathIsTheProxys(t *testing.T) {
	pieces := []string{"/", "//", ".", "..", "a", "%2e", "%2E", "%2f", "%2F", "%5c", "%7e", "%41", "%zz", "%", "é", "%C3%A9", " ", ";x=1", "~", "[", "%5b", "...", "\\", "?"}
	for _, a := range pieces {
		for _, b := range pieces {
			for _, c := range pieces {
				differ(t, "/"+a+b+c)
				differ(t, "/x/"+a+"/"+b+c)
			}
		}
	}
}

func FuzzCanonicalPathIsTheProxys(f *testing.F) {
	for _, seed := range []string{"/", "/a//b", "/a/../b", "/%2e%2E/%2f", "/é", "/100%"} {
		f.Add(seed)
	}
	f.Fuzz(differ)
}
