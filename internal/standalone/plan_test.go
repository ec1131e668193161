package standalone

import (
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
)

func TestPlanPodNames(t *testing.T) {
	tests := []struct {
		name string
		set  *source.Set
		want string // a pattern for each name
		n    int
	}{
		{"a deployment", setOf(t, deploymentOf("web", 3, template())), `^web-[bcdfghjklmnpqrstvwxz2456789]{1,10}-[bcdfghjklmnpqrstvwxz2456789]{5}$`, 3},
		{"a stateful set", setOf(t, statefulSetOf("db", 2, template())), `^db-[01]$`, 2},
		{"a pod", setOf(t, podOf("one", template())), `^one$`, 1},
		{"no replicas", setOf(t, deploymentOf("web", 0, template())), ``, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			plan := makePlan(tt.set, 10)
			if len(plan.pods) != tt.n || len(plan.reports) != 0 {
				t.Fatalf("%d pods, reports %v, want %d pods", len(plan.pods), plan.reports, tt.n)
			}
			for _, pod := range plan.pods {
				if !regexp.MustCompile(tt.want).MatchString(pod.name.Name) {
					t.Errorf("name %s does not match %s", pod.name.Name, tt.want)
				}
			}
		})
	}
}

func TestPlanReplicasDefaultToOne(t *testing.T) {
	web := deploymentOf("web", 0, template())
	web.Spec.Replicas = nil
	if got := len(makePlan(setOf(t, web), 10).pods); got != 1 {
		t.Errorf("%d pods", got)
	}
}

func TestPlanIsStable(t *testing.T) {
	names := func(replicas int32, image string) []string {
		tmpl := template("80")
		tmpl.Spec.Containers[0].Image = image
		var out []string
		for _, pod := range makePlan(setOf(t, deploymentOf("web", replicas, tmpl)), 10).pods {
			out = append(out, pod.name.Name)
		}
		return out
	}
	two, three := names(2, "web:1"), names(3, "web:1")
	if !slices.Equal(two, three[:2]) {
		t.Errorf("scaling renames pods: %v, then %v", two, three)
	}
	if other := names(2, "web:2"); slices.Contains(two, other[0]) {
		t.Errorf("another template has the same pod: %v", other)
	}
}

func TestPlanDeploymentPod(t *testing.T) {
	pod := makePlan(setOf(t, deploymentOf("web", 1, template("80"))), 10).pods[0].object
	hash := pod.Labels["pod-template-hash"]
	if pod.Labels["app"] != "web" || hash == "" {
		t.Errorf("labels %v", pod.Labels)
	}
	if owner := metav1.GetControllerOf(pod); owner == nil || owner.Kind != "ReplicaSet" || owner.Name != "web-"+hash {
		t.Errorf("owner %v", owner)
	}
	if pod.Spec.ServiceAccountName != "default" {
		t.Errorf("service account %q", pod.Spec.ServiceAccountName)
	}
}

func TestPlanStatefulSetPod(t *testing.T) {
	plan := makePlan(setOf(t, statefulSetOf("db", 2, template("80"))), 10)
	pod := plan.pods[1].object
	if pod.Labels["statefulset.kubernetes.io/pod-name"] != "db-1" || pod.Labels["apps.kubernetes.io/pod-index"] != "1" {
		t.Errorf("labels %v", pod.Labels)
	}
	if pod.Spec.Hostname != "db-1" || pod.Spec.Subdomain != "db" {
		t.Errorf("hostname %q, subdomain %q", pod.Spec.Hostname, pod.Spec.Subdomain)
	}
}

func TestPlanPorts(t *testing.T) {
	tests := []struct {
		name     string
		template corev1.PodTemplateSpec
		services []string
		ports    []int32
		reports  []string
		udp      []int32
	}{
		{"declared", template("http:8080", "9090"), nil, []int32{8080, 9090}, nil, nil},
		{"undeclared target", template(), []string{"http:80:3000"}, []int32{3000}, nil, nil},
		{"named target", template("web:8080"), []string{"http:80:web"}, []int32{8080}, nil, nil},
		{"no target is the port", template(), []string{"http:80:0"}, []int32{80}, nil, nil},
		{"no target at all", template(), []string{"http:80:"}, []int32{80}, nil, nil},
		{"unknown name", template("web:8080"), []string{"http:80:wbe"}, []int32{8080}, []string{"WorkloadIncomplete spec.ports[0].targetPort"}, nil},
		{"UDP container port", template("53/UDP", "53", "54/UDP"), nil, []int32{53}, nil, []int32{53, 54}},
		{"UDP service port", template(), []string{"dns:53:53/UDP", "tcp:54:54"}, []int32{54}, nil, []int32{53}},
		{"named UDP target", template("dns:5353/UDP", "dns:5354"), []string{"dns:53:dns/UDP"}, []int32{5354}, nil, []int32{5353}},
		{"SCTP", template("53/SCTP"), []string{"s:1:1/SCTP"}, nil, []string{"NotHonoured spec.template.spec.containers[0].ports[0].protocol", "NotHonoured spec.ports[0].protocol"}, nil},
		{"each once", template("8080"), []string{"a:80:8080", "b:81:8080"}, []int32{8080}, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			plan := makePlan(setOf(t, deploymentOf("web", 2, tt.template), serviceOf("svc", tt.services...)), 10)
			if diff := cmp.Diff([][]int32{tt.ports, tt.udp}, [][]int32{plan.pods[0].ports, plan.pods[0].udp}); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tt.reports, codesOf(plan.reports)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPlanService(t *testing.T) {
	other := serviceOf("a-other", "http:80:80")
	other.Spec.Selector = map[string]string{"app": "web", "tier": "db"}
	external := serviceOf("b-external", "http:80:80")
	external.Spec.Type = corev1.ServiceTypeExternalName
	none := serviceOf("c-none", "http:80:80")
	none.Spec.Selector = nil
	set := setOf(t, podOf("one", template()), other, external, none, serviceOf("z", "http:80:80"), serviceOf("d", "http:81:81"))
	pod := makePlan(set, 10).pods[0]
	if pod.service != "d" || !slices.Equal(pod.ports, []int32{80, 81}) {
		t.Errorf("service %q, ports %v", pod.service, pod.ports)
	}
}

func TestPlanMaxPods(t *testing.T) {
	plan := makePlan(setOf(t, deploymentOf("a", 9, template()), deploymentOf("b", 1, template())), 4)
	count := map[string]int{}
	for _, pod := range plan.pods {
		count[pod.workload.name.Name]++
	}
	if diff := cmp.Diff(map[string]int{"a": 3, "b": 1}, count); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"WorkloadIncomplete spec.replicas"}, codesOf(plan.reports)); diff != "" {
		t.Error(diff)
	}
}

func TestAllot(t *testing.T) {
	tests := []struct {
		wants []int
		limit int
		want  []int
	}{
		{[]int{1, 2, 3}, 10, []int{1, 2, 3}},
		{[]int{1000, 1, 1}, 10, []int{8, 1, 1}},
		{[]int{5, 5}, 5, []int{3, 2}},
		{[]int{1, 1, 1}, 2, []int{1, 1, 0}},
		{[]int{0}, 2, []int{0}},
		{nil, 2, []int{}},
	}
	for _, tt := range tests {
		if got := allot(tt.wants, tt.limit); !slices.Equal(got, tt.want) {
			t.Errorf("allot(%v, %d) = %v, want %v", tt.wants, tt.limit, got, tt.want)
		}
	}
}

func TestPlanCommand(t *testing.T) {
	from := withCommand(template("80"), "serve")
	from.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "A", Value: "1"}, {Name: "B", ValueFrom: &corev1.EnvVarSource{}}}
	from.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{}}
	tests := []struct {
		name     string
		template corev1.PodTemplateSpec
		words    []string
		env      []string
		reports  []string
	}{
		{"echo", template("80"), nil, nil, nil},
		{"a program", withCommand(template("80"), `sh -c 'exec serve $PORT'`, "A=1"), []string{"sh", "-c", "exec serve $PORT"}, []string{"A=1"}, nil},
		{
			"an open quote", withCommand(template("80"), `sh -c 'exec`), nil, nil,
			[]string{"AnnotationInvalid spec.template.metadata.annotations[windrose.dev/command]"},
		},
		{
			"values from elsewhere", from,
			[]string{"serve"},
			[]string{"A=1"},
			[]string{"NotHonoured spec.template.spec.containers[0].envFrom", "NotHonoured spec.template.spec.containers[0].env[1].valueFrom"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			plan := makePlan(setOf(t, deploymentOf("web", 1, tt.template)), 10)
			if diff := cmp.Diff(tt.reports, codesOf(plan.reports)); diff != "" {
				t.Error(diff)
			}
			pod := plan.pods[0]
			if pod.command == nil {
				if tt.words != nil || pod.broken != (tt.reports != nil) {
					t.Errorf("no command, broken %t", pod.broken)
				}
				return
			}
			if diff := cmp.Diff(tt.words, pod.command.words); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tt.env, pod.command.env); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A program learns its ports when it starts; the echo application opens new ones while it
// runs.
func TestRevisionChangesWithPortsOfAProgramOnly(t *testing.T) {
	revisions := func(tmpl corev1.PodTemplateSpec, services ...metav1.Object) string {
		return makePlan(setOf(t, append(services, podOf("one", tmpl))...), 10).pods[0].revision
	}
	service := serviceOf("svc", "http:80:3000")
	if revisions(template("80")) != revisions(template("80"), service) {
		t.Error("a Service replaces an echo pod")
	}
	program := withCommand(template("80"), "serve")
	if revisions(program) == revisions(program, service) {
		t.Error("a program is not told of its new port")
	}
	if revisions(program) == revisions(withCommand(template("80"), "serve -v")) {
		t.Error("another command is the same pod")
	}
}

// An export of a cluster also holds the Pods of its workloads.
func TestPlanSkipsPodsOfWorkloads(t *testing.T) {
	owned := func(kind, owner, name string) *corev1.Pod {
		pod := podOf(name, template())
		pod.OwnerReferences = controller(kind, owner)
		return pod
	}
	set := setOf(t, deploymentOf("web", 1, template()), statefulSetOf("db", 1, template()),
		owned("ReplicaSet", "web-5d8", "web-5d8-x"), owned("StatefulSet", "db", "db-0"), owned("ReplicaSet", "gone-5d8", "gone-5d8-x"))
	var kinds []string
	for _, pod := range makePlan(set, 10).pods {
		kinds = append(kinds, pod.workload.String())
	}
	if diff := cmp.Diff([]string{"Deployment shop/web", "StatefulSet shop/db", "Pod shop/gone-5d8-x"}, kinds); diff != "" {
		t.Error(diff)
	}
}

func TestPlanPassesOverTombstones(t *testing.T) {
	dead := objectOf("Pod", podOf("one", template()), &corev1.Pod{})
	dead.State = source.Tombstone
	set := &source.Set{Pods: source.NewIndex([]*source.Object[corev1.Pod]{dead})}
	if plan := makePlan(set, 10); len(plan.pods) != 0 {
		t.Errorf("%d pods run", len(plan.pods))
	}
}

func TestCommandEnv(t *testing.T) {
	tmpl := withCommand(template("http-main:8080", "9090"), "serve", "PORT=8080", "COLOUR=red")
	pod := makePlan(setOf(t, podOf("one", tmpl), serviceOf("svc", "x:80:3000")), 10).pods[0]
	got := commandEnv([]string{"PATH=/bin", "PORT=1"}, pod, map[int32]int32{8080: 21, 9090: 22, 3000: 23})
	want := []string{
		"PATH=/bin", "PORT=1", "PORT=8080", "COLOUR=red",
		"POD_NAME=one", "POD_NAMESPACE=shop", "SERVICE_NAME=svc",
		"PORT=21", "PORT_3000=23", "PORT_8080=21", "PORT_9090=22", "PORT_HTTP_MAIN=21",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestReportsPointToTheObject(t *testing.T) {
	plan := makePlan(setOf(t, deploymentOf("web", 1, template("53/SCTP"))), 10)
	want := reason.Origin{
		Kind: "Deployment", Namespace: "shop", Name: "web", File: "shop.yaml", Line: 1,
		Field: "spec.template.spec.containers[0].ports[0].protocol",
	}
	if diff := cmp.Diff(want, plan.reports[0].Origin); diff != "" {
		t.Error(diff)
	}
}
