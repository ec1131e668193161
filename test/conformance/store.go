package conformance

import (
	"cmp"
	"encoding/base64"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"windrose.dev/windrose/internal/source/crd"
)

// object is a resource in the form of JSON.
type object = map[string]any

// key names an object.
type key struct {
	group, kind, namespace, name string
}

func (k key) compare(other key) int {
	return cmp.Or(cmp.Compare(k.group, other.group), cmp.Compare(k.kind, other.kind),
		cmp.Compare(k.namespace, other.namespace), cmp.Compare(k.name, other.name))
}

// entry is a stored object. It is replaced, never changed.
type entry struct {
	object object
	// content changes with everything but the status.
	content int64
}

// Store keeps objects as an API server does: it admits and defaults those of the Gateway
// API by their schemas, counts generations and resource versions, and keeps the status
// apart from the rest. Its methods may be called concurrently.
type Store struct {
	// changed is called after each change of anything but a status.
	changed func()

	mu      sync.Mutex
	version int64
	objects map[key]entry
}

// NewStore makes an empty Store. changed must not block.
func NewStore(changed func()) *Store {
	return &Store{changed: changed, objects: map[key]entry{}}
}

// revision returns the resource version of a list.
func (s *Store) revision() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strconv.FormatInt(s.version, 10)
}

// get returns an object, or a NotFound.
func (s *Store) get(k key) (object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, found := s.objects[k]
	if !found {
		return nil, k.notFound()
	}
	return e.object, nil
}

// list returns the objects of a kind, sorted by name; namespace "" means all.
func (s *Store) list(group, kind, namespace string) []object {
	var out []object
	s.each(group, kind, func(k key, e entry) {
		if namespace == "" || k.namespace == namespace {
			out = append(out, e.object)
		}
	})
	return out
}

// each calls do for the objects of a kind, sorted by name.
func (s *Store) each(group, kind string, do func(key, entry)) {
	s.mu.Lock()
	snapshot := maps.Clone(s.objects)
	s.mu.Unlock()
	for _, k := range slices.SortedFunc(maps.Keys(snapshot), key.compare) {
		if k.group == group && k.kind == kind {
			do(k, snapshot[k])
		}
	}
}

// create adds an object.
func (s *Store) create(o object) (object, error) {
	o = runtime.DeepCopyJSON(o)
	k := keyOf(o)
	if err := admit(k, o); err != nil {
		return nil, err
	}
	meta := metaOf(o)
	meta["uid"] = uuid.NewString()
	meta["creationTimestamp"] = time.Now().UTC().Format(time.RFC3339)
	meta["generation"] = int64(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, exists := s.objects[k]; exists {
		return nil, apierrors.NewAlreadyExists(k.resource(), k.name)
	}
	s.put(k, o, true)
	return o, nil
}

// update replaces everything in an object except its status.
func (s *Store) update(o object) (object, error) {
	k := keyOf(o)
	return s.change(k, func(old object) (object, error) {
		o := runtime.DeepCopyJSON(o)
		if err := sameVersion(k, o, old); err != nil {
			return nil, err
		}
		if err := admit(k, o); err != nil {
			return nil, err
		}
		replaceField(o, "status", old["status"])
		return o, nil
	})
}

// updateStatus replaces the status of an object and nothing else.
func (s *Store) updateStatus(o object) (object, error) {
	k := keyOf(o)
	return s.change(k, func(old object) (object, error) {
		if err := sameVersion(k, o, old); err != nil {
			return nil, err
		}
		out := runtime.DeepCopyJSON(old)
		replaceField(out, "status", runtime.DeepCopyJSONValue(o["status"]))
		return out, nil
	})
}

// patch changes an object by a merge patch (RFC 7386).
func (s *Store) patch(k key, patch object, status bool) (object, error) {
	old, err := s.get(k)
	if err != nil {
		return nil, err
	}
	merged, _ := mergePatch(runtime.DeepCopyJSON(old), patch).(object)
	if status {
		return s.updateStatus(merged)
	}
	return s.update(merged)
}

// change replaces an object with the result of change.
func (s *Store) change(k key, change func(old object) (object, error)) (object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, found := s.objects[k]
	if !found {
		return nil, k.notFound()
	}
	o, err := change(e.object)
	if err != nil {
		return nil, err
	}
	meta, before := metaOf(o), metaOf(e.object)
	for _, name := range []string{"uid", "creationTimestamp", "generation", "resourceVersion"} {
		replaceField(meta, name, before[name])
	}
	switch content, body := differs(o, e.object); {
	case body:
		meta["generation"] = before["generation"].(int64) + 1
		s.put(k, o, true)
	case content:
		s.put(k, o, true)
	case !reflect.DeepEqual(o["status"], e.object["status"]):
		s.put(k, o, false)
	}
	return s.objects[k].object, nil
}

// delete removes an object; for a namespace it also removes all objects in it.
func (s *Store) delete(k key) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, found := s.objects[k]; !found {
		return k.notFound()
	}
	delete(s.objects, k)
	if k.kind == "Namespace" {
		maps.DeleteFunc(s.objects, func(in key, _ entry) bool { return in.namespace == k.name })
	}
	s.version++
	s.changed()
	return nil
}

// put stores an object under the next version; content says whether more than its status
// changed.
func (s *Store) put(k key, o object, content bool) {
	s.version++
	metaOf(o)["resourceVersion"] = strconv.FormatInt(s.version, 10)
	e := entry{o, s.objects[k].content}
	if content {
		e.content = s.version
	}
	s.objects[k] = e
	if content {
		s.changed()
	}
}

// admit checks and defaults an object that a client has written.
func admit(k key, o object) error {
	if k.kind == "Secret" {
		storeStringData(o)
	}
	if k.kind == "Service" {
		defaultService(o)
	}
	if k.group != gatewayGroup {
		return nil
	}
	apiVersion, _ := o["apiVersion"].(string)
	kind := crd.Find(apiVersion, k.kind)
	if kind == nil {
		return apierrors.NewBadRequest("no kind " + k.kind + " in " + apiVersion)
	}
	problems := kind.Admit(o, 10)
	if len(problems) == 0 {
		return nil
	}
	var errs field.ErrorList
	for _, p := range problems {
		errs = append(errs, &field.Error{Type: field.ErrorTypeInvalid, Field: p.Path, BadValue: field.OmitValueType{}, Detail: p.Message})
	}
	return apierrors.NewInvalid(schema.GroupKind{Group: k.group, Kind: k.kind}, k.name, errs)
}

func storeStringData(o object) {
	written, _ := o["stringData"].(object)
	for name, value := range written {
		if text, ok := value.(string); ok {
			child(o, "data")[name] = base64.StdEncoding.EncodeToString([]byte(text))
		}
	}
	delete(o, "stringData")
}

func defaultService(o object) {
	ports, _ := child(o, "spec")["ports"].([]any)
	for _, port := range ports {
		if port, ok := port.(object); ok && port["protocol"] == nil {
			port["protocol"] = "TCP"
		}
	}
}

func sameVersion(k key, o, old object) error {
	wanted, _ := metaOf(o)["resourceVersion"].(string)
	if wanted != "" && wanted != metaOf(old)["resourceVersion"] {
		return apierrors.NewConflict(k.resource(), k.name, errModified)
	}
	return nil
}

var errModified = apierrors.NewBadRequest("the object has been modified; apply your changes to the latest version and try again")

// differs reports whether two versions of an object differ in anything but their status
// (content), and whether they differ outside their metadata (body).
func differs(a, b object) (content, body bool) {
	for _, name := range slices.Sorted(maps.Keys(union(a, b))) {
		if name == "status" || reflect.DeepEqual(a[name], b[name]) {
			continue
		}
		content = true
		body = body || name != "metadata"
	}
	return content, body
}

func union(a, b object) object {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

// mergePatch applies a merge patch.
func mergePatch(target, patch any) any {
	changes, ok := patch.(object)
	if !ok {
		return patch
	}
	out, ok := target.(object)
	if !ok {
		out = object{}
	}
	for name, value := range changes {
		if value == nil {
			delete(out, name)
			continue
		}
		out[name] = mergePatch(out[name], value)
	}
	return out
}

func (k key) resource() schema.GroupResource {
	r := findKind(k.group, k.kind)
	return schema.GroupResource{Group: k.group, Resource: r.plural}
}

func (k key) notFound() error { return apierrors.NewNotFound(k.resource(), k.name) }

func keyOf(o object) key {
	u := unstructured.Unstructured{Object: o}
	group, _, grouped := strings.Cut(u.GetAPIVersion(), "/")
	if !grouped {
		group = ""
	}
	return key{group, u.GetKind(), u.GetNamespace(), u.GetName()}
}

func metaOf(o object) object { return child(o, "metadata") }

// child returns a field that holds an object, and makes it if it is missing.
func child(o object, name string) object {
	in, ok := o[name].(object)
	if !ok {
		in = object{}
		o[name] = in
	}
	return in
}

func replaceField(o object, name string, value any) {
	if value == nil {
		delete(o, name)
		return
	}
	o[name] = value
}
