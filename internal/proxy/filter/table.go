package filter

import "windrose.dev/windrose/internal/proxy/exchange"

// Table is all filters in the order in which requests pass them. Responses
// pass them the other way round.
func Table() []exchange.FilterSpec {
	return []exchange.FilterSpec{
		{Name: "tls-redirect", New: newTLSRedirect},
		{Name: "body-limit", New: newBodyLimit},
		{Name: "cors", New: newCORS},
		{Name: "redirect", New: newRedirect},
		{Name: "edit", New: newEdit},
		{Name: "rewrite", New: newRewrite},
	}
}

// requestOnly is embedded by filters that leave responses alone.
type requestOnly struct{}

func (requestOnly) Response(*exchange.Exchange) {}
