package dir

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiyaml "k8s.io/apimachinery/pkg/util/yaml"

	"windrose.dev/windrose/internal/source"
)

// TestDecodeLikeKubernetes compares the decoder with the way of kubectl: YAML to
// JSON, and JSON into the type.
func TestDecodeLikeKubernetes(t *testing.T) {
	r := newReader(Config{}.withDefaults())
	texts := append(documentsOf(t, "testdata/kinds.txtar"), oddDocuments...)
	compared := 0
	for _, text := range texts {
		compared += compareDecoders(t, r, text)
	}
	if compared < 14 {
		t.Errorf("only %d objects were compared", compared)
	}
}

// oddDocuments are good and have what is read differently in YAML 1.1 and 1.2,
// or left out, or empty.
var oddDocuments = []string{`
apiVersion: v1
kind: ConfigMap
metadata: {name: odd, annotations: , labels: {}, generation: 0o17, finalizers: [], ownerReferences: null}
immutable: on
data:
  date: "2001-01-01"
  day: 2001-01-01
  !!str tagged: !!str 12
  bin: !!binary aGVsbG8=
  folded: >-
    a
    b
  0x10: sixteen
  010: eight
  1_000: thousand
  1.5: float
  y: bool
  'null': text
  "nothing":
binaryData: {empty: "", lines: "aGVs\nbG8="}
`, `
apiVersion: v1
kind: Pod
metadata:
  name: odd
  creationTimestamp: 2001-02-03T04:05:06Z
  deletionGracePeriodSeconds: 1e3
spec:
  priority: -0b11
  terminationGracePeriodSeconds: 0x1F
  containers:
  - name: a
    env: [{name: A, value: "1"}, ]
    resources: {limits: {cpu: 0.5, memory: 1e9, storage: "1Ki", pods: 10}, requests: }
    ports: [{containerPort: 80.0, hostPort: 0}]
    readinessProbe: {httpGet: {port: "8080", path: /}}
    livenessProbe: {tcpSocket: {port: 0x50}}
    startupProbe: null
  volumes: [{name: v, emptyDir: {sizeLimit: 1Gi}}, {name: w, configMap: {name: c, defaultMode: 0644}}]
`, `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: odd, managedFields: [{time: "2001-02-03T04:05:06Z", fieldsV1: {b: {}, a: [1, 1.5, y, ~, "<"]}}]}
addressType: IPv4
endpoints: [{addresses: [127.0.0.1], conditions: {ready: off}, hints: {forZones: [{name: a}]}}, ]
ports: [{port: 80}, {name: b, port: null}]
`, `
apiVersion: v1
kind: Endpoints
metadata: {name: odd}
subsets: [{addresses: [{ip: 10.0.0.1, targetRef: {kind: Pod, name: a}}], ports: [{port: 80}]}]
`, `
apiVersion: v1
kind: Secret
type: kubernetes.io/tls
metadata: {name: odd}
data: {tls.crt: aGVsbG8=, tls.key: }
stringData: {a: "b"}
`}

// compareDecoders returns the number of objects that it compared.
func compareDecoders(t *testing.T, r *reader, text string) int {
	root, broken := parse(text)
	if broken != nil {
		t.Fatalf("%v:\n%s", broken, text)
	}
	if root == nil {
		return 0
	}
	var head metav1.TypeMeta
	raw, err := apiyaml.ToJSON([]byte(text))
	must(t, err)
	must(t, json.Unmarshal(raw, &head))
	k := r.kinds[head.Kind]
	if k == nil {
		return 0 // a list
	}
	got, want := k.New(), k.New()
	d := &decoder{config: &r.config}
	d.value(root, r.types[k], reflect.ValueOf(got).Elem())
	if len(d.problems) > 0 {
		t.Fatalf("%+v:\n%s", d.problems, text)
	}
	strict := json.NewDecoder(bytes.NewReader(raw))
	strict.DisallowUnknownFields()
	must(t, strict.Decode(want))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-kubernetes +windrose:\n%s\nof:\n%s", diff, text)
	}
	return 1
}

// TestResolveLikeKubernetes compares how plain scalars are read.
func TestResolveLikeKubernetes(t *testing.T) {
	for _, plain := range []string{
		"", "~", "null", "Null", "NULL", "nUll", "y", "Y", "yes", "Yes", "YES", "yEs", "n", "no", "on", "On", "off", "OFF",
		"true", "True", "TRUE", "tRue", "false", "0", "-0", "+1", "1", "010", "0o10", "0x1f", "0X1F", "0b11", "-0b11", "1_000", "_1", "1_",
		"1.", ".5", "-.5", "+.5", "1e3", "1e", "1E+3", "1.5e-3", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
		"-9223372036854775809", "18446744073709551615", "18446744073709551616", "08", "0.1", "1e400", "12:30", "2001-01-01", "2001-01-01T00:00:00Z",
		"1.2.3", "+", ".", "..", "--", "0x", "0b2", "1e1000", "0x1p4", "1__0", "Infinity", "infinity", "nan", "NaN", "x", "f", "t", "o", "=",
	} {
		raw, err := apiyaml.ToJSON([]byte("v: " + plain + "\n"))
		if err != nil {
			t.Errorf("%q: %v", plain, err)
			continue
		}
		var want struct{ V any }
		must(t, json.Unmarshal(raw, &want))
		var root yaml.Node
		must(t, yaml.Unmarshal([]byte("v: "+plain+"\n"), &root))
		s, err := readScalar(root.Content[0].Content[1])
		must(t, err)
		mine, err := json.Marshal(map[string]any{"V": s.value()})
		must(t, err)
		var got struct{ V any }
		must(t, json.Unmarshal(mine, &got))
		if got != want {
			t.Errorf("%q: got %#v, Kubernetes has %#v", plain, got.V, want.V)
		}
	}
}

func TestNearest(t *testing.T) {
	fields := []string{"name", "namespace", "ingressClassName", "rules", "tls", "ports"}
	for word, want := range map[string]string{
		"nmae": "name", "Name": "name", "nameSpace": "namespace", "rule": "rules", "rulez": "rules", "ingressClass": "ingressClassName",
		"port": "ports", "x": "", "completely": "", "": "", "tsl": "tls",
	} {
		if got := source.Nearest(word, fields); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}

func TestSplit(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       []chunk
	}{
		{"empty", "", nil},
		{"blank", "\n \n", nil},
		{"one", "a: 1\n", []chunk{{"a: 1\n", 0}}},
		{"no end of line", "a\n---\nb", []chunk{{"a\n", 0}, {"---\nb", 1}}},
		{"comments and directives belong to what follows", "# c\n%YAML 1.1\n---\na\n", []chunk{{"# c\n%YAML 1.1\n---\na\n", 0}}},
		{"two separators", "a\n---\n---\nb\n", []chunk{{"a\n", 0}, {"---\n", 1}, {"---\nb\n", 2}}},
		{"carriage returns", "a\r\n---\r\nb\r\n", []chunk{{"a\r\n", 0}, {"---\r\nb\r\n", 1}}},
		{"text behind", "--- # x\na\n--- b\n---c\n", []chunk{{"--- # x\na\n", 0}, {"--- b\n---c\n", 2}}},
		{"in a block", "a: |\n  ---\n x\n", []chunk{{"a: |\n  ---\n x\n", 0}}},
		{"end marker", "a\n...\n# c\n---\nb\n", []chunk{{"a\n...\n", 0}, {"# c\n---\nb\n", 2}}},
		{"byte order mark", "\ufeffa\n", []chunk{{"a\n", 0}}},
		{"JSON", "{}\n\n {\"a\":\n1} []", []chunk{{"{}", 0}, {"{\"a\":\n1}", 2}, {"[]", 3}}},
		{"JSON escapes", `{"a": "\ud83d\ude00\/\\/\\ud83d\\ude00\ud83d"}`, []chunk{{`{"a": "\U0001F600/\\/\\ud83d\\ude00\ud83d"}`, 0}}},
		{"not quite JSON", "{a: 1}\n---\n{}", []chunk{{"{a: 1}\n", 0}, {"---\n{}", 1}}},
	} {
		if got := splitAny(test.text); !cmp.Equal(got, test.want, cmp.AllowUnexported(chunk{})) {
			t.Errorf("%s: got %+v, want %+v", test.name, got, test.want)
		}
	}
}

// TestReportsKeepSecrets: what stands in a text that may be a Secret is in no
// Report, whichever way the text is broken. hunter2 stands where values, tags,
// anchors and aliases do.
func TestReportsKeepSecrets(t *testing.T) {
	const head = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n"
	dir := t.TempDir()
	for i, text := range []string{
		head + "stringData: {p: *hunter2}\n",
		head + "stringData: {p: &hunter2 {a: *hunter2}}\n",
		head + "stringData: &hunter2\n  <<: *hunter2\n",
		head + "stringData: {p: !hunter2 x}\n",
		head + "stringData: {p: !hunter2!x y}\n",
		head + "stringData: {p: !<hunter2 y}\n",
		head + "stringData: {p: !!hunter2 y}\n",
		head + "stringData: {p: !!int hunter2}\n",
		head + "stringData: {p: !!binary hunter2}\n",
		head + "stringData: !hunter2 {p: y}\n",
		head + "stringData: hunter2\n",
		head + "stringData: [hunter2]\n",
		head + "data: {p: hunter2}\n",
		head + "data: {p: [hunter2]}\n",
		head + "type: [hunter2]\n",
		head + "immutable: hunter2\n",
		head + "stringData: {p: \"hunter2}\n",
		head + "stringData: {p: \"hunter2\\q\"}\n",
		head + "stringData:\n  p: hunter2: x\n",
		head + "stringData:\n  p: hunter2\n q: x\n",
		head + "stringData:\n  p: @hunter2\n",
		head + "stringData:\n  p: hunter2\n\tq: x\n",
		head + "stringData: {? [hunter2] : x}\n",
		"%TAG !h! hunter2:\n%hunter2 x\n---\n" + head,
		"apiVersion: v1\nkind: Secrets\nmetadata: {name: s}\nstringData: hunter2\n",
		"apiVersion: v1\nkind: SecretList\nitems: hunter2\n",
		"apiVersion: v1\nkind: SecretList\nitems: [hunter2]\n",
		"apiVersion: v1\nknd: Secret\nstringData: hunter2\n",
		"{\"apiVersion\": \"v1\", \"kind\": \"Secret\", \"stringData\": {\"p\": \"hunter2\" \"q\": 1}}\n",
		"hunter2\n", "- hunter2\n", "hunter2: [\n", "*hunter2\n", "!hunter2 x\n",
	} {
		path := filepath.Join(dir, fmt.Sprint(i, ".yaml"))
		writeFile(t, path, text)
		set := NewLoader(Config{Dirs: []string{path}}).Load()
		if len(set.Reports) == 0 {
			t.Errorf("no report of\n%s", text)
		}
		for _, r := range set.Reports {
			if strings.Contains(r.String(), "hunter2") {
				t.Errorf("%s", r)
			}
		}
	}
}
