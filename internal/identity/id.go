package identity

import (
	"fmt"
	"strings"
)

// ID is a SPIFFE ID in the form of Kubernetes workloads: spiffe://<trust
// domain>/ns/<namespace>/sa/<service account>.
type ID struct{ TrustDomain, Namespace, ServiceAccount string }

const scheme = "spiffe://"

// MaxID bounds a SPIFFE ID, in bytes (SPIFFE-ID §2.3).
const MaxID = 2048

// Parse reads a SPIFFE ID. It fails for other forms of SPIFFE IDs: they have no
// namespace, and are treated like any other name.
func Parse(uri string) (ID, error) {
	rest, is := strings.CutPrefix(uri, scheme)
	parts := strings.Split(rest, "/")
	if !is || len(uri) > MaxID || len(parts) != 5 || parts[1] != "ns" || parts[3] != "sa" {
		return ID{}, fmt.Errorf("%q is not spiffe://<trust domain>/ns/<namespace>/sa/<service account>", uri)
	}
	id := ID{parts[0], parts[2], parts[4]}
	if !isDomain(id.TrustDomain) || !isSegment(id.Namespace) || !isSegment(id.ServiceAccount) {
		return ID{}, fmt.Errorf("%q has a part that no SPIFFE ID can have", uri)
	}
	return id, nil
}

// String returns the URI; it is empty for the zero ID.
func (id ID) String() string {
	if id == (ID{}) {
		return ""
	}
	return scheme + id.TrustDomain + "/ns/" + id.Namespace + "/sa/" + id.ServiceAccount
}

// isDomain reports whether a name can be a trust domain (SPIFFE-ID §2.1).
func isDomain(name string) bool {
	return name != "" && len(name) <= 255 && !strings.ContainsFunc(name, func(c rune) bool {
		return !isLower(c) && c != '.' && c != '-' && c != '_'
	})
}

// isSegment reports whether a text can be a segment of the path (SPIFFE-ID §2.2).
func isSegment(text string) bool {
	return text != "" && text != "." && text != ".." && !strings.ContainsFunc(text, func(c rune) bool {
		return !isLower(c) && (c < 'A' || c > 'Z') && c != '.' && c != '-' && c != '_'
	})
}

func isLower(c rune) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }
