package standalone

import (
	"cmp"
	"slices"

	"windrose.dev/windrose/internal/source"
)

// candidate is a pod as the rolling update sees it.
type candidate struct {
	podKey
	workload workloadKey
	ready    bool
}

// staying decides which of the old pods, which are no longer desired, stay in the
// endpoints: for each workload, as many ready old pods as it has desired pods that are
// not ready yet. An old pod with the name of a desired pod stays exactly until the
// desired one is ready.
func staying(desired, old []candidate) map[podKey]bool {
	lacking := map[workloadKey]int{}
	twins := map[source.Name]bool{} // whether the desired pod of a name is ready
	for _, d := range desired {
		twins[d.name] = d.ready
		if !d.ready {
			lacking[d.workload]++
		}
	}
	stay := map[podKey]bool{}
	names := map[source.Name]bool{}
	for _, o := range inRollingOrder(old, twins) {
		twinReady, hasTwin := twins[o.name]
		if !o.ready || names[o.name] || hasTwin && twinReady || lacking[o.workload] == 0 {
			continue
		}
		lacking[o.workload]--
		stay[o.podKey], names[o.name] = true, true
	}
	return stay
}

// inRollingOrder puts the old pods first that have the name of a desired pod.
func inRollingOrder(old []candidate, twins map[source.Name]bool) []candidate {
	out := slices.Clone(old)
	rank := func(c candidate) int {
		if _, hasTwin := twins[c.name]; hasTwin {
			return 0
		}
		return 1
	}
	slices.SortFunc(out, func(a, b candidate) int {
		return cmp.Or(rank(a)-rank(b), a.name.Compare(b.name), cmp.Compare(a.revision, b.revision))
	})
	return out
}
