package conformance

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"

	"windrose.dev/windrose/internal/proxy/sock"
	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/standalone"
)

// echoPort is a port that echo-basic listens on: the environment variable that sets it,
// its default, and its protocol.
type echoPort struct {
	env      string
	port     int32
	tls      bool
	protocol corev1.Protocol // "" means TCP
}

// echoPorts lists the ports by the environment variable that selects echo-basic's mode.
var echoPorts = map[string][]echoPort{
	"":                 {{env: "HTTP_PORT", port: 3000}, {env: "H2C_PORT", port: 3001}, {env: "HTTPS_PORT", port: 8443, tls: true}},
	"GRPC_ECHO_SERVER": {{env: "HTTP_PORT", port: 3000}, {env: "HTTPS_PORT", port: 8443, tls: true}},
	"TCP_ECHO_SERVER":  {{env: "TCP_PORT", port: 3000}, {env: "TLS_PORT", port: 8443, tls: true}},
	"UDP_ECHO_SERVER":  {{env: "UDP_PORT", port: 8080, protocol: corev1.ProtocolUDP}},
}

// workloads returns the Deployments of a Set in a form that standalone can run: those of
// echo-basic get a command, an environment of literal values, and a container port for
// each port that they listen on. A Deployment waits for the Secrets that it mounts, as on
// a cluster.
func (c *Cluster) workloads(set *source.Set) source.Index[appsv1.Deployment] {
	var out []*source.Object[appsv1.Deployment]
	for object := range set.Deployments.All() {
		copied := *object
		copied.Value = object.Value.DeepCopy()
		if c.prepare(set, copied.Value) {
			out = append(out, &copied)
		}
	}
	return source.NewIndex(out)
}

func (c *Cluster) prepare(set *source.Set, d *appsv1.Deployment) bool {
	spec := &d.Spec.Template.Spec
	container := &spec.Containers[0]
	container.Env = literals(container.Env, d.Namespace)
	if !strings.Contains(container.Image, "/echo-basic:") {
		return true // standalone runs its own echo application
	}
	if !c.mount(set, d.Namespace, spec) {
		return false
	}
	mode := ""
	for _, e := range container.Env {
		if strings.HasSuffix(e.Name, "_ECHO_SERVER") {
			mode = e.Name
		}
	}
	secure := slices.ContainsFunc(container.Env, func(e corev1.EnvVar) bool { return e.Name == "TLS_SERVER_CERT" })
	script := "UDP_PORT=0"
	for _, p := range echoPorts[mode] {
		if p.tls && !secure {
			continue
		}
		script += fmt.Sprintf(" %s=$PORT_%d", p.env, p.port)
		if !slices.ContainsFunc(container.Ports, func(has corev1.ContainerPort) bool { return has.ContainerPort == p.port }) {
			container.Ports = append(container.Ports, corev1.ContainerPort{ContainerPort: p.port, Protocol: p.protocol})
		}
	}
	annotate(d, standalone.CommandAnnotation, "sh -c 'export "+script+"; exec "+c.echo+"'")
	return true
}

func annotate(d *appsv1.Deployment, name, value string) {
	if d.Spec.Template.Annotations == nil {
		d.Spec.Template.Annotations = map[string]string{}
	}
	d.Spec.Template.Annotations[name] = value
}

// literals resolves the downward API, except the name of the pod, which standalone sets.
func literals(env []corev1.EnvVar, namespace string) []corev1.EnvVar {
	out := slices.DeleteFunc(env, func(e corev1.EnvVar) bool {
		return e.ValueFrom != nil && (e.ValueFrom.FieldRef == nil || e.ValueFrom.FieldRef.FieldPath != "metadata.namespace")
	})
	for i := range out {
		if out[i].ValueFrom != nil {
			out[i] = corev1.EnvVar{Name: out[i].Name, Value: namespace}
		}
	}
	return out
}

// mount writes the Secrets and ConfigMaps that a pod mounts into files, and points its
// environment to them. It reports whether all of them exist.
func (c *Cluster) mount(set *source.Set, namespace string, spec *corev1.PodSpec) bool {
	container := &spec.Containers[0]
	for _, m := range container.VolumeMounts {
		i := slices.IndexFunc(spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name })
		files, found := volumeFiles(set, namespace, spec.Volumes[i])
		if !found {
			return false
		}
		dir := c.writeFiles(files)
		for i := range container.Env {
			if rest, inside := strings.CutPrefix(container.Env[i].Value, m.MountPath); inside {
				container.Env[i].Value = dir + rest
			}
		}
	}
	return true
}

// volumeFiles returns the files of a volume, by path.
func volumeFiles(set *source.Set, namespace string, v corev1.Volume) (map[string][]byte, bool) {
	data := map[string][]byte{}
	var items []corev1.KeyToPath
	switch {
	case v.Secret != nil:
		secret := set.Secrets.Get(namespace, v.Secret.SecretName)
		if secret == nil {
			return nil, false
		}
		data, items = secret.Value.Data, v.Secret.Items
	case v.ConfigMap != nil:
		configMap := set.ConfigMaps.Get(namespace, v.ConfigMap.Name)
		if configMap == nil {
			return nil, false
		}
		items = v.ConfigMap.Items
		for name, text := range configMap.Value.Data {
			data[name] = []byte(text)
		}
	}
	if items == nil {
		return data, true
	}
	files := map[string][]byte{}
	for _, item := range items {
		files[item.Path] = data[item.Key]
	}
	return files, true
}

// writeFiles writes files into a directory that is named by their content.
func (c *Cluster) writeFiles(files map[string][]byte) string {
	sum := sha256.New()
	fmt.Fprint(sum, files)
	dir := filepath.Join(c.cfg.Dir, hex.EncodeToString(sum.Sum(nil)[:8]))
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	err := os.MkdirAll(dir, 0o700)
	for name, data := range files {
		err = cmp.Or(err, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	if err != nil {
		c.cfg.Failed(err)
	}
	return dir
}

// writePods replaces the Pods of the API with those of a Set. Each gets its own address.
func (c *Cluster) writePods(set *source.Set) {
	gone := map[key]bool{}
	c.store.each("", "Pod", func(k key, _ entry) { gone[k] = true })
	for pod := range set.Pods.All() {
		k := key{"", "Pod", pod.Origin.Namespace, pod.Origin.Name}
		delete(gone, k)
		value := pod.Value.DeepCopy()
		if value.Status.PodIP != "" {
			value.Status.PodIP = c.addresses.pod(pod.Name()).String()
			value.Status.PodIPs = []corev1.PodIP{{IP: value.Status.PodIP}}
		}
		if err := c.writePod(k, value); err != nil {
			c.cfg.Failed(err)
		}
	}
	for k := range gone {
		c.store.delete(k)
	}
}

func (c *Cluster) writePod(k key, pod *corev1.Pod) error {
	o, err := runtime.DefaultUnstructuredConverter.ToUnstructured(pod)
	if err != nil {
		return err
	}
	delete(metaOf(o), "creationTimestamp")
	if _, err := c.store.get(k); err != nil {
		if _, err := c.store.create(o); err != nil {
			return err
		}
	}
	_, err = c.store.updateStatus(o)
	return err
}

// connect updates network from the EndpointSlices that standalone makes for Services.
func (c *Cluster) connect(set *source.Set) {
	network := map[podPort]netip.AddrPort{}
	for slice := range set.EndpointSlices.All() {
		service := set.Services.Get(slice.Origin.Namespace, slice.Value.Labels["kubernetes.io/service-name"])
		for _, e := range slice.Value.Endpoints {
			if service == nil || e.TargetRef == nil || len(e.Addresses) == 0 || e.Addresses[0] != "127.0.0.1" {
				continue
			}
			pod := source.Name{Namespace: e.TargetRef.Namespace, Name: e.TargetRef.Name}
			for _, p := range slice.Value.Ports {
				if target := targetOf(service.Value, *p.Name); target != 0 {
					at := podPort{netip.AddrPortFrom(c.addresses.pod(pod), target), *p.Protocol == corev1.ProtocolUDP}
					network[at] = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(*p.Port))
				}
			}
		}
	}
	c.network.Store(&network)
}

// targetOf returns the container port behind a Service's port, if it is a number.
func targetOf(service *corev1.Service, name string) uint16 {
	for _, p := range service.Spec.Ports {
		if p.Name == name && p.TargetPort.Type == intstr.Int {
			return uint16(cmp.Or(p.TargetPort.IntVal, p.Port))
		}
	}
	return 0
}

// dial connects to an address of a pod.
func (c *Cluster) dial(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", c.where(addr, false).String())
}

// dialUDP is dial for datagrams.
func (c *Cluster) dialUDP(addr netip.AddrPort, get func() []byte, put func([]byte)) (*sock.Datagrams, error) {
	return sock.DialDatagrams(c.where(addr, true), get, put)
}

// where returns the address at which the program behind a pod's address listens.
func (c *Cluster) where(addr netip.AddrPort, udp bool) netip.AddrPort {
	if to, found := (*c.network.Load())[podPort{addr, udp}]; found {
		return to
	}
	return addr
}

// podPort is a port of a pod's address.
type podPort struct {
	netip.AddrPort
	udp bool
}
