package filter

import "windrose.dev/windrose/internal/proxy/exchange"

// Table has a row for each kind of filter that every data plane has.
func Table() []exchange.FilterSpec {
	return []exchange.FilterSpec{
		exchange.Spec(newTLSRedirect),
		exchange.Spec(newAuthorize),
		exchange.Spec(newBodyLimit),
		exchange.Spec(newCORS),
		exchange.Spec(newRedirect),
		exchange.Spec(newEdit),
		exchange.Spec(newRewrite),
	}
}

// requestOnly is embedded by filters that leave responses alone.
type requestOnly struct{}

func (requestOnly) Response(*exchange.Exchange) {}
