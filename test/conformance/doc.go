// Package conformance runs the tests of the Gateway API's conformance suite (module
// sigs.k8s.io/gateway-api/conformance) in one process, without a cluster, in seconds. The
// code of the tests is the suite's, unmodified.
//
// A [Cluster] takes the place of a real one. It has a [Store] that keeps and admits
// objects as an API server does, behind an HTTP API for real clients. The pods of
// Deployments are loopback pods that run the suite's own echo-basic
// (internal/standalone). Windrose's pipeline leads from the objects to a live proxy, and
// the status that the translation computes is written back. Every Gateway has its own
// loopback address, 127.66.x.y; so this needs Linux, and the right to bind ports below
// 1024.
//
// It does not test what only a real cluster has: watches, scheduling, and the API
// server's own admission of built-in kinds. The suite on a real cluster remains
// authoritative; this package is for quick runs during development.
package conformance
