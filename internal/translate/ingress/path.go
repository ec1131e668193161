package ingress

import (
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// isHost reports whether a name can be a host of the model: a lower-case DNS name, with
// or without a wildcard as its first label, or * for any. The source refuses other names,
// but tombstones may still have them.
func isHost(name string) bool {
	return name == "*" || len(validation.IsDNS1123Subdomain(strings.TrimPrefix(name, "*."))) == 0
}
