package dir

import (
	"path/filepath"
	"slices"
	"testing"

	"windrose.dev/windrose/internal/source"
)

// TestTracesInText: which hosts and annotations a text lets on that does not
// parse. A host that cannot be read makes it torn.
func TestTracesInText(t *testing.T) {
	for _, test := range []struct {
		name, text string
		hosts      []string
		torn       bool
	}{
		{"block style", "rules:\n- host: a.example.com\n- host: \"*.b.example.com\" # note\n", []string{"a.example.com", "*.b.example.com"}, false},
		{"flow style", "rules: [{host: a.example.com}, {'host': B.example.com, http: {", []string{"a.example.com", "b.example.com"}, false},
		{"JSON", "{\"rules\": [{\"host\":\"a.example.com\"}], \"tls\": [{\"hosts\": [\"b.example.com\",\n \"c.example.com\"\n ], \"x\": 1", []string{"a.example.com", "b.example.com", "c.example.com"}, false},
		{"a block of hosts", "tls:\n- hosts:\n  - a.example.com\n  - b.example.com\n  secretName: c.example.com\n", []string{"a.example.com", "b.example.com"}, false},
		{"a line of hosts", "- hosts: [a.example.com, b.example.com]\n  x: c.example.com\n", []string{"a.example.com", "b.example.com"}, false},
		{"slips of the pen", "-host: a.example.com\n- host b.example.com\n host = c.example.com\n", []string{"a.example.com", "b.example.com", "c.example.com"}, false},
		{"any host", "- host: \"\"\n", []string{""}, false},
		{"a template", "- host: {{ .Values.host }}\n", nil, true},
		{"an alias", "- host: *h\n", nil, true},
		{"cut", "- host: a.example.com\n- host:", []string{"a.example.com"}, true},
		{"comments", "# host: a.example.com\n  # - host: b.example.com\n", nil, false},
		{"other words", "x-vhost: a.example.com\nnginx.ingress.kubernetes.io/mirror-host: b.example.com\nif ($host = c.example.com)\n", nil, false},
		{"no text", "", nil, false},
	} {
		got := tracesIn(test.text)
		if !slices.Equal(got.hosts, test.hosts) || got.torn != test.torn {
			t.Errorf("%s: got %q torn=%t, want %q torn=%t", test.name, got.hosts, got.torn, test.hosts, test.torn)
		}
	}
}

func TestMarksInText(t *testing.T) {
	const name = "nginx.ingress.kubernetes.io/auth-url"
	for text, want := range map[string]string{
		"  " + name + ": https://x # note\n": "https://x",
		"{" + name + ": x, a: b":             "x",
		"\"" + name + "\": \"x\"":            "x",
		name + ": ''":                        "",
		name + ":":                           unreadable,
		name + " x":                          unreadable,
		name + ": |\n  x":                    "|",
	} {
		marks := tracesIn(text).marks
		if len(marks) == 0 || marks[0] != (mark{name, want, 1}) {
			t.Errorf("%q: got %+v, want %q", text, marks, want)
		}
	}
}

// TestKindsNearby: a slip or two of the pen, and no kind of somebody else.
func TestKindsNearby(t *testing.T) {
	r := newReader(Config{}.withDefaults())
	for word, want := range map[string]string{
		"Ingress": "Ingress", "ingress": "Ingress", "Ingres": "Ingress", "Ingrses": "Ingress", "Igress": "Ingress", "Inress": "Ingress",
		"Secrets": "Secret", "Endpoint": "Endpoints", "Pods": "Pod", "ingressClass": "IngressClass", "Confgmap": "ConfigMap",
		"Job": "", "CronJob": "", "Node": "", "Role": "", "Event": "", "DaemonSet": "", "ReplicaSet": "", "StorageClass": "", "GatewayClass": "GatewayClass",
		"TCPIngress": "", "IngressRoute": "", "ServiceEntry": "", "ServiceAccount": "", "Certificate": "", "HTTPRoute": "HTTPRoute", "HTTPRout": "HTTPRoute", "": "",
	} {
		if got := nameOf(r.kindNamed(word)); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}

// TestTombstonesKnowWhatTheyMiss: a tombstone is incomplete if a part of the
// spec, or a host, is not in it.
func TestTombstonesKnowWhatTheyMiss(t *testing.T) {
	const head = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: a\n  annotations: {nginx.ingress.kubernetes.io/auth-url: x}\n"
	for _, test := range []struct {
		name, text string
		hosts      []string
		incomplete bool
	}{
		{"a wrong label", head + "  labels: {a: [b]}\nspec: {rules: [{host: a.example.com}]}\n", []string{"a.example.com"}, false},
		{"a misspelled field of the spec", head + "spec: {rulez: [{host: a.example.com}]}\n", nil, true},
		{"a misspelled spec", head + "specs: {rules: [{host: a.example.com}]}\n", nil, true},
		{"broken in the middle", head + "  labels: {a: b\nspec: {rules: [{host: a.example.com}]}\n#\n", []string{"a.example.com"}, false},
		{"cut", head + "spec:\n  rules:\n  - host: a.example.com\n  - host: \"b", []string{"a.example.com", "b"}, true},
		{"cut before the hosts", head + "spec: {", []string{""}, true},
		{"a template", head + "spec:\n  rules:\n  - host: {{ .host }}\n  - host: a.example.com\n", []string{"", "a.example.com"}, true},
		{"an object without a kind", "metadata: {annotations: {nginx.ingress.kubernetes.io/auth-url: x}}\nspec: {tls: [{hosts: [b.example.com]}], rules: [{host: a.example.com}]}\n", []string{"b.example.com", "a.example.com"}, false},
	} {
		path := filepath.Join(t.TempDir(), "a.yaml")
		writeFile(t, path, test.text)
		set := NewLoader(Config{Dirs: []string{path}, Guards: guardsInTests}).Load()
		if set.Ingresses.Len() != 1 {
			t.Errorf("%s: %d objects; %v", test.name, set.Ingresses.Len(), set.Reports)
			continue
		}
		for o := range set.Ingresses.All() {
			var hosts []string
			for _, r := range o.Value.Spec.Rules {
				hosts = append(hosts, r.Host)
			}
			if o.State != source.Tombstone || !slices.Equal(hosts, test.hosts) || o.Incomplete != test.incomplete {
				t.Errorf("%s: state %d, hosts %q, incomplete %t", test.name, o.State, hosts, o.Incomplete)
			}
		}
	}
}
