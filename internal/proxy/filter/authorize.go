package filter

import (
	"errors"
	"strings"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/policy"
)

// authorize responds 403 to requests that an Access does not allow. It is an
// exchange.Guard: a swap evaluates it again for open tunnels.
type authorize struct {
	requestOnly
	access *policy.Access
}

// newAuthorize closes the rule if its Access has a test that this engine cannot
// evaluate.
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
