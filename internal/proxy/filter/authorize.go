package filter

import (
	"errors"
	"strings"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/policy"
)

// authorize answers 403 to requests that an Access does not let in. It is an
// exchange.Guard: swaps ask it again for tunnels.
type authorize struct {
	requestOnly
	access *policy.Access
}

// newAuthorize closes the rule of an Access that looks at what nobody here can tell.
func newAuthorize(a *model.Authorize) (exchange.Filter, error) {
	access, unknown, err := policy.NewAccess(&a.Access)
	if err == nil && len(unknown) > 0 {
		err = errors.New("this proxy cannot tell what these look at: " + strings.Join(unknown, ", "))
	}
	return authorize{access: access}, err
}

func (f authorize) Asks(r *policy.Request) policy.Verdict { return f.access.Asks(r) }

func (f authorize) Request(x *exchange.Exchange) bool {
	v := f.access.Asks(x.View())
	if !v.Allowed() {
		x.Deny(v)
		return true
	}
	x.Policy = v.Policy
	return false
}
