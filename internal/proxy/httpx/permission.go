package httpx

import (
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/policy"
)

// permission is what allowed a request whose bodies are still being moved. One goroutine
// uses it.
type permission struct {
	server  *Server
	request *policy.Request
	// by is the Generation that was asked last.
	by *exchange.Generation
}

// again asks the Generation of now, where it is another than the last one: a body that
// takes long does not go on when the request would be denied.
func (p *permission) again() policy.Verdict {
	gen := p.server.Generation()
	if gen == p.by {
		return policy.Verdict{}
	}
	p.by = gen
	return gen.MayAsk(p.request)
}
