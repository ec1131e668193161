package gateway

import (
	"cmp"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/translate/fragment"
	"windrose.dev/windrose/internal/translate/secret"
)

// Options configure the translation.
type Options struct {
	// Class limits the translation to the Gateways of one class; empty serves all classes
	// of our controller.
	Class string
	// EveryClass also serves the classes of other controllers. It is for use where there
	// is no other controller.
	EveryClass bool
	// Compress is how responses are compressed if an HTTPRoute does not say; with no
	// encodings they are not compressed.
	Compress model.Compress
	// ExternalNames also serves Services of type ExternalName. The API leaves this to
	// implementations and advises against it: whoever may write a route could reach hosts
	// that its namespace must not reach.
	ExternalNames bool
	// Addresses returns the addresses to publish for a Gateway, given those that it asks
	// for, which may be none. If Addresses is nil, all Gateways share the ports of one
	// proxy.
	Addresses func(gateway source.Name, asked []gatewayv1.GatewaySpecAddress) ([]gatewayv1.GatewayStatusAddress, Problem)
}

// Problem says why the addresses that a Gateway asks for cannot be used.
type Problem struct {
	// Reason is UnsupportedAddress or AddressNotUsable; empty means that there is no
	// problem.
	Reason  gatewayv1.GatewayConditionReason
	Message string
}

// Dialect is the name of this dialect's blocks.
const Dialect = "gateway"

// Translate translates the Gateway API's resources of a Set, with the Secrets of secrets.
func Translate(set *source.Set, secrets *secret.Reader, opts Options) fragment.Fragment {
	t := &translation{
		set: set, secrets: secrets, opts: opts, grants: newGrants(set), served: map[string]bool{},
		gateways: map[source.Name]*gateway{}, sets: map[source.Name]*listenerSet{},
		atHost: map[hostPlace][]*listener{}, https: map[model.ListenerID]*listener{}, claims: map[claim]*listener{},
		l4RouteAt: map[l4RoutePlace]int{}, placed: map[string]int{}, blocks: map[blockKey]*block{},
		out: fragment.Fragment{Origins: map[string]reason.Origin{}},
	}
	t.readPolicies()
	t.classes()
	t.collectGateways()
	t.collectListenerSets()
	t.checkListeners()
	t.findOverlaps()
	t.agreeOnClients()
	for _, r := range t.routes() {
		r.translate()
	}
	t.l4Routes()
	t.openListeners()
	t.identities()
	t.finishBlocks()
	t.gatewayStatus()
	t.policyStatus()
	return t.out
}

// translation is the state of one call of Translate.
type translation struct {
	set     *source.Set
	secrets *secret.Reader
	opts    Options
	grants  grants
	// served are the names of the GatewayClasses that are served.
	served   map[string]bool
	gateways map[source.Name]*gateway
	sets     map[source.Name]*listenerSet
	// atHost are the listeners by port and hostname, in order of precedence.
	atHost map[hostPlace][]*listener
	// https are the first HTTPS listeners of each port.
	https map[model.ListenerID]*listener
	// claims are the listeners that own a port, or a host of it.
	claims map[claim]*listener
	// order is the order of precedence: the oldest Gateway first.
	order     []*gateway
	policies  tlsPolicies
	placed    map[string]int       // rules by namespace
	l4RouteAt map[l4RoutePlace]int // index in out.L4
	// clientAuth is the client certificate validation of each port.
	clientAuth map[model.ListenerID]*model.ClientAuth
	blocks     map[blockKey]*block
	out        fragment.Fragment
}

func (t *translation) report(code reason.Code, at reason.Origin, format string, args ...any) {
	t.out.Reports = append(t.out.Reports, reason.New(code, at, fmt.Sprintf(format, args...)))
}

// byAge returns the objects of a kind, oldest first, then by name: the order in which the
// Gateway API resolves conflicts.
func byAge[T any](index source.Index[T]) []*source.Object[T] {
	all := slices.Collect(index.All())
	slices.SortStableFunc(all, func(a, b *source.Object[T]) int {
		x, y := any(a.Value).(metav1.Object), any(b.Value).(metav1.Object)
		return cmp.Or(x.GetCreationTimestamp().Compare(y.GetCreationTimestamp().Time), a.Name().Compare(b.Name()))
	})
	return all
}

// certificate returns what is wrong with the certificate in a secret.
func (t *translation) certificate(name source.Name, use secret.Use) error {
	switch pair := t.secrets.Pair(name, use); {
	case pair == nil:
		return fmt.Errorf("there is no Secret %s", name)
	case pair.Err != nil:
		return fmt.Errorf("the Secret %s holds no certificate with its key: %w", name, pair.Err)
	}
	return nil
}
