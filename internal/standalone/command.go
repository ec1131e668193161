package standalone

import (
	"fmt"
	"strconv"
	"strings"

	"windrose.dev/windrose/internal/reason"
)

// command is the program of a pod: a value.
type command struct {
	words []string
	// dir is where it starts: the directory of the resource's file.
	dir string
	// env are the literal values of the resource, "NAME=value".
	env []string
	// at is where the annotation stands.
	at reason.Origin
}

// commandEnv is the whole environment of a pod's program, where of two values
// the last counts: ours, then the resource's, then what only we can know. So a
// manifest that says PORT=8080, as it must on a cluster, is overruled here.
func commandEnv(ours []string, pod plannedPod, ports map[int32]int32) []string {
	env := append([]string(nil), ours...)
	env = append(env, pod.command.env...)
	env = append(env,
		"POD_NAME="+pod.name.Name,
		"POD_NAMESPACE="+pod.name.Namespace,
		"SERVICE_NAME="+pod.service,
	)
	if first, found := firstPort(pod); found {
		env = append(env, portEnv("PORT", ports[first]))
	}
	for _, port := range pod.numbers() {
		env = append(env, portEnv(fmt.Sprintf("PORT_%d", port), ports[port]))
	}
	for _, port := range containerPorts(&pod.object.Spec) {
		if port.Name != "" {
			name := strings.ToUpper(strings.ReplaceAll(port.Name, "-", "_"))
			env = append(env, portEnv("PORT_"+name, ports[port.ContainerPort]))
		}
	}
	return env
}

// firstPort is the first one declared, or else the lowest that a Service aims
// at.
func firstPort(pod plannedPod) (int32, bool) {
	if declared := containerPorts(&pod.object.Spec); len(declared) > 0 {
		return declared[0].ContainerPort, true
	}
	if numbers := pod.numbers(); len(numbers) > 0 {
		return numbers[0], true
	}
	return 0, false
}

func portEnv(name string, port int32) string { return name + "=" + strconv.Itoa(int(port)) }
