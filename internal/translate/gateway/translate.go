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

// Options are what the user of the translation chooses.
type Options struct {
	// Class narrows to the Gateways of one class; empty serves every class that
	// is ours.
	Class string
	// EveryClass serves classes of other controllers too, where there is no
	// other controller.
	EveryClass bool
	// Compress is how answers are compressed where an HTTPRoute does not say; no
	// encodings are not at all.
	Compress model.Compress
	// ExternalNames serves Services of type ExternalName, too, which the API leaves
	// to implementations and advises against: whoever may write a route could reach
	// what its namespace must not.
	ExternalNames bool
	// Addresses tells where a Gateway is reached: the addresses to announce for
	// those that it asks for, which may be none. With nil all Gateways share the
	// ports of one proxy.
	Addresses func(gateway source.Name, asked []gatewayv1.GatewaySpecAddress) ([]gatewayv1.GatewayStatusAddress, Problem)
}

// Problem is why the addresses that a Gateway asks for are not to be had.
type Problem struct {
	// Reason is UnsupportedAddress or AddressNotUsable; empty is no problem.
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
		relayAt: map[relayPlace]int{}, placed: map[string]int{}, blocks: map[blockKey]*block{},
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
	t.relays()
	t.openListeners()
	t.identities()
	t.finishBlocks()
	t.gatewayStatus()
	t.policyStatus()
	return t.out
}

// translation is the state of one Translate.
type translation struct {
	set     *source.Set
	secrets *secret.Reader
	opts    Options
	grants  grants
	// served are the names of the GatewayClasses that are served.
	served   map[string]bool
	gateways map[source.Name]*gateway
	sets     map[source.Name]*listenerSet
	// atHost are the listeners of each port by their hostname, in the order of
	// precedence.
	atHost map[hostPlace][]*listener
	// https are the first listeners of HTTPS of each port.
	https map[model.ListenerID]*listener
	// claims are the listeners that have a port, or a host of it.
	claims map[claim]*listener
	// order is that of precedence: the oldest Gateway first.
	order    []*gateway
	policies tlsPolicies
	placed   map[string]int     // rules by namespace
	relayAt  map[relayPlace]int // where each stands in out.L4
	// clientAuth is what each port asks of its clients.
	clientAuth map[model.ListenerID]*model.ClientAuth
	blocks     map[blockKey]*block
	out        fragment.Fragment
}

func (t *translation) report(code reason.Code, at reason.Origin, format string, args ...any) {
	t.out.Reports = append(t.out.Reports, reason.New(code, at, fmt.Sprintf(format, args...)))
}

// byAge lists the objects of a kind oldest first, then by name: the order in
// which the Gateway API resolves conflicts.
func byAge[T any](index source.Index[T]) []*source.Object[T] {
	all := slices.Collect(index.All())
	slices.SortStableFunc(all, func(a, b *source.Object[T]) int {
		x, y := any(a.Value).(metav1.Object), any(b.Value).(metav1.Object)
		return cmp.Or(x.GetCreationTimestamp().Compare(y.GetCreationTimestamp().Time), a.Name().Compare(b.Name()))
	})
	return all
}

// certificate tells what is wrong with the certificate in a secret.
func (t *translation) certificate(name source.Name, use secret.Use) error {
	switch pair := t.secrets.Pair(name, use); {
	case pair == nil:
		return fmt.Errorf("there is no Secret %s", name)
	case pair.Err != nil:
		return fmt.Errorf("the Secret %s holds no certificate with its key: %w", name, pair.Err)
	}
	return nil
}
