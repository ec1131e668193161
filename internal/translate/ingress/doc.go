// Package ingress translates networking.k8s.io/v1 Ingress, with the annotations of
// ingress-nginx, into the model.
//
// The semantics are those of the Kubernetes documentation; the annotations mean what they
// mean in ingress-nginx 1.15. One table has all annotations ([Annotations]), and
// docs/annotations.md is made from it. An annotation that is not honoured is reported; if
// it guards something, the routes of its Ingress are closed.
//
// [Translate] is a pure function of a Set. It neither serves nor resolves names; package
// translate merges its Fragment with those of other dialects.
package ingress
