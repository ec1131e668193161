package conformance

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// server is the HTTP API of a Store, with what the suite's clients need: no watches, no
// server-side apply, no discovery.
type server struct {
	store *Store
	logs  *podLogs
}

// location is the object or list that the path of a request names.
type location struct {
	*resource
	version, namespace, name, sub string
}

func (l *location) key() key { return key{l.group, l.kind, l.namespace, l.name} }

// apiVersion returns the version that the client asked for.
func (l *location) apiVersion() string {
	if l.group == "" {
		return l.version
	}
	return l.group + "/" + l.version
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	at, ok := locate(r.URL.Path)
	if !ok {
		reply(w, http.StatusNotFound, apierrors.NewNotFound(schema.GroupResource{}, r.URL.Path).Status())
		return
	}
	if at.kind == "Pod" && at.sub == "log" {
		s.serveLog(w, r, at)
		return
	}
	code, answer, err := s.do(r, at)
	if err != nil {
		var status apierrors.APIStatus
		if !errors.As(err, &status) {
			status = apierrors.NewInternalError(err)
		}
		reply(w, int(status.Status().Code), status.Status())
		return
	}
	reply(w, code, answer)
}

// locate reads /api/v1/… and /apis/<group>/<version>/….
func locate(path string) (*location, bool) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	at := &location{}
	group := ""
	switch {
	case len(parts) > 2 && parts[0] == "api":
		at.version, parts = parts[1], parts[2:]
	case len(parts) > 3 && parts[0] == "apis":
		group, at.version, parts = parts[1], parts[2], parts[3:]
	default:
		return nil, false
	}
	if parts[0] == "namespaces" && len(parts) > 2 {
		at.namespace, parts = parts[1], parts[2:]
	}
	for i, field := range []*string{nil, &at.name, &at.sub} {
		if field != nil && len(parts) > i {
			*field = parts[i]
		}
	}
	at.resource = findPlural(group, parts[0])
	return at, at.resource != nil
}

// readBody reads the object in the body of a request that writes one.
func readBody(r *http.Request) (body object, err error) {
	if r.Method != http.MethodPost && r.Method != http.MethodPut && r.Method != http.MethodPatch {
		return nil, nil
	}
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if err := utiljson.Unmarshal(data, &body); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return body, nil
}

// do performs a request and returns the status code and body of the response.
func (s *server) do(r *http.Request, at *location) (int, any, error) {
	body, err := readBody(r)
	if err != nil {
		return 0, nil, err
	}
	code := http.StatusOK
	var out object
	switch {
	case r.Method == http.MethodGet && at.name == "" && r.URL.Query().Get("watch") == "":
		list, err := s.list(r, at)
		return code, list, err
	case r.Method == http.MethodGet && at.name != "":
		out, err = s.store.get(at.key())
	case r.Method == http.MethodPost && at.name == "":
		at.complete(body)
		code = http.StatusCreated
		out, err = s.store.create(body)
	case r.Method == http.MethodPut && at.sub == "status":
		at.complete(body)
		out, err = s.store.updateStatus(body)
	case r.Method == http.MethodPut:
		at.complete(body)
		out, err = s.store.update(body)
	case r.Method == http.MethodPatch && strings.HasPrefix(r.Header.Get("Content-Type"), "application/merge-patch+json"):
		out, err = s.store.patch(at.key(), body, at.sub == "status")
	case r.Method == http.MethodDelete && at.name != "":
		err = s.store.delete(at.key())
		return code, metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusSuccess}, err
	default:
		err = apierrors.NewMethodNotSupported(at.key().resource(), r.Method)
	}
	if err != nil {
		return 0, nil, err
	}
	return code, at.inVersion(out), nil
}

// complete adds to a written object what only its URL says.
func (l *location) complete(o object) {
	o["apiVersion"], o["kind"] = l.apiVersion(), l.kind
	if l.namespace != "" {
		metaOf(o)["namespace"] = l.namespace
	}
	if l.name != "" {
		metaOf(o)["name"] = l.name
	}
}

// inVersion returns an object in the version that the client asked for. The versions of a
// kind of the Gateway API differ in name only.
func (l *location) inVersion(o object) object {
	return union(o, object{"apiVersion": l.apiVersion(), "kind": l.kind})
}

func (s *server) list(r *http.Request, at *location) (any, error) {
	selector, err := labels.Parse(r.URL.Query().Get("labelSelector"))
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	items := []object{}
	for _, o := range s.store.list(at.group, at.kind, at.namespace) {
		if selector.Matches(labelsOf(o)) {
			items = append(items, at.inVersion(o))
		}
	}
	return object{
		"apiVersion": at.apiVersion(), "kind": at.kind + "List", "items": items,
		"metadata": object{"resourceVersion": s.store.revision()},
	}, nil
}

func labelsOf(o object) labels.Set {
	out := labels.Set{}
	meta, _ := o["metadata"].(object)
	all, _ := meta["labels"].(object)
	for name, value := range all {
		out[name], _ = value.(string)
	}
	return out
}

// serveLog responds with the output of a pod since a time.
func (s *server) serveLog(w http.ResponseWriter, r *http.Request, at *location) {
	since, err := time.Parse(time.RFC3339, r.URL.Query().Get("sinceTime"))
	if err != nil {
		since = time.Time{}
	}
	w.Header().Set("Content-Type", "text/plain")
	s.logs.write(w, at.namespace+"/"+at.name, since)
}

func reply(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(body)
}
