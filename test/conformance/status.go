package conformance

import (
	"encoding/json"
	"reflect"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/translate/gateway"
	"windrose.dev/windrose/internal/translate/status"
)

// writeStatus writes the status that the translation computed into the objects of the
// API.
func (c *Cluster) writeStatus(s gateway.Status) {
	for name, status := range s.GatewayClasses {
		writeOne(c, "GatewayClass", name, func(old gatewayv1.GatewayClassStatus) gatewayv1.GatewayClassStatus {
			keepTimes(status.Conditions, old.Conditions)
			return status
		})
	}
	for name, status := range s.Gateways {
		writeOne(c, "Gateway", name, func(old gatewayv1.GatewayStatus) gatewayv1.GatewayStatus {
			keepTimes(status.Conditions, old.Conditions)
			for i := range status.Listeners {
				l := &status.Listeners[i]
				keepTimes(l.Conditions, find(old.Listeners, func(o gatewayv1.ListenerStatus) bool { return o.Name == l.Name }).Conditions)
			}
			return status
		})
	}
	for name, status := range s.ListenerSets {
		writeOne(c, "ListenerSet", name, func(old gatewayv1.ListenerSetStatus) gatewayv1.ListenerSetStatus {
			keepTimes(status.Conditions, old.Conditions)
			for i := range status.Listeners {
				l := &status.Listeners[i]
				keepTimes(l.Conditions, find(old.Listeners, func(o gatewayv1.ListenerEntryStatus) bool { return o.Name == l.Name }).Conditions)
			}
			return status
		})
	}
	writeRoutes(c, "HTTPRoute", c.set.HTTPRoutes, s.Parents)
	writeRoutes(c, "TLSRoute", c.set.TLSRoutes, s.Parents)
	writeRoutes(c, "TCPRoute", c.set.TCPRoutes, s.Parents)
	writeRoutes(c, "UDPRoute", c.set.UDPRoutes, s.Parents)
	writeRoutes(c, "GRPCRoute", c.set.GRPCRoutes, s.Parents)
	for object := range c.set.BackendTLSPolicies.All() {
		writeOne(c, "BackendTLSPolicy", object.Name(), func(old gatewayv1.PolicyStatus) gatewayv1.PolicyStatus {
			return ancestors(old.Ancestors, s.Ancestors[refOf("BackendTLSPolicy", object.Name())])
		})
	}
}

// writeRoutes writes the status of the routes of one kind.
func writeRoutes[T any](c *Cluster, kind string, routes source.Index[T], statuses map[status.Ref][]gatewayv1.RouteParentStatus) {
	for object := range routes.All() {
		writeOne(c, kind, object.Name(), func(old gatewayv1.RouteStatus) gatewayv1.RouteStatus {
			return parents(old.Parents, statuses[refOf(kind, object.Name())])
		})
	}
}

// refOf returns the Ref of an object of the Gateway API.
func refOf(kind string, name source.Name) status.Ref {
	return status.Ref{Group: gatewayGroup, Kind: kind, Namespace: name.Namespace, Name: name.Name}
}

// parents replaces our own entries of status.parents and keeps those of other
// controllers.
func parents(old, ours []gatewayv1.RouteParentStatus) gatewayv1.RouteStatus {
	isOurs := func(p gatewayv1.RouteParentStatus) bool { return p.ControllerName == gateway.Controller }
	for i := range ours {
		p := &ours[i]
		keepTimes(p.Conditions, find(old, func(o gatewayv1.RouteParentStatus) bool {
			return isOurs(o) && reflect.DeepEqual(o.ParentRef, p.ParentRef)
		}).Conditions)
	}
	all := append([]gatewayv1.RouteParentStatus{}, slices.DeleteFunc(slices.Clone(old), isOurs)...)
	return gatewayv1.RouteStatus{Parents: append(all, ours...)}
}

// ancestors replaces our own entries of status.ancestors and keeps those of other
// controllers.
func ancestors(old, ours []gatewayv1.PolicyAncestorStatus) gatewayv1.PolicyStatus {
	isOurs := func(a gatewayv1.PolicyAncestorStatus) bool { return a.ControllerName == gateway.Controller }
	for i := range ours {
		a := &ours[i]
		keepTimes(a.Conditions, find(old, func(o gatewayv1.PolicyAncestorStatus) bool {
			return isOurs(o) && reflect.DeepEqual(o.AncestorRef, a.AncestorRef)
		}).Conditions)
	}
	all := append([]gatewayv1.PolicyAncestorStatus{}, slices.DeleteFunc(slices.Clone(old), isOurs)...)
	return gatewayv1.PolicyStatus{Ancestors: append(all, ours...)}
}

// writeOne replaces the status of one object, if the object still exists.
func writeOne[S any](c *Cluster, kind string, name source.Name, next func(old S) S) {
	o, err := c.store.get(key{gatewayGroup, kind, name.Namespace, name.Name})
	if err != nil {
		return
	}
	var old S
	if status, has := o["status"].(object); has {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(status, &old); err != nil {
			c.cfg.Failed(err)
		}
	}
	var status object
	data, err := json.Marshal(next(old))
	if err == nil {
		err = utiljson.Unmarshal(data, &status)
	}
	if err == nil {
		_, err = c.store.updateStatus(object{
			"apiVersion": o["apiVersion"], "kind": kind, "status": status,
			"metadata": object{"namespace": name.Namespace, "name": name.Name},
		})
	}
	if err != nil && !apierrors.IsNotFound(err) {
		c.cfg.Failed(err)
	}
}

// keepTimes sets the times of conditions to those of their last change of status.
func keepTimes(conditions, old []metav1.Condition) {
	now := metav1.NewTime(time.Now().Truncate(time.Second))
	for i := range conditions {
		c := &conditions[i]
		c.LastTransitionTime = now
		if was := find(old, func(o metav1.Condition) bool { return o.Type == c.Type }); was.Status == c.Status && !was.LastTransitionTime.IsZero() {
			c.LastTransitionTime = was.LastTransitionTime
		}
	}
}

// find returns the first wanted item, or the zero value.
func find[T any](all []T, wanted func(T) bool) (none T) {
	for _, one := range all {
		if wanted(one) {
			return one
		}
	}
	return none
}
