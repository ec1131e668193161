package reason

import "fmt"

// Code names one reason why a resource is wrong or not honoured. The names are stable:
// scripts and alerts match on them.
type Code uint8

// The codes. Their names, severities and texts are in the table below.
const (
	ParseError Code = iota + 1
	Unreadable
	TooLarge
	UnknownField
	WrongType
	DuplicateKey
	InvalidValue
	DuplicateObject
	UnknownKind
	KeptLastGood
	Tombstone
	NotHonoured
	GuardClosed
	GuardIgnored
	ClassNotServed
	ServiceNotFound
	PortNotFound
	ServiceTypeNotServed
	SecretNotFound
	SecretInvalid
	CertificateGenerated
	CertificateMismatch
	PathConflict
	DefaultConflict
	DefaultClassConflict
	PathInvalid
	AnnotationInvalid
	ResourceBackend
	CertificateConflict
	RegexHost
	CanarySetAside
	ListenFailed
	CommandFailed
	WorkloadIncomplete
	NothingToServe
	SnapshotUnsupported
	GatewayInvalid
	ListenerInvalid
	RouteNotAttached
	ReferenceNotPermitted
	FilterInvalid
	HostShared
	HostMerged
	RuleInvalid
	BundleInvalid
	PolicyConflict
	UpstreamClosed
	L4RouteConflict
	HTTP3Unavailable
	NameRefused
	TLSDiffers
)

// CodeRow is the table's row for a Code.
type CodeRow struct {
	Code     Code
	Name     string
	Severity Severity
	// Doc says what happened, and what it means for traffic.
	Doc string
	// Fix is the user's next step.
	Fix string
}

var codes = []CodeRow{
	{ParseError, "ParseError", Error, "A document is not YAML or JSON. Resources that came from it before stay as they were.", "mend the syntax at this line"},
	{Unreadable, "Unreadable", Error, "A file or directory cannot be read. Resources that came from it before stay as they were.", "check that it exists and may be read"},
	{TooLarge, "TooLarge", Error, "A file, document or value is larger than Windrose reads. It is set aside.", "split it, or raise the limit that the message names"},
	{UnknownField, "UnknownField", Error, "A field that the kind does not have. The resource is set aside.", "correct the spelling, or remove the field"},
	{WrongType, "WrongType", Error, "A value of another type than the field takes. The resource is set aside.", "write a value of the type that the message names"},
	{DuplicateKey, "DuplicateKey", Error, "A key stands twice in one mapping. The resource is set aside.", "remove one of the two"},
	{InvalidValue, "InvalidValue", Error, "A value that an API server would refuse. The resource is set aside.", "write a value that the message allows"},
	{DuplicateObject, "DuplicateObject", Error, "One object stands in two places. The first, by file and line, counts; what only a later one guards answers 503.", "remove one of the two"},
	{UnknownKind, "UnknownKind", Info, "Windrose has no use for this kind. Its objects are passed over.", "nothing to do, unless you relied on it here"},
	{KeptLastGood, "KeptLastGood", Warning, "The new text is broken, so the last good version of this resource stays in force.", "mend the errors reported for the same object or file"},
	{Tombstone, "Tombstone", Error, "A broken resource guards something and has no good version, or a second copy of a resource guards something that the first leaves open. What it guards answers 503.", "mend the errors reported for the same object"},
	{NotHonoured, "NotHonoured", Warning, "Windrose does not honour this yet. Traffic flows without it.", "remove it, or do without its effect"},
	{GuardClosed, "GuardClosed", Error, "This guards something and is not honoured, or is invalid. Its routes answer 503 rather than stand open.", "remove it if the routes may be open, or run with --ignore-guards to open them all"},
	{GuardIgnored, "GuardIgnored", Warning, "This guards something and is not honoured. Its routes are open because of --ignore-guards.", "drop --ignore-guards to close them"},
	{ClassNotServed, "ClassNotServed", Info, "The resource belongs to a class that this Windrose does not serve.", "name a served class, or narrow --class less"},
	{ServiceNotFound, "ServiceNotFound", Error, "A backend names a Service that does not exist. Its routes answer 503.", "create the Service, or correct the name"},
	{PortNotFound, "PortNotFound", Error, "A backend names a port that its Service does not have. Its routes answer 503.", "use one of the ports that the message lists"},
	{ServiceTypeNotServed, "ServiceTypeNotServed", Error, "A backend is a Service of a type that cannot be reached. Its routes answer 503.", "use a Service with a selector or endpoints"},
	{SecretNotFound, "SecretNotFound", Error, "A TLS secret does not exist. TLS handshakes for its hosts are refused.", "create the Secret of type kubernetes.io/tls in the same namespace"},
	{SecretInvalid, "SecretInvalid", Error, "A TLS secret does not hold a certificate and its key. TLS handshakes for its hosts are refused.", "put a PEM chain in tls.crt and its key in tls.key"},
	{CertificateGenerated, "CertificateGenerated", Info, "A TLS secret is named but not shipped, so run makes a certificate for it, signed by an authority of its own.", "ship the Secret, or run with --state-dir DIR and trust DIR/ca.crt"},
	{CertificateMismatch, "CertificateMismatch", Warning, "The certificate in a TLS secret does not cover a host that uses it. Clients will refuse it.", "issue the certificate for this host too"},
	{PathConflict, "PathConflict", Warning, "Two rules claim the same host and path. The older wins; with equal age, the first by namespace/name.", "remove or move one of the two"},
	{DefaultConflict, "DefaultConflict", Warning, "Two default backends claim the same host. The older wins; with equal age, the first by namespace/name.", "keep one of the two"},
	{DefaultClassConflict, "DefaultClassConflict", Warning, "Two IngressClasses are marked as default. The newest wins, then the first by name.", "keep the is-default-class annotation on one"},
	{PathInvalid, "PathInvalid", Error, "A path cannot match any request. The rule is set aside.", "start the path with /, without // or dot segments"},
	{AnnotationInvalid, "AnnotationInvalid", Error, "An annotation's value cannot be understood, so its effect is left out; where it guards something, the routes answer 503.", "write a value of the form that the message shows"},
	{ResourceBackend, "ResourceBackend", Error, "A backend is a resource and not a Service. Its routes answer 503.", "use a Service as the backend"},
	{CertificateConflict, "CertificateConflict", Warning, "Two Ingresses give one host different TLS secrets. The older wins; with equal age, the first by namespace/name.", "name one secret for the host"},
	{RegexHost, "RegexHost", Info, "Another path of this host uses use-regex or rewrite-target, so, as with ingress-nginx, this path too is a case-insensitive expression that matches by its beginning, whatever its pathType.", "give the paths with expressions a host of their own"},
	{CanarySetAside, "CanarySetAside", Warning, "A canary Ingress would take a part of another's traffic. Windrose does not honour that yet, so all of it stays with the other.", "remove it, or wait for canary support"},
	{ListenFailed, "ListenFailed", Error, "A port could not be opened. What it serves is not reachable there.", "free the port, or publish it elsewhere: --publish PORT=ADDR:PORT"},
	{CommandFailed, "CommandFailed", Error, "The command of a loopback pod ended or could not start. It is started again, ever more slowly.", "see its output above; the command is in annotation windrose.dev/command"},
	{WorkloadIncomplete, "WorkloadIncomplete", Warning, "A workload cannot be run as it stands.", "see the message"},
	{NothingToServe, "NothingToServe", Error, "No resource that is served asks for a route.", "add an Ingress, or name another directory"},
	{SnapshotUnsupported, "SnapshotUnsupported", Error, "The snapshot says something that this proxy cannot do. The route answers 503.", "upgrade the proxy"},
	{GatewayInvalid, "GatewayInvalid", Error, "A Gateway or its class asks for something that cannot be given. Its condition Accepted or Programmed says so.", "see the message"},
	{ListenerInvalid, "ListenerInvalid", Error, "A listener of a Gateway cannot be served as it is written. Its conditions say so.", "see the message"},
	{RouteNotAttached, "RouteNotAttached", Error, "A route or ListenerSet names a parent that does not take it. It serves nothing there.", "correct the parentRef, or have the parent allow it"},
	{ReferenceNotPermitted, "ReferenceNotPermitted", Error, "A reference into another namespace that no ReferenceGrant permits. Its requests get an error.", "create a ReferenceGrant in that namespace"},
	{FilterInvalid, "FilterInvalid", Error, "A filter that cannot be applied. It is never skipped: its requests are answered with 500.", "see the message"},
	{HostShared, "HostShared", Warning, "Two dialects have rules for one host and port. Those of the first are tried first, those of the second where none of them matches.", "give one of them a host of its own"},
	{HostMerged, "HostMerged", Info, "Several Ingresses name one host. Their paths are merged; of one path that two of them claim the older has it.", "nothing to do, unless they should not share it"},
	{RuleInvalid, "RuleInvalid", Error, "A rule has a value that no proxy takes. It answers 503.", "write a value that the message allows"},
	{BundleInvalid, "BundleInvalid", Error, "A reference to the certificates of authorities leads to none. What they would vouch for is refused.", "put PEM certificates in ca.crt of a ConfigMap or Secret in the same namespace"},
	{PolicyConflict, "PolicyConflict", Warning, "Two policies claim one target. The older wins; with equal age, the first by namespace/name.", "remove one of the two"},
	{UpstreamClosed, "UpstreamClosed", Error, "What connections to a service are secured with is missing or not valid. Nothing is sent to it: its requests answer 503.", "see the message"},
	{L4RouteConflict, "L4RouteConflict", Warning, "Two routes of layer 4 claim the same server name of a port, or all of it. The older wins; with equal age, the first by namespace/name.", "remove or move one of the two"},
	{HTTP3Unavailable, "HTTP3Unavailable", Warning, "The UDP port beside an HTTPS port could not be opened, so HTTP/3 is not served there. HTTP/1.1 and HTTP/2 are.", "free the UDP port, or turn HTTP/3 off: --http3=false"},
	{NameRefused, "NameRefused", Error, "A Service has a host name that leads to the proxy's own machine, or a name or an endpoint at link-local or multicast addresses, or at those of a cloud's metadata. Nothing is sent there.", "name a host or address elsewhere, or, for loopback addresses, run the proxy with --loopback-names"},
	{TLSDiffers, "TLSDiffers", Info, "A resource asks for something of TLS that is not spoken, such as an old version or a suite of DHE. The rest of what it asks for holds.", "nothing to do, unless a client or backend needs it"},
}

// Codes returns the table, one row for each Code, in a stable order.
func Codes() []CodeRow { return codes }

// Row returns the table's row for c.
func (c Code) Row() CodeRow {
	if c == 0 || int(c) > len(codes) {
		return CodeRow{Code: c, Name: fmt.Sprintf("Code(%d)", uint8(c)), Severity: Error}
	}
	return codes[c-1]
}

func (c Code) String() string { return c.Row().Name }

// MarshalText returns the code's name.
func (c Code) MarshalText() ([]byte, error) { return []byte(c.String()), nil }
