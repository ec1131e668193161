package standalone

import (
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

func image(tmpl corev1.PodTemplateSpec, name string) corev1.PodTemplateSpec {
	tmpl.Spec.Containers[0].Image = name
	return tmpl
}

func TestEchoPodsServeAtOnce(t *testing.T) {
	h, _ := startHost(t, Config{})
	out := h.Reconcile(setOf(t, deploymentOf("web", 2, template("http:8080")), serviceOf("svc", "a:80:http", "b:81:3000")))
	ports := endpointPorts(out)
	if len(ports) != 4 || out.Pods.Len() != 2 {
		t.Fatalf("endpoints %v, pods %v", slicesOf(out), namesOf(out.Pods))
	}
	pods := map[string]int{}
	for _, port := range ports {
		answer := ask[Answer](t, port, "/x?y=1")
		if answer.Path != "/x?y=1" || answer.Namespace != "shop" || answer.Service != "svc" {
			t.Errorf("answer %+v", answer)
		}
		pods[answer.Pod]++
	}
	want := map[string]int{}
	for _, name := range namesOf(out.Pods) {
		want[name] = 2
	}
	if diff := cmp.Diff(want, pods); diff != "" {
		t.Error(diff)
	}
}

func TestUnchangedPodsKeepTheirPorts(t *testing.T) {
	h, _ := startHost(t, Config{})
	web, service := deploymentOf("web", 2, template("http:8080")), serviceOf("svc", "a:80:http")
	first := endpointPorts(h.Reconcile(setOf(t, web, service)))
	if second := endpointPorts(h.Reconcile(setOf(t, web, service))); !slices.Equal(first, second) {
		t.Errorf("ports %v, then %v", first, second)
	}
	wider := endpointPorts(h.Reconcile(setOf(t, deploymentOf("web", 3, template("http:8080")), serviceOf("svc", "a:80:http", "b:81:3000"))))
	if len(wider) != 6 || !slices.Contains(wider, first[0]) || !slices.Contains(wider, first[1]) {
		t.Errorf("ports %v, then %v", first, wider)
	}
	for _, port := range wider {
		ask[Answer](t, port, "/")
	}
}

// A Service that is added later appears in the responses of a running pod.
func TestEchoLearnsItsService(t *testing.T) {
	h, _ := startHost(t, Config{})
	pod := podOf("one", template("80"))
	port := endpointPorts(h.Reconcile(setOf(t, pod, serviceOf("b", "x:80:80"))))[0]
	h.Reconcile(setOf(t, pod, serviceOf("b", "x:80:80"), serviceOf("a", "x:80:80")))
	if got := ask[Answer](t, port, "/").Service; got != "a" {
		t.Errorf("service %q", got)
	}
}

func TestChangedPodServesOnAfterItLeft(t *testing.T) {
	h, end := startHost(t, Config{Grace: 5 * time.Second})
	service := serviceOf("svc", "a:80:http")
	old := endpointPorts(h.Reconcile(setOf(t, deploymentOf("web", 1, image(template("http:80"), "web:1")), service)))[0]
	replaced := endpointPorts(h.Reconcile(setOf(t, deploymentOf("web", 1, image(template("http:80"), "web:2")), service)))
	if len(replaced) != 1 || replaced[0] == old {
		t.Fatalf("ports %v after %d", replaced, old)
	}
	ask[Answer](t, old, "/")
	ask[Answer](t, replaced[0], "/")

	back := endpointPorts(h.Reconcile(setOf(t, deploymentOf("web", 1, image(template("http:80"), "web:1")), service)))
	if !slices.Equal(back, []int32{old}) {
		t.Errorf("ports %v: the pod that still serves at %d was not taken back", back, old)
	}
	end()
	if conn, err := net.Dial("tcp", address(old)); err == nil {
		conn.Close()
		t.Error("a pod outlives the run")
	}
}

func TestPodThatLeftEndsAfterGrace(t *testing.T) {
	h, _ := startHost(t, Config{Grace: time.Millisecond})
	pod, service := podOf("one", template("http:80")), serviceOf("svc", "a:80:http")
	conn := hold(t, endpointPorts(h.Reconcile(setOf(t, pod, service)))[0])
	if out := h.Reconcile(setOf(t, service)); out.EndpointSlices.Len() != 0 {
		t.Errorf("endpoints %v", slicesOf(out))
	}
	if len(h.left) != 1 || h.left[0].leaving.Stop() {
		t.Error("a pod ends before the Set without it is live")
	}
	h.Applied()
	awaitEnd(t, conn)
}

// A request that a pod has started to read gets its response, although the pod ends.
func TestRequestInFlightIsAnswered(t *testing.T) {
	h, _ := startHost(t, Config{Grace: time.Millisecond})
	pod, service := podOf("one", template("http:80")), serviceOf("svc", "a:80:http")
	port := endpointPorts(h.Reconcile(setOf(t, pod, service)))[0]
	idle := hold(t, port)
	conn, err := net.Dial("tcp", address(port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	// The interim response shows that the pod reads the request; the body is sent after
	// the pod was told to end.
	io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
	if _, err := io.ReadFull(conn, make([]byte, len("HTTP/1.1 100 Continue\r\n\r\n"))); err != nil {
		t.Fatal(err)
	}
	h.Reconcile(setOf(t, service))
	h.Applied()
	awaitEnd(t, idle)
	io.WriteString(conn, "ok")
	answer, err := io.ReadAll(conn)
	if err != nil || len(answer) < 12 || string(answer[:12]) != "HTTP/1.1 200" {
		t.Errorf("got %.80q, %v", answer, err)
	}
}

func TestNothingStartsAfterTheRun(t *testing.T) {
	h, end := startHost(t, Config{})
	end()
	out := h.Reconcile(setOf(t, podOf("one", template("http:80")), serviceOf("svc", "a:80:http")))
	if out.EndpointSlices.Len() != 0 {
		t.Errorf("endpoints %v", slicesOf(out))
	}
}
