package upstream

import (
	"crypto/tls"
	"fmt"
	"maps"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
)

// Plan is what a Snapshot has of services and endpoints, before it is live: clusters
// that are new are made, and those that there were already are as they were. Either
// Commit or Discard ends it.
type Plan struct {
	// Clusters are by service.
	Clusters map[model.ServiceID]*Cluster

	registry  *Registry
	snapshot  *model.Snapshot
	made      []*Cluster
	endpoints map[model.ServiceID]model.Endpoints
	kept      []*Cluster // whose endpoints may have changed
	material  material
}

// material is what clusters over TLS are made of.
type material struct {
	bundles Bundles
	secrets map[string]*model.Secret
	used    []*TLS
}

// Prepare makes the clusters of a snapshot, and takes over those whose service is
// defined as it was.
func (r *Registry) Prepare(s *model.Snapshot) *Plan {
	p := &Plan{
		Clusters: make(map[model.ServiceID]*Cluster, len(s.Config.Services)), registry: r, snapshot: s, endpoints: endpointsOf(s),
		material: material{bundles: BundlesOf(s), secrets: make(map[string]*model.Secret, len(s.Secrets))},
	}
	for i := range s.Secrets {
		p.material.secrets[s.Secrets[i].Name] = &s.Secrets[i]
	}
	for i := range s.Config.Services {
		service := &s.Config.Services[i]
		made, old := p.cluster(service), r.clusters[service.ID]
		if old != nil && old.sameAs(made) {
			p.kept = append(p.kept, old)
			p.Clusters[service.ID] = old
			continue
		}
		p.Clusters[service.ID] = made
		p.made = append(p.made, made)
		made.each(func(c *Cluster) { c.update(p.endpoints[service.ID]) })
	}
	return p
}

func endpointsOf(s *model.Snapshot) map[model.ServiceID]model.Endpoints {
	out := make(map[model.ServiceID]model.Endpoints, len(s.Endpoints))
	for _, e := range s.Endpoints {
		out[e.Service] = e
	}
	return out
}

// Commit gives the clusters that were kept their endpoints, and closes those that no
// service has any more.
func (p *Plan) Commit() {
	for _, c := range p.kept {
		endpoints := p.endpoints[c.Service.ID]
		c.each(func(c *Cluster) { c.update(endpoints) })
	}
	for id, old := range p.registry.clusters {
		if p.Clusters[id] != old {
			old.each((*Cluster).close)
		}
	}
	p.registry.clusters = maps.Clone(p.Clusters)
	p.registry.forget()
	if p.registry.cfg.Sessions != nil {
		p.registry.cfg.Sessions.Retain(p.material.used)
	}
}

// Discard closes the clusters that were made.
func (p *Plan) Discard() {
	for _, c := range p.made {
		c.each((*Cluster).close)
	}
}

// Reports are what is wrong with the services and endpoints of all live clusters, in
// the order of their services.
func (r *Registry) Reports(services []model.Service) (reports []reason.Report) {
	for i := range services {
		c := r.clusters[services[i].ID]
		if c == nil {
			continue
		}
		c.each(func(c *Cluster) { reports = append(reports, c.refusal...) })
		c.mu.Lock()
		reports = append(reports, c.refused...)
		c.mu.Unlock()
	}
	return reports
}

// UpdateEndpoints has live clusters go by the endpoints of a snapshot that has the
// configuration of an older one, and its material (see SameMaterial). What did not change costs a comparison of hashes.
func (r *Registry) UpdateEndpoints(s, old *model.Snapshot) {
	before := make(map[model.ServiceID]model.Hash, len(old.Endpoints))
	for i := range old.Endpoints {
		before[old.Endpoints[i].Service] = old.EndpointsHashes[i]
	}
	for i := range s.Endpoints {
		e := s.Endpoints[i]
		hash, known := before[e.Service]
		delete(before, e.Service)
		if !known || hash != s.EndpointsHashes[i] {
			r.update(e)
		}
	}
	for id := range before {
		r.update(model.Endpoints{Service: id})
	}
	r.forgetNames()
}

func (r *Registry) update(e model.Endpoints) {
	if c := r.clusters[e.Service]; c != nil {
		c.each(func(c *Cluster) { c.update(e) })
	}
}

// forget lets go of services and names that no cluster has.
func (r *Registry) forget() {
	r.mu.Lock()
	maps.DeleteFunc(r.services, func(id model.ServiceID, _ *Service) bool { return r.clusters[id] == nil })
	r.mu.Unlock()
	r.forgetNames()
}

// forgetNames retires the names that no cluster has.
func (r *Registry) forgetNames() {
	named := map[string]bool{}
	for _, c := range r.clusters {
		for _, n := range c.set.Load().names {
			named[n.Host] = true
		}
	}
	r.retainNames(func(host string) bool { return named[host] })
}

// RenewNamed has the clusters with host names follow the addresses that those lead to.
func (r *Registry) RenewNamed() {
	for _, c := range r.clusters {
		c.each(func(c *Cluster) { c.current() })
	}
}

// close closes all clusters.
func (r *Registry) close() {
	r.Prepare(model.Freeze(model.Parts{})).Commit()
}

// cluster makes a cluster without endpoints, and others for the listeners that show
// its endpoints a certificate.
func (p *Plan) cluster(s *model.Service) *Cluster {
	if s.TLS == nil {
		return p.bare(s, nil)
	}
	own := p.secure(s, s.TLS.Certificate)
	shown := map[string]*Cluster{} // by certificate, of which many listeners have one
	for i := range p.snapshot.Config.Listeners {
		l := &p.snapshot.Config.Listeners[i]
		name := CertificateFor(s, l)
		if name == s.TLS.Certificate {
			continue
		}
		if own.others == nil {
			own.others = map[model.ListenerID]*Cluster{}
		}
		if shown[name] == nil {
			shown[name] = p.secure(s, name)
		}
		own.others[l.ID] = shown[name]
	}
	return own
}

// secure makes the cluster of a service that is reached over TLS, by showing the
// certificate of a Secret. Without all that this takes it is closed.
func (p *Plan) secure(s *model.Service, certificate string) *Cluster {
	secured, err := p.tls(s, certificate)
	if err != nil {
		c := p.bare(s, nil)
		c.Closed = err.Error()
		c.refusal = append(c.refusal, reason.New(reason.UpstreamClosed, reason.Origin{}, err.Error()))
		return c
	}
	p.material.used = append(p.material.used, secured)
	c := p.bare(s, secured)
	if s.Protocol == model.Negotiated {
		for1 := *s
		for1.Protocol = model.HTTP1
		c.tunnels = p.secure(&for1, certificate)
	}
	return c
}

func (p *Plan) tls(s *model.Service, certificate string) (*TLS, error) {
	cfg := TLSConfig{Service: s, Bundles: p.material.bundles, Sessions: p.registry.cfg.Sessions}
	if certificate != "" {
		var err error
		if cfg.Client, cfg.ClientDigest, err = p.material.certificate(certificate); err != nil {
			return nil, fmt.Errorf("service %s: Secret %s: %w", s.ID, certificate, err)
		}
	}
	return NewTLS(cfg)
}

func (m *material) certificate(name string) (*tls.Certificate, string, error) {
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

// bare makes a cluster without endpoints.
func (p *Plan) bare(s *model.Service, secured *TLS) *Cluster {
	r := p.registry
	c := &Cluster{
		Service: r.service(s.ID), Protocol: s.Protocol, Secure: secured != nil, definition: *s, registry: r,
		transport: Transport{Protocol: s.Protocol, TLS: secured, ProxyProtocol: s.ProxyProtocol},
	}
	if r.cfg.Metrics != nil {
		c.Stats = r.cfg.Metrics.Service(c.Service.Name)
	}
	c.set.Store(&endpointSet{})
	return c
}

// sameAs reports whether a service is reached by c as by another, whatever their
// endpoints are.
func (c *Cluster) sameAs(other *Cluster) bool {
	if !c.definition.Equal(other.definition) || c.Closed != other.Closed || !c.transport.sameAs(other.transport) {
		return false
	}
	if (c.tunnels == nil) != (other.tunnels == nil) || c.tunnels != nil && !c.tunnels.sameAs(other.tunnels) {
		return false
	}
	return maps.EqualFunc(c.others, other.others, (*Cluster).sameAs)
}

// sameAs reports whether connections may be shared.
func (t Transport) sameAs(other Transport) bool {
	if t.Protocol != other.Protocol || t.ProxyProtocol != other.ProxyProtocol || (t.TLS == nil) != (other.TLS == nil) {
		return false
	}
	return t.TLS == nil || t.TLS.protocol == other.TLS.protocol && t.TLS.handle == other.TLS.handle
}
