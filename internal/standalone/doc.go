// Package standalone plays kubelet and endpoint controller for a directory of
// resources: every Pod, Deployment and StatefulSet becomes loopback pods, at
// 127.0.0.1 with a port of its own for each container port, of TCP and of UDP
// (the same number for both where a pod has both), and every Service
// with a selector gets EndpointSlices that name those ports.
//
// A loopback pod runs the built-in echo application (see [Echo]) or, with the
// annotation windrose.dev/command, a real program. There are no containers:
// images are not looked at, and a program has our user, our file system and
// never more privileges than we have.
//
// It is two halves. Planning turns a Set into the pods that should run, and
// the pods that do run into Pods and EndpointSlices: pure functions. [Host]
// owns what lives: listeners, processes, and the timers that end them.
//
// Invariants: a pod stands in the endpoints only while it accepts connections;
// one that leaves them goes on serving for Config.Grace, so that no request in
// flight is lost; a pod that did not change keeps its ports.
//
// Programs end with the run, and with them what they started. If we are killed,
// the [Sentinel], a small process beside us, sees to that; only what left its
// program's process group escapes it.
//
// It refuses SCTP ports, which get a Report. The `run` command is the
// only caller.
package standalone
