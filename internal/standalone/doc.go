// Package standalone plays kubelet and endpoint controller for a directory of resources.
// Every Pod, Deployment and StatefulSet becomes loopback pods at 127.0.0.1, with a port
// of its own for each TCP and UDP container port (the same number if a pod has both).
// Every Service with a selector gets EndpointSlices that name those ports.
//
// A loopback pod runs the built-in echo application (see [Echo]) or, with the annotation
// windrose.dev/command, a real program. There are no containers: images are ignored, and
// a program has our user and file system, and never more privileges than we have.
//
// The package has two halves. Planning consists of pure functions: they turn a Set into
// the pods that should run, and the running pods into Pods and EndpointSlices. [Host]
// owns what lives: listeners, processes, and the timers that end them.
//
// Invariants: a pod is in the endpoints only while it accepts connections; a pod that
// leaves them keeps serving for Config.Grace, so that no request in flight is lost; a pod
// that did not change keeps its ports.
//
// Programs, and the processes that they started, end with the run. If this process is
// killed, the [Sentinel], a small process beside it, kills them; only processes that left
// their program's process group escape.
//
// SCTP ports are refused with a Report. The `run` command is the only caller.
package standalone
