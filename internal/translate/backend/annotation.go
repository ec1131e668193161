package backend

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
)

// Annotation is one of our annotations on a Service: a row of docs/annotations.md.
type Annotation struct{ Name, Values, Doc string }

// ProxyProtocolAnnotation asks for a PROXY protocol header.
const ProxyProtocolAnnotation = "windrose.dev/proxy-protocol"

// Annotations returns our annotations on Services.
func Annotations() []Annotation {
	return []Annotation{
		{
			ProxyProtocolAnnotation, "v1, v2",
			"Each TCP connection to the Service's endpoints begins with a PROXY header, before TLS, that says whose it is: the client's address as the log has it. " +
				"Such connections are never shared, so that each request takes one of its own. With another value the routes answer 503.",
		},
	}
}

var proxyProtocols = map[string]model.ProxyProtocol{"": model.NoProxyProtocol, "v1": model.ProxyV1, "v2": model.ProxyV2}

// sendProxy reads which PROXY protocol header a Service asks for. An unknown value is an
// error: without the header, the endpoints would take the first bytes for one.
func sendProxy(service *corev1.Service) (model.ProxyProtocol, *Problem) {
	value := service.Annotations[ProxyProtocolAnnotation]
	version, known := proxyProtocols[strings.ToLower(strings.TrimSpace(value))]
	if !known {
		return version, &Problem{reason.AnnotationInvalid, fmt.Sprintf("Service %s/%s has annotation %s: %q, which is neither v1 nor v2",
			service.Namespace, service.Name, ProxyProtocolAnnotation, value)}
	}
	return version, nil
}
