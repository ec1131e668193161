package standalone

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
)

// CommandAnnotation on a pod template, or on a Pod, names the program that the pod runs
// instead of the echo application. Its value is split into words as a shell does, but no
// shell runs: for variables, pipes and the like write sh -c '…'. The program starts in
// the directory of the resource's file.
const CommandAnnotation = "windrose.dev/command"

// defaultTermination is the time to end that Kubernetes gives a pod by default.
const defaultTermination = 30 * time.Second

// podKey identifies a pod from one Reconcile to the next. A pod with another key is a
// different pod, even if it has the same name.
type podKey struct {
	name     source.Name
	revision string
}

// plannedPod is one pod that should run; it holds nothing live.
type plannedPod struct {
	podKey
	workload workloadKey
	origin   reason.Origin
	// object is the Pod without its status.
	object *corev1.Pod
	// ports are the TCP container ports to listen on, and udp the UDP ones, both sorted.
	ports, udp []int32
	// service is the first Service by name that selects the pod, or "".
	service string
	// command is nil for the echo application.
	command *command
	// broken means that the command is invalid, so the pod never starts.
	broken bool
	// termination is how long the pod may take to end.
	termination time.Duration
}

// plan holds the pods that should run, and Reports about them.
type plan struct {
	pods    []plannedPod
	reports []reason.Report
}

// makePlan returns the pods that a Set asks for, at most maxPods.
func makePlan(set *source.Set, maxPods int) plan {
	all := workloads(set)
	wants := make([]int, len(all))
	for i, w := range all {
		wants[i] = w.replicas
	}
	var out plan
	for i, n := range allot(wants, maxPods) {
		w := all[i]
		if n < w.replicas {
			out.report(reason.WorkloadIncomplete, w.at("spec.replicas"),
				"%d of %d replicas run: a run starts %d pods at most", n, w.replicas, maxPods)
		}
		out.addWorkload(set, w, n)
	}
	return out
}

// allot divides limit among wants so that none starves: each round gives one to every
// want that is not yet met.
func allot(wants []int, limit int) []int {
	got := make([]int, len(wants))
	for given := true; given; {
		given = false
		for i := range wants {
			if got[i] < wants[i] && limit > 0 {
				got[i]++
				limit--
				given = true
			}
		}
	}
	return got
}

func (p *plan) report(code reason.Code, at reason.Origin, format string, args ...any) {
	p.reports = append(p.reports, reason.New(code, at, fmt.Sprintf(format, args...)))
}

func (p *plan) addWorkload(set *source.Set, w workload, n int) {
	cmd, broken := p.commandOf(w)
	p.refuseProtocols(w)
	for _, object := range w.pods(n) {
		ports, udp, service := p.portsOf(set, w, object)
		pod := plannedPod{
			workload: w.workloadKey, origin: w.origin, object: object,
			ports: ports, udp: udp, service: service, command: cmd, broken: broken,
			termination: termination(object),
		}
		pod.podKey = podKey{source.Name{Namespace: object.Namespace, Name: object.Name}, revision(w, pod)}
		p.pods = append(p.pods, pod)
	}
}

// commandOf reads the annotation; a nil command means the echo application.
func (p *plan) commandOf(w workload) (cmd *command, broken bool) {
	line, found := w.template.Annotations[CommandAnnotation]
	if !found {
		return nil, false
	}
	at := w.at(w.prefix + "metadata.annotations[" + CommandAnnotation + "]")
	split, err := words(line)
	if err != nil {
		p.report(reason.AnnotationInvalid, at,
			"%s: %v, so the pods of %s do not start", CommandAnnotation, err, w.workloadKey)
		return nil, true
	}
	return &command{words: split, dir: filepath.Dir(w.origin.File), env: p.environment(w), at: at}, false
}

// environment returns the literal environment of the first container. Other containers
// are taken for sidecars, since a loopback pod has one program.
func (p *plan) environment(w workload) []string {
	if len(w.template.Spec.Containers) == 0 {
		return nil
	}
	container := &w.template.Spec.Containers[0]
	field := w.prefix + "spec.containers[0]."
	var env []string
	for i, e := range container.Env {
		if e.ValueFrom != nil {
			p.report(reason.NotHonoured, w.at(fmt.Sprintf("%senv[%d].valueFrom", field, i)),
				"%s is not set: a loopback pod gets literal values only", e.Name)
			continue
		}
		env = append(env, e.Name+"="+e.Value)
	}
	if len(container.EnvFrom) > 0 {
		p.report(reason.NotHonoured, w.at(field+"envFrom"), "a loopback pod gets literal values only")
	}
	return env
}

// refuseProtocols reports the ports whose protocol a loopback pod does not support.
func (p *plan) refuseProtocols(w workload) {
	for i, container := range w.template.Spec.Containers {
		for j, port := range container.Ports {
			if !isTCP(port.Protocol) && !isUDP(port.Protocol) {
				p.report(reason.NotHonoured, w.at(fmt.Sprintf("%sspec.containers[%d].ports[%d].protocol", w.prefix, i, j)),
					"a loopback pod does not open %s port %d", port.Protocol, port.ContainerPort)
			}
		}
	}
}

// portsOf lists the ports that a pod must listen on: its container ports, and the target
// ports of the Services that select it, whether declared or not.
func (p *plan) portsOf(set *source.Set, w workload, pod *corev1.Pod) (ports, udp []int32, first string) {
	add := func(protocol corev1.Protocol, port int32) {
		if isUDP(protocol) {
			udp = append(udp, port)
		} else {
			ports = append(ports, port)
		}
	}
	for _, port := range containerPorts(&pod.Spec) {
		add(port.Protocol, port.ContainerPort)
	}
	for service := range set.Services.All() {
		if !selects(service, pod) {
			continue
		}
		if first == "" {
			first = service.Name().Name
		}
		for i, port := range service.Value.Spec.Ports {
			target, found := targetPort(&pod.Spec, port)
			switch {
			case !isTCP(port.Protocol) && !isUDP(port.Protocol):
				p.report(reason.NotHonoured, service.At(fmt.Sprintf("spec.ports[%d].protocol", i)),
					"loopback pods do not open %s ports", port.Protocol)
			case !found:
				p.report(reason.WorkloadIncomplete, service.At(fmt.Sprintf("spec.ports[%d].targetPort", i)),
					"the pods of %s have no %s container port named %q", w.workloadKey, cmp.Or(port.Protocol, corev1.ProtocolTCP), port.TargetPort.StrVal)
			default:
				add(port.Protocol, target)
			}
		}
	}
	slices.Sort(ports)
	slices.Sort(udp)
	return slices.Compact(ports), slices.Compact(udp), first
}

// numbers returns the container ports of both protocols, without duplicates.
func (p *plannedPod) numbers() []int32 {
	all := slices.Concat(p.ports, p.udp)
	slices.Sort(all)
	return slices.Compact(all)
}

// revision changes when a pod must be replaced by another. The echo application can open
// a new port while it runs; a program learns its ports only when it starts.
func revision(w workload, pod plannedPod) string {
	content := []any{w.template.Annotations[CommandAnnotation], w.template.Spec}
	if w.prefix != "" {
		content = []any{w.template}
	}
	if pod.command != nil {
		content = append(content, pod.command.dir, pod.ports)
		if len(pod.udp) > 0 {
			content = append(content, pod.udp)
		}
	}
	return contentHash(content)
}

func termination(pod *corev1.Pod) time.Duration {
	if seconds := pod.Spec.TerminationGracePeriodSeconds; seconds != nil {
		return time.Duration(max(*seconds, 0)) * time.Second
	}
	return defaultTermination
}
