package standalone

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strconv"

	"k8s.io/apimachinery/pkg/util/rand"
)

// suffixLength is the number of characters that Kubernetes appends to a generated name.
const suffixLength = 5

// contentHash returns a name for the content of v, in the form that Kubernetes uses for
// pod templates: at most ten characters from an alphabet without vowels. It depends only
// on the content, so an unchanged template keeps its pods over restarts.
func contentHash(v any) string {
	// Kubernetes API types always marshal, and maps are sorted.
	text, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("standalone: marshal %T: %v", v, err))
	}
	return hashString(string(text))
}

func hashString(s string) string {
	h := fnv.New32a()
	h.Write([]byte(s))
	return rand.SafeEncodeString(strconv.FormatUint(uint64(h.Sum32()), 10))
}

// podSuffixes returns n distinct suffixes for the pods of one template. The first
// suffixes do not depend on n, so scaling keeps the pods that stay.
func podSuffixes(templateHash string, n int) []string {
	taken := make(map[string]bool, n)
	suffixes := make([]string, 0, n)
	for attempt := 0; len(suffixes) < n; attempt++ {
		suffix := podSuffix(templateHash, attempt)
		if !taken[suffix] {
			taken[suffix] = true
			suffixes = append(suffixes, suffix)
		}
	}
	return suffixes
}

// podSuffix spreads 64 bits over the whole alphabet: the digits of a decimal number would
// reach only ten of its characters.
func podSuffix(templateHash string, index int) string {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s/%d", templateHash, index)
	sum := h.Sum64()
	runes := make([]rune, suffixLength)
	for i := range runes {
		runes[i] = rune(sum % 27)
		sum /= 27
	}
	return rand.SafeEncodeString(string(runes))
}
