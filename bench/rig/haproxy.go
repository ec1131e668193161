package rig

import (
	"context"
	"fmt"
)

// Haproxy describes a HAProxy.
type Haproxy struct {
	// Sections are the frontends and backends of its configuration.
	Sections string
	// Threads is the number of threads; 0 is one.
	Threads int
	CPUs    string
	// Listens are the addresses that must accept connections before it counts as ready.
	Listens []string
}

const haproxyConfig = `global
	nbthread %d
	maxconn 4000
defaults
	mode http
	option splice-auto
	http-reuse always
	timeout connect 5s
	timeout client 75s
	timeout server 60s
	timeout tunnel 1h
%s
`

// StartHaproxy starts a HAProxy in the foreground and waits until it listens.
func (r *Rig) StartHaproxy(ctx context.Context, h Haproxy) (*Process, error) {
	text := fmt.Sprintf(haproxyConfig, max(h.Threads, 1), h.Sections)
	config, err := r.File(r.unique("haproxy")+".cfg", []byte(text))
	if err != nil {
		return nil, err
	}
	p, err := r.Start(Spec{Name: "haproxy", CPUs: h.CPUs, Args: []string{"-db", "-f", config}})
	if err != nil {
		return nil, err
	}
	return p, p.Accepting(ctx, h.Listens...)
}

// HaproxyProxy returns the sections of a HAProxy that forwards everything: the
// configuration that Windrose is compared with.
func HaproxyProxy(to Backends, plain, secure, tcp string, cert Certificate) string {
	return fmt.Sprintf(`
frontend front
	bind %s
	bind %s ssl crt %s ssl-min-ver TLSv1.2 alpn h2,http/1.1
	use_backend calls if { path_beg /grpc }
	default_backend back
backend back
	server one %s
backend calls
	server one %s proto h2
listen tcp
	mode tcp
	bind %s
	server one %s
`, plain, secure, cert.BundleFile, to.HTTP1, to.HTTP2, tcp, to.Bulk)
}
