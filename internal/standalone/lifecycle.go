package standalone

import (
	"context"
	"fmt"
	"slices"
	"time"

	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
)

// The methods in this file must be called with Host.mu held, unless they say otherwise.

// startPods starts the planned pods that do not run yet, and updates those that do. A pod
// that gets no port is reported, and tried again with the next Set; other pods are not
// affected.
func (h *Host) startPods(plan *plan) {
	if h.closed {
		return
	}
	for _, planned := range plan.pods {
		if planned.broken {
			continue
		}
		if err := h.startPod(planned); err != nil {
			plan.reports = append(plan.reports, reason.New(reason.WorkloadIncomplete, planned.origin,
				fmt.Sprintf("pod %s does not serve: %v", planned.name, err)).WithFix("free ports at "+loopback+", or run fewer pods"))
		}
	}
}

func (h *Host) startPod(planned plannedPod) error {
	pod := h.pods[planned.podKey]
	if pod == nil {
		app, err := h.launch(planned)
		if err != nil {
			return err
		}
		pod = &livePod{application: app}
		h.pods[planned.podKey] = pod
	}
	pod.plan = planned
	if pod.leaving != nil { // it is wanted again
		pod.leaving.Stop()
		pod.leaving = nil
	}
	if echo, ok := pod.application.(*echoPod); ok {
		return echo.update(planned)
	}
	return nil
}

func (h *Host) launch(planned plannedPod) (application, error) {
	if planned.command == nil {
		return startEcho(), nil
	}
	ports, err := h.free.take(planned.numbers())
	if err != nil {
		return nil, err
	}
	return startCommand(commandConfig{
		pod: planned, ports: ports,
		env:    commandEnv(h.env, planned, ports),
		output: h.output, guard: h.guard, changed: h.notify,
	}), nil
}

// retirePods takes old pods that are no longer needed out of the endpoints. Pods that
// were never in the endpoints end at once.
func (h *Host) retirePods(desired []plannedPod) {
	wanted := map[podKey]bool{}
	var now, old []candidate
	for _, planned := range desired {
		wanted[planned.podKey] = true
		now = append(now, h.candidate(planned))
	}
	for key, pod := range h.pods {
		if !wanted[key] && pod.leaving == nil {
			old = append(old, h.candidate(pod.plan))
		}
	}
	stay := staying(now, old)
	for _, c := range old {
		switch pod := h.pods[c.podKey]; {
		case stay[c.podKey]:
		case c.ready:
			h.leave(pod)
		default:
			h.end(pod, pod.plan.termination)
		}
	}
}

func (h *Host) candidate(planned plannedPod) candidate {
	pod := h.pods[planned.podKey]
	return candidate{planned.podKey, planned.workload, pod != nil && pod.condition().ready}
}

// leave takes a pod out of the endpoints. It keeps serving until Applied says that
// requests no longer go to it.
func (h *Host) leave(pod *livePod) {
	var timer *time.Timer
	timer = time.AfterFunc(h.config.Grace, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		// Another timer, or none, means that the pod was wanted again meanwhile.
		if pod.leaving == timer && !h.closed {
			h.end(pod, pod.plan.termination)
		}
	})
	timer.Stop() // Applied starts it; the lock is held, so it has not fired yet
	pod.leaving = timer
	h.left = append(h.left, pod)
}

// Applied says that the last result of Reconcile is live. Pods that have left the
// endpoints by then end after the grace, when the last requests on their way have
// arrived. Until Applied is called they serve: if a Set cannot be applied, the one before
// it still needs them. The caller must not hold the lock.
func (h *Host) Applied() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, pod := range h.left {
		if pod.leaving != nil && !h.closed {
			pod.leaving.Reset(h.config.Grace)
		}
	}
	h.left = nil
}

// end removes a pod and stops it in the background, by force after limit.
func (h *Host) end(pod *livePod, limit time.Duration) {
	delete(h.pods, pod.plan.podKey)
	if pod.leaving != nil {
		pod.leaving.Stop()
	}
	h.stopping.Go(func() {
		ctx, cancel := context.WithTimeout(h.patience, limit)
		defer cancel()
		pod.stop(ctx)
		if pod.plan.command != nil {
			h.free.give(pod.loopbackPorts())
		}
	})
}

// reportConditions reports why planned pods are not ready.
func (h *Host) reportConditions(plan *plan) {
	for _, planned := range plan.pods {
		pod := h.pods[planned.podKey]
		if pod == nil || planned.command == nil {
			continue
		}
		if now := pod.condition(); now.message != "" {
			plan.report(now.code, planned.command.at, "pod %s: %s %s", planned.name, planned.command.words[0], now.message)
		}
	}
}

// running returns the pods to publish: the planned ones, and the old ones that stand in
// for planned ones that are not ready. An old pod hides a new one of the same name.
func (h *Host) running(desired []plannedPod) []runningPod {
	var out []runningPod
	hidden := map[source.Name]bool{}
	wanted := map[podKey]bool{}
	for _, planned := range desired {
		wanted[planned.podKey] = true
	}
	for key, pod := range h.pods {
		if !wanted[key] && pod.leaving == nil {
			hidden[key.name] = true
			out = append(out, h.runningPod(pod.plan))
		}
	}
	for _, planned := range desired {
		if !hidden[planned.name] {
			out = append(out, h.runningPod(planned))
		}
	}
	return out
}

func (h *Host) runningPod(planned plannedPod) runningPod {
	out := runningPod{origin: planned.origin, object: planned.object}
	if pod := h.pods[planned.podKey]; pod != nil {
		all := pod.loopbackPorts()
		out.ports, out.udp, out.ready = only(all, pod.plan.ports), only(all, pod.plan.udp), pod.condition().ready
	}
	return out
}

// addSecrets adds the TLS Secrets that set lacks to out.
func (h *Host) addSecrets(set, out *source.Set, plan *plan) {
	if h.issuer.authority == nil {
		return
	}
	secrets, reports := h.issuer.secrets(set, time.Now())
	out.Secrets = set.Secrets.With(secrets...)
	plan.reports = append(plan.reports, reports...)
}

// WithCertificates returns set with the TLS Secrets that Reconcile would add, and the
// Reports about them, and starts nothing. made maps the names of those Secrets to
// identities, which stay the same from call to call, unlike the certificates. The caller
// must not hold the lock.
func (h *Host) WithCertificates(set *source.Set) (out *source.Set, made map[string]string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	with := *set
	var added plan
	h.addSecrets(set, &with, &added)
	with.Reports = sortedReports(set.Reports, added.reports)
	return &with, h.issuer.identities()
}

func sortedReports(parts ...[]reason.Report) []reason.Report {
	return reason.Sorted(slices.Concat(parts...))
}
