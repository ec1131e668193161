package backend

import (
	"strings"

	"windrose.dev/windrose/internal/model"
)

// Asked is what the appProtocol of a Service's port asks for.
type Asked struct {
	Protocol model.BackendProtocol
	// Open leaves the protocol to the dialect.
	Open bool
	// TLS asks for TLS, but does not say which authorities to trust.
	TLS bool
}

// asked has the standard protocols of Kubernetes (KEP-3726), and those that Istio and
// others read, in lower case.
var asked = map[string]Asked{
	"kubernetes.io/h2c": {Protocol: model.HTTP2},
	"kubernetes.io/ws":  {Protocol: model.HTTP1},
	"kubernetes.io/wss": {Protocol: model.HTTP1, TLS: true},
	"h2c":               {Protocol: model.HTTP2},
	"http2":             {Protocol: model.HTTP2},
	"grpc":              {Protocol: model.HTTP2},
	"grpcs":             {Protocol: model.HTTP2, TLS: true},
	"https":             {Open: true, TLS: true},
	"tls":               {Open: true, TLS: true},
}

// Asked reads the appProtocol of the port. An unknown value leaves the protocol open.
func (r Ref) Asked() Asked {
	if a, known := asked[strings.ToLower(r.AppProtocol)]; known {
		return a
	}
	return Asked{Open: true}
}

// Model returns the model's Service for the reference.
func (r Ref) Model() model.Service {
	return model.Service{ID: r.ID(), Protocol: r.Protocol, TLS: r.TLS, ProxyProtocol: r.ProxyProtocol}
}
