package standalone

import (
	"fmt"
	"strconv"
	"strings"

	"windrose.dev/windrose/internal/reason"
)

// command describes the program of a pod.
type command struct {
	words []string
	// dir is the working directory: the directory of the resource's file.
	dir string
	// env holds the literal environment variables of the resource, as "NAME=value".
	env []string
	// at is where the annotation was written.
	at reason.Origin
}

// commandEnv returns the whole environment of a pod's program. Later values override
// earlier ones: first our own environment, then the resource's, then the pod's names and
// ports. So PORT=8080 in a manifest, which a cluster needs, is overridden here.
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

// firstPort returns the first declared container port, or else the lowest port to which a
// Service leads.
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
