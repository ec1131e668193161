package compress

import (
	"bytes"

	"windrose.dev/windrose/internal/proxy/msg"
)

// weights are the weights of content codings in Accept-Encoding, from 0, which rejects
// the coding, to 1000; unsaid is below that.
type weights struct {
	codings            [len(codings)]int
	identity, wildcard int
}

const unsaid = -1

// parseAccept parses the field (RFC 9110 §12.5.3). Elements that are not valid are
// ignored.
func parseAccept(list []byte) weights {
	w := weights{identity: unsaid, wildcard: unsaid}
	for i := range w.codings {
		w.codings[i] = unsaid
	}
	for len(list) > 0 {
		var one []byte
		one, list, _ = bytes.Cut(list, comma)
		name, parameters, weighed := bytes.Cut(one, semicolon)
		weight := 1000
		if weighed {
			weight = parseWeight(parameters)
		}
		if at := w.of(msg.TrimOWS(name)); at != nil && *at == unsaid {
			*at = weight
		}
	}
	return w
}

var comma, semicolon = []byte{','}, []byte{';'}

// of returns the weight of a coding by its name, or nil if this package does not
// support it.
func (w *weights) of(name []byte) *int {
	switch {
	case string(name) == "*":
		return &w.wildcard
	case msg.EqualFold(name, "identity"):
		return &w.identity
	case msg.EqualFold(name, "x-gzip"):
		name = name[len("x-"):] // x-gzip is an alias of gzip (RFC 9110 §8.4.1.3)
	}
	for i := range codings {
		if msg.EqualFold(name, codings[i].name) {
			return &w.codings[i]
		}
	}
	return nil
}

// parseWeight returns a qvalue (RFC 9110 §12.4.2) in thousandths, or unsaid.
func parseWeight(text []byte) int {
	text = msg.TrimOWS(text)
	if len(text) < len("q=0") || text[0]|0x20 != 'q' || text[1] != '=' {
		return unsaid
	}
	whole, digits := text[2], text[3:]
	if whole != '0' && whole != '1' || len(digits) > len(".000") || len(digits) > 0 && digits[0] != '.' {
		return unsaid
	}
	weight, unit := int(whole-'0')*1000, 100
	for _, c := range digits[min(1, len(digits)):] {
		if c < '0' || c > '9' {
			return unsaid
		}
		weight += int(c-'0') * unit
		unit /= 10
	}
	if weight > 1000 {
		return unsaid
	}
	return weight
}

// choose returns the offered coding with the highest weight, the first one of several,
// or none if identity is preferred.
func (w *weights) choose(offered []int) int {
	best, most := none, max(w.identity, 1)
	for _, coding := range offered {
		weight := w.codings[coding]
		if weight == unsaid {
			weight = w.wildcard
		}
		if weight > most || weight == most && best == none {
			best, most = coding, weight
		}
	}
	return best
}

// refusesIdentity reports whether the client rejects an unencoded response.
func (w *weights) refusesIdentity() bool {
	return w.identity == 0 || w.identity == unsaid && w.wildcard == 0
}

// none means no coding: identity.
const none = -1
