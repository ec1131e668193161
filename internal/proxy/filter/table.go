package filter

import "windrose.dev/windrose/internal/proxy/exchange"

// Table returns a row for each kind of filter that every data plane has.
func Table() []exchange.FilterSpec {
	return []exchange.FilterSpec{
		exchange.Pure(newTLSRedirect),
		exchange.Pure(newAuthorize),
		exchange.Pure(newBodyLimit),
		exchange.Pure(newCORS),
		exchange.Pure(newRedirect),
		exchange.Pure(newEdit),
		exchange.Pure(newRewrite),
	}
}

// requestOnly is embedded by filters that do not change responses.
type requestOnly struct{}

func (requestOnly) Response(*exchange.Exchange) {}
