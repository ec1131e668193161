package conformance

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"windrose.dev/windrose/internal/translate/gateway"
)

func TestConditionsKeepTheTimeOfTheirLastChange(t *testing.T) {
	long := metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	old := []metav1.Condition{
		{Type: "Accepted", Status: metav1.ConditionTrue, Reason: "Pending", LastTransitionTime: long},
		{Type: "Programmed", Status: metav1.ConditionFalse, LastTransitionTime: long},
	}
	now := []metav1.Condition{
		{Type: "Accepted", Status: metav1.ConditionTrue, Reason: "Accepted"},
		{Type: "Programmed", Status: metav1.ConditionTrue},
		{Type: "New", Status: metav1.ConditionTrue},
	}
	keepTimes(now, old)
	for i, kept := range []bool{true, false, false} {
		if now[i].LastTransitionTime.Equal(&long) != kept || now[i].LastTransitionTime.IsZero() {
			t.Errorf("%s changed at %s", now[i].Type, now[i].LastTransitionTime)
		}
	}
}

func TestParentsOfOtherControllersStay(t *testing.T) {
	parent := func(controller gatewayv1.GatewayController, name gatewayv1.ObjectName) gatewayv1.RouteParentStatus {
		return gatewayv1.RouteParentStatus{ControllerName: controller, ParentRef: gatewayv1.ParentReference{Name: name}}
	}
	old := []gatewayv1.RouteParentStatus{parent(gateway.Controller, "gone"), parent("example.com/other", "theirs")}
	got := parents(old, []gatewayv1.RouteParentStatus{parent(gateway.Controller, "ours")}).Parents
	if len(got) != 2 || got[0].ParentRef.Name != "theirs" || got[1].ParentRef.Name != "ours" {
		t.Errorf("got %+v", got)
	}
	if none := parents(old[:1], nil).Parents; none == nil || len(none) != 0 {
		t.Errorf("no parents are %v, and the API wants a list", none)
	}
}
