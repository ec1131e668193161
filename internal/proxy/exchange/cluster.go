package exchange

import (
	"crypto/tls"
	"fmt"
	"slices"
	"sync/atomic"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy/upstream"
	"windrose.dev/windrose/internal/reason"
)

// Cluster is a service with the endpoints that one Generation has for it, as
// they are reached on behalf of some listeners.
type Cluster struct {
	Service *upstream.Service
	Stats   *observe.Service
	// Protocol is what is spoken to the endpoints, and Secure tells that it is
	// over TLS.
	Protocol model.BackendProtocol
	Secure   bool
	// Closed says why nothing may be sent to the endpoints; empty is that it may.
	Closed string

	// tunnels is the same service for requests that switch protocols, where that
	// needs HTTP/1.1; nil is this one.
	tunnels *Cluster
	// others are the same service for listeners that show the endpoints another
	// certificate.
	others map[model.ListenerID]*Cluster

	compiler *Compiler
	way      upstream.Way
	fixed    []model.Endpoint
	names    []named
	set      atomic.Pointer[endpointSet] // not older than the last look at names
}

// Active is the number of requests under way at the endpoints.
func (c *Cluster) Active() int64 {
	sum, all := int64(0), c.Endpoints()
	for i := range all {
		sum += all[i].Active.Load()
	}
	return sum
}

// PrepareTunnel is for requests that switch protocols: a service that chooses
// between versions of HTTP is spoken to in HTTP/1.1 then.
func (x *Exchange) PrepareTunnel() {
	x.Switches = true
	c := x.Cluster.tunnels
	if c == nil {
		return
	}
	if x.Cluster = c; x.sticky == nil {
		return
	}
	at := x.sticky.Addr
	x.sticky = nil
	all := c.Endpoints()
	for i := range all {
		if all[i].Addr == at {
			x.sticky = &all[i]
		}
	}
}

// cluster is a service as it is reached on behalf of a listener.
func (g *Generation) cluster(i int, listener model.ListenerID) *Cluster {
	c := g.Clusters[i]
	if c.others != nil {
		if other := c.others[listener]; other != nil {
			return other
		}
	}
	return c
}

// eachCluster calls do for all clusters, also those for one listener.
func (g *Generation) eachCluster(do func(*Cluster)) {
	for _, c := range g.Clusters {
		do(c)
		for _, other := range c.others {
			do(other)
			if other.tunnels != nil {
				do(other.tunnels)
			}
		}
		if c.tunnels != nil {
			do(c.tunnels)
		}
	}
}

// clusterer makes the clusters of a Snapshot.
type clusterer struct {
	*Compiler
	s         *model.Snapshot
	bundles   upstream.Bundles
	secrets   map[string]*model.Secret
	endpoints map[string][]model.Endpoint      // of services
	names     map[string][]model.NamedEndpoint // of services
	reports   []reason.Report
}

func (c *Compiler) clusters(s *model.Snapshot) ([]*Cluster, []reason.Report) {
	m := &clusterer{
		Compiler: c, s: s, bundles: upstream.BundlesOf(s),
		secrets: make(map[string]*model.Secret, len(s.Secrets)), endpoints: make(map[string][]model.Endpoint, len(s.Endpoints)),
		names: map[string][]model.NamedEndpoint{},
	}
	for i := range s.Secrets {
		m.secrets[s.Secrets[i].Name] = &s.Secrets[i]
	}
	for _, e := range s.Endpoints {
		m.endpoints[e.Service] = readyOrAll(m.permitted(e))
		if len(e.Names) > 0 {
			m.names[e.Service] = e.Names
		}
	}
	out := make([]*Cluster, len(s.Config.Services))
	for i := range s.Config.Services {
		out[i] = m.service(&s.Config.Services[i])
	}
	return out, m.reports
}

// permitted are the endpoints of a service but for those to which nothing is sent,
// whoever writes them.
func (m *clusterer) permitted(e model.Endpoints) []model.Endpoint {
	for _, ep := range e.Endpoints {
		if why := upstream.RefusedAddress(ep.Addr.Addr()); why != "" {
			m.reports = append(m.reports, reason.New(reason.NameRefused, reason.Origin{},
				fmt.Sprintf("service %s: %s is %s", e.Service, ep.Addr.Addr(), why)))
			return withoutRefused(e.Endpoints)
		}
	}
	return e.Endpoints
}

func withoutRefused(all []model.Endpoint) []model.Endpoint {
	return slices.DeleteFunc(slices.Clone(all), func(ep model.Endpoint) bool {
		return upstream.RefusedAddress(ep.Addr.Addr()) != ""
	})
}

// service makes a cluster, and others for the listeners that show its endpoints
// a certificate.
func (m *clusterer) service(s *model.Service) *Cluster {
	if s.TLS == nil {
		return m.cluster(s, nil)
	}
	own := m.secure(s, s.TLS.Certificate)
	shown := map[string]*Cluster{} // by certificate, of which many listeners have one
	for i := range m.s.Config.Listeners {
		l := &m.s.Config.Listeners[i]
		name := upstream.CertificateFor(s, l)
		if name == s.TLS.Certificate {
			continue
		}
		if own.others == nil {
			own.others = map[model.ListenerID]*Cluster{}
		}
		if shown[name] == nil {
			shown[name] = m.secure(s, name)
		}
		own.others[l.ID] = shown[name]
	}
	return own
}

// secure makes the cluster of a service that is reached over TLS, by showing the
// certificate of a Secret. Without all that this takes it is closed.
func (m *clusterer) secure(s *model.Service, certificate string) *Cluster {
	secured, err := m.tls(s, certificate)
	if err != nil {
		m.reports = append(m.reports, reason.New(reason.UpstreamClosed, reason.Origin{}, err.Error()))
		c := m.cluster(s, nil)
		c.Closed, c.fixed, c.names = err.Error(), nil, nil
		c.renew()
		return c
	}
	c := m.cluster(s, secured)
	if s.Protocol == model.Negotiated {
		for1 := *s
		for1.Protocol = model.HTTP1
		c.tunnels = m.secure(&for1, certificate)
	}
	return c
}

func (m *clusterer) tls(s *model.Service, certificate string) (*upstream.TLS, error) {
	cfg := upstream.TLSConfig{Service: s, Bundles: m.bundles, Sessions: m.Sessions}
	if certificate != "" {
		var err error
		if cfg.Client, cfg.ClientDigest, err = m.certificate(certificate); err != nil {
			return nil, fmt.Errorf("service %s: Secret %s: %w", s.ID, certificate, err)
		}
	}
	return upstream.NewTLS(cfg)
}

func (m *clusterer) certificate(name string) (*tls.Certificate, string, error) {
	secret := m.secrets[name]
	if secret == nil || len(secret.Key) == 0 {
		return nil, "", fmt.Errorf("there is no certificate with its key")
	}
	cert, err := tls.X509KeyPair(secret.Chain, secret.Key)
	if err != nil {
		return nil, "", fmt.Errorf("not a certificate and its key: %w", err)
	}
	return &cert, secret.Digest, nil
}

func (m *clusterer) cluster(s *model.Service, secured *upstream.TLS) *Cluster {
	c := &Cluster{
		Service: m.Registry.Service(*s), Stats: m.Metrics.Service(s.ID), Protocol: s.Protocol, Secure: secured != nil,
		compiler: m.Compiler, way: upstream.Way{Protocol: s.Protocol, TLS: secured, SendProxy: s.SendProxy}, fixed: m.endpoints[s.ID],
	}
	for _, n := range m.names[s.ID] {
		c.names = append(c.names, named{m.Registry.Name(n.Host), n.Port})
		if why := m.Registry.Refused(n.Host); why != "" {
			m.reports = append(m.reports, reason.New(reason.NameRefused, reason.Origin{}, fmt.Sprintf("service %s: %s is %s", s.ID, n.Host, why)))
		}
	}
	c.renew()
	return c
}

// readyOrAll leaves out terminating endpoints, unless there are no others
// (Kubernetes KEP-1669).
func readyOrAll(all []model.Endpoint) []model.Endpoint {
	ready := make([]model.Endpoint, 0, len(all))
	for _, ep := range all {
		if !ep.Terminating {
			ready = append(ready, ep)
		}
	}
	if len(ready) == 0 {
		return all
	}
	return ready
}
