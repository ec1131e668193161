package conformance

import (
	"net/http/httptest"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// newAPI serves an empty Store. changes counts the changes of anything but a status.
func newAPI(t *testing.T) (c client.Client, changes *int) {
	registerTypes(t)
	changes = new(int)
	api := httptest.NewServer(&server{NewStore(func() { *changes++ }), newPodLogs()})
	t.Cleanup(api.Close)
	c, err := client.New(&rest.Config{Host: api.URL, ContentConfig: rest.ContentConfig{ContentType: "application/json"}}, clientOptions())
	if err != nil {
		t.Fatal(err)
	}
	return c, changes
}

func newGateway() *gatewayv1.Gateway {
	return &gatewayv1.Gateway{
		ObjectMeta: metav1.ObjectMeta{Namespace: "infra", Name: "edge"},
		Spec: gatewayv1.GatewaySpec{
			GatewayClassName: className,
			Listeners:        []gatewayv1.Listener{{Name: "http", Port: 80, Protocol: gatewayv1.HTTPProtocolType}},
		},
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestGenerationsGoByTheSpecAlone(t *testing.T) {
	c, changes := newAPI(t)
	g := newGateway()
	must(t, c.Create(t.Context(), g))
	if g.Generation != 1 || g.UID == "" || g.CreationTimestamp.IsZero() || len(g.Status.Conditions) != 2 {
		t.Errorf("created as %+v", g)
	}
	steps := []struct {
		name                string
		change              func() error
		generation, changes int
	}{
		{"a label", func() error {
			old := g.DeepCopy()
			g.Labels = map[string]string{"a": "b"}
			return c.Patch(t.Context(), g, client.MergeFrom(old))
		}, 1, 2},
		{"the status", func() error {
			g.Status.Conditions = nil
			return c.Status().Update(t.Context(), g)
		}, 1, 2},
		{"nothing", func() error { return c.Update(t.Context(), g) }, 1, 2},
		{"the spec, and a status that does not count", func() error {
			old := g.DeepCopy()
			g.Spec.Listeners[0].Port = 81
			g.Status.Addresses = []gatewayv1.GatewayStatusAddress{{Value: "192.0.2.1"}}
			return c.Patch(t.Context(), g, client.MergeFrom(old))
		}, 2, 3},
	}
	for _, s := range steps {
		must(t, s.change())
		if int(g.Generation) != s.generation || *changes != s.changes || len(g.Status.Addresses) > 0 {
			t.Errorf("%s: generation %d after %d changes, status %+v", s.name, g.Generation, *changes, g.Status)
		}
	}
}

func TestWritesAreRefused(t *testing.T) {
	c, _ := newAPI(t)
	g := newGateway()
	must(t, c.Create(t.Context(), g))
	stale := g.DeepCopy()
	g.Spec.Listeners[0].Port = 81
	must(t, c.Update(t.Context(), g))
	broken := newGateway()
	broken.Name, broken.Spec.Listeners[0].Port = "broken", 0
	for name, ok := range map[string]bool{
		"an old version":       apierrors.IsConflict(c.Update(t.Context(), stale)),
		"a name that is taken": apierrors.IsAlreadyExists(c.Create(t.Context(), newGateway())),
		"a port that is none":  apierrors.IsInvalid(c.Create(t.Context(), broken)),
		"what is not there":    apierrors.IsNotFound(c.Delete(t.Context(), broken)),
	} {
		if !ok {
			t.Errorf("%s is not refused as an API server would", name)
		}
	}
}

func TestListsGoByNamespaceAndLabel(t *testing.T) {
	c, _ := newAPI(t)
	for _, name := range []client.ObjectKey{{Namespace: "a", Name: "one"}, {Namespace: "a", Name: "two"}, {Namespace: "b", Name: "one"}} {
		must(t, c.Create(t.Context(), &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name, Labels: map[string]string{"app": name.Name}},
			Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}},
		}))
	}
	var list corev1.ServiceList
	must(t, c.List(t.Context(), &list, client.InNamespace("a"), client.MatchingLabels{"app": "one"}))
	if len(list.Items) != 1 || list.Items[0].Namespace != "a" || list.Items[0].Spec.Ports[0].Protocol != corev1.ProtocolTCP {
		t.Errorf("got %+v", list.Items)
	}
	must(t, c.List(t.Context(), &list))
	if len(list.Items) != 3 {
		t.Errorf("got %d of 3", len(list.Items))
	}
}
