package upstream

import (
	"crypto/hmac"
	"crypto/sha256"
)

// Token is what session affinity calls an endpoint. It tells nothing to those who lack
// the key.
type Token [8]byte

// Sign is a keyed hash of what is said about something.
func Sign(key []byte, what, name string, data []byte) (out Token) {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(what + "\n" + name + "\n"))
	mac.Write(data)
	copy(out[:], mac.Sum(nil))
	return out
}

// Token is what clients that come back to an endpoint of the service carry.
func (c *Cluster) Token(e *Endpoint) Token {
	return Sign(c.registry.cfg.AffinityKey, "endpoint", c.Service.Name, []byte(e.Name))
}

// ByToken finds the endpoint that has a token, or nil.
func (c *Cluster) ByToken(t Token) *Endpoint { return c.current().tokens()[t] }

// tokens names the endpoints of a set.
func (c *Cluster) tokens(all []Endpoint) map[Token]*Endpoint {
	out := make(map[Token]*Endpoint, len(all))
	for i := range all {
		out[c.Token(&all[i])] = &all[i]
	}
	return out
}
