package ingress

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/translate/backend"
	"windrose.dev/windrose/internal/translate/fragment"
	"windrose.dev/windrose/internal/translate/secret"
)

// upstream holds the annotations of an Ingress about its backends.
type upstream struct {
	// protocol is HTTP, HTTPS, GRPC or GRPCS.
	protocol string
	// secret is namespace/name.
	secret     string
	verify     bool
	depth      int
	name       string
	serverName bool
	// policy limits the TLS versions and cipher suites; nil leaves them to the proxy.
	policy *model.TLSPolicy
	// unspeakable is set if no TLS version or cipher suite is left.
	unspeakable unspeakable
}

// unspeakable is the annotation that leaves no TLS version or cipher suite, and why.
type unspeakable struct{ annotation, why string }

// defaultUpstream has the defaults of ingress-nginx.
var defaultUpstream = upstream{protocol: "HTTP", depth: 1}

// upstreamAnnotations are the annotations about backends. They count as guards, so a
// misspelled one closes its routes.
var upstreamAnnotations = []Annotation{
	{
		Name: "backend-protocol", Group: "BackendProtocol", Risk: "Low", Guard: true, Inert: []string{"HTTP", "http"},
		Apply: (*settings).setProtocol,
		Doc:   "HTTP, HTTPS, GRPC or GRPCS. With others, AUTO_HTTP and FCGI among them, the routes answer 503.",
	},
	{
		Name: "proxy-ssl-secret", Group: "ProxySSL", Risk: "Medium", Guard: true,
		Apply: func(s *settings, v string) error { s.upstream.secret = v; return nil },
		Doc:   "namespace/name, in the Ingress's own namespace: tls.crt and tls.key are shown to backends over TLS, ca.crt holds the authorities. One that is missing or broken closes the routes.",
	},
	{
		Name: "proxy-ssl-verify", Group: "ProxySSL", Risk: "Low", Guard: true, Inert: []string{"off"},
		Apply: (*settings).setVerify,
		Doc:   "Default off: backends over TLS are not verified. on takes proxy-ssl-secret and proxy-ssl-name, without which the routes answer 503. A value that cannot be understood counts as on.",
	},
	{
		Name: "proxy-ssl-verify-depth", Group: "ProxySSL", Risk: "Low",
		Apply: func(s *settings, v string) error { return setDepth(&s.upstream.depth, v) },
		Doc:   "How many certificates may stand between a backend's and the authority's; default 1.",
	},
	{
		Name: "proxy-ssl-name", Group: "ProxySSL", Risk: "High",
		Apply: func(s *settings, v string) error { return setText(&s.upstream.name, v, sslName) },
		Doc:   "The name that a backend's certificate must have, and that proxy-ssl-server-name sends. ingress-nginx ignores it without proxy-ssl-secret.",
	},
	{
		Name: "proxy-ssl-server-name", Group: "ProxySSL", Risk: "Low",
		Apply: func(s *settings, v string) error { return setSwitch(&s.upstream.serverName, v) },
		Doc:   "Default off: no server name (SNI) is sent to backends. on sends proxy-ssl-name, if it is set.",
	},
	{
		Name: "proxy-ssl-ciphers", Group: "ProxySSL", Risk: "Medium", Guard: true,
		Apply: (*settings).setUpstreamCiphers,
		Doc:   "The cipher suites of TLS 1.2 that backends are offered, as an OpenSSL cipher list (see ssl-ciphers); those of TLS 1.3 are always offered. Where nothing is left the routes over TLS are closed. ingress-nginx ignores it without proxy-ssl-secret.",
	},
	{
		Name: "proxy-ssl-protocols", Group: "ProxySSL", Risk: "Low", Guard: true,
		Apply: (*settings).setUpstreamProtocols,
		Doc:   "The lowest that it names is the lowest version of TLS that is spoken to backends; higher ones are always offered. Default TLSv1.2. Versions before that are not spoken (RFC 8996): they are left out and reported, and where it names no other the routes over TLS are closed. ingress-nginx ignores it without proxy-ssl-secret.",
	},
}

var sslName = form{regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?$`), "a DNS name"}

// setProtocol reads backend-protocol. An unsupported protocol closes the routes: plain
// HTTP would not be what the user asked for.
func (s *settings) setProtocol(value string) error {
	switch upper := strings.ToUpper(value); upper {
	case "":
		return nil
	case "HTTP", "HTTPS", "GRPC", "GRPCS":
		s.upstream.protocol = upper
		return nil
	}
	s.closedBy = "backend-protocol"
	return errors.New("HTTP, HTTPS, GRPC or GRPCS; with others the routes answer 503")
}

// setVerify reads proxy-ssl-verify. An invalid value counts as on.
func (s *settings) setVerify(value string) error {
	s.upstream.verify = value != ""
	if value == "" {
		return nil
	}
	return setSwitch(&s.upstream.verify, value)
}

func setSwitch(to *bool, value string) error {
	if value != "on" && value != "off" {
		return errors.New(`"on" or "off"`)
	}
	*to = value == "on"
	return nil
}

// maxDepth bounds the length of certificate chains.
const maxDepth = 100

func setDepth(to *int, value string) error {
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 || n > maxDepth {
		return errors.New(`a whole number in quotes, from "0" to "100"`)
	}
	*to = n
	return nil
}

// secured is the TLS to the backends of one Ingress.
type secured struct {
	tls *model.UpstreamTLS
	// way distinguishes it from other TLS to the same Service (see backend.Ref.TLSFrom).
	way string
	// problem says why there is no TLS.
	problem string
}

// speak sets the protocol and TLS to the backend of a rule, or returns why it cannot.
func (t *translation) speak(one *rule) (problem string) {
	switch one.upstream.protocol {
	case "GRPC", "GRPCS":
		one.ref.Protocol = model.HTTP2
	}
	if !strings.HasSuffix(one.upstream.protocol, "S") {
		return ""
	}
	if one.secured == nil {
		one.secured = t.secure(one.ingress)
	}
	one.ref.TLS, one.ref.TLSFrom = one.secured.tls, one.secured.way
	return one.secured.problem
}

// secure reads the annotations of an Ingress about TLS to its backends. Certificates are
// verified unless proxy-ssl-verify is off, which is the default.
func (t *translation) secure(in *ingress) *secured {
	up := &in.upstream
	out := &secured{tls: &model.UpstreamTLS{Unverified: !up.verify, Policy: up.policy}, way: "unverified"}
	if up.serverName {
		out.tls.ServerName = up.name
	}
	annotation, why := "proxy-ssl-secret", ""
	switch {
	case up.unspeakable.why != "":
		annotation, why = up.unspeakable.annotation, up.unspeakable.why
	case up.secret != "":
		why = t.useSecret(in, out.tls)
	case up.verify:
		annotation, why = "proxy-ssl-verify", "it takes a proxy-ssl-secret with ca.crt"
	}
	if why == "" && up.verify {
		out.tls.MaxChain = up.depth + 2
		if out.tls.Names = []string{up.name}; up.name == "" {
			annotation, why = "proxy-ssl-verify", "it takes a proxy-ssl-name, the name that the backend's certificate must have"
		}
	}
	if why != "" {
		t.report(reason.GuardClosed, in.object.At("metadata.annotations["+Prefix+annotation+"]"), "%s, so the routes answer 503", why)
		t.fix("see the message")
		return &secured{problem: annotation + ": " + why}
	}
	if *up != (upstream{protocol: up.protocol, depth: defaultUpstream.depth}) {
		out.way = "ingress:" + in.object.Origin.Name
	}
	return out
}

// useSecret resolves proxy-ssl-secret, or returns why it cannot.
func (t *translation) useSecret(in *ingress, to *model.UpstreamTLS) (why string) {
	namespace, name, _ := strings.Cut(in.upstream.secret, "/")
	at := source.Name{Namespace: namespace, Name: name}
	switch {
	case name == "":
		return "it is not namespace/name"
	case namespace != in.object.Origin.Namespace:
		return "a Secret of another namespace is not used"
	}
	pair := t.secrets.Pair(at, secret.ClientCertificate)
	if pair == nil {
		return fmt.Sprintf("there is no Secret %s", at)
	}
	if len(pair.Chain) > 0 || len(pair.Key) > 0 {
		if pair.Err != nil {
			return fmt.Sprintf("Secret %s holds no certificate with its key: %v", at, pair.Err)
		}
		to.Certificate = at.String()
		t.out.Identities = append(t.out.Identities, fragment.Identity{Name: at.String(), Secret: at})
	}
	if !in.upstream.verify {
		return ""
	}
	bundle, err := backend.Bundle(t.set, t.secrets, "Secret", at)
	if err != nil {
		return err.Error()
	}
	to.Bundles = []string{bundle.Name}
	t.out.Bundles = append(t.out.Bundles, bundle)
	return ""
}
