// Package ingress translates networking.k8s.io/v1 Ingress, with the annotations
// of ingress-nginx, into the model.
//
// The semantics are those of the Kubernetes documentation; the annotations do
// what they do in ingress-nginx 1.15. All annotations stand in one table
// ([Annotations]), from which docs/annotations.md is made: an annotation that
// is not honoured is reported, and if it guards something, the routes of its
// Ingress are closed.
//
// [Translate] is a pure function of a Set. It neither serves nor resolves
// names; translate merges its result with those of other dialects.
package ingress
