// Package conformance runs the tests of the Gateway API's conformance suite
// (module sigs.k8s.io/gateway-api/conformance) in one process, without a
// cluster, in seconds. The code of the tests is the suite's, unmodified.
//
// A [Cluster] stands where a cluster would: a [Store] that keeps and admits
// objects as an API server does, behind an HTTP API that real clients talk to;
// the pods of Deployments as loopback pods that run the suite's own echo-basic
// (internal/standalone); and Windrose's pipeline from the objects to a live
// proxy, with the status that the translation computed written back. Every
// Gateway has a loopback address of its own, 127.66.x.y, which is why this
// needs Linux, and the right to bind ports below 1024.
//
// What a real cluster adds is not tried here: watches, scheduling, the API
// server's own admission of built-in kinds. The suite on a real cluster stays
// the judge; this is the loop in which the work is done.
package conformance
