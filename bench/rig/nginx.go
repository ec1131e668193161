package rig

import (
	"context"
	"fmt"
	"path/filepath"
)

// Nginx describes an nginx.
type Nginx struct {
	// HTTP is the content of the http block: upstreams and servers.
	HTTP string
	// Workers is the number of worker processes; 0 is one.
	Workers int
	CPUs    string
	// Listens are the addresses that must accept connections before it counts as ready.
	Listens []string
}

// nginxConfig keeps all files below the rig's directory, and the workers alive as long as
// their master.
const nginxConfig = `daemon off;
user root;
worker_processes %d;
pid %[2]s/nginx.pid;
error_log stderr error;
events { worker_connections 8192; }
http {
	access_log off;
	default_type application/octet-stream;
	client_body_temp_path %[2]s/body;
	proxy_temp_path %[2]s/proxy;
	fastcgi_temp_path %[2]s/fastcgi;
	uwsgi_temp_path %[2]s/uwsgi;
	scgi_temp_path %[2]s/scgi;
%[3]s
}
`

// StartNginx starts an nginx in the foreground and waits until it listens.
func (r *Rig) StartNginx(ctx context.Context, n Nginx) (*Process, error) {
	home := filepath.Join(r.Dir, r.unique("nginx-home"))
	text := fmt.Sprintf(nginxConfig, max(n.Workers, 1), home, n.HTTP)
	config, err := r.File(filepath.Join(filepath.Base(home), "nginx.conf"), []byte(text))
	if err != nil {
		return nil, err
	}
	p, err := r.Start(Spec{Name: "nginx", CPUs: n.CPUs, Args: []string{"-p", home, "-c", config, "-e", "stderr"}})
	if err != nil {
		return nil, err
	}
	return p, p.Accepting(ctx, n.Listens...)
}

// NginxProxy returns the http block of an nginx that forwards everything: the
// configuration that Windrose is compared with. It does not relay TCP: that takes another
// module.
func NginxProxy(to Backends, plain, secure string, cert Certificate) string {
	return fmt.Sprintf(`
	keepalive_requests 1000000000;
	upstream backend {
		server %s;
		keepalive 512;
		keepalive_requests 1000000000;
	}
	upstream calls {
		server %s;
		keepalive 512;
		keepalive_requests 1000000000;
	}
	server {
		listen %s;
		listen %s ssl http2;
		ssl_certificate %s;
		ssl_certificate_key %s;
		ssl_protocols TLSv1.2 TLSv1.3;
		ssl_session_cache shared:tls:10m;
		location / {
			proxy_pass http://backend;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_set_header Host $host;
		}
		location /grpc { grpc_pass grpc://calls; }
	}`, to.HTTP1, to.HTTP2, plain, secure, cert.ChainFile, cert.KeyFile)
}

// NginxAnswer returns the http block of an nginx that always responds with the same body,
// over HTTP/1.1 and over HTTP/2. At its third address it serves a file of a directory.
func NginxAnswer(at Backends, body, dir, file string) string {
	return fmt.Sprintf(`
	keepalive_requests 1000000000;
	server {
		listen %s backlog=4096;
		location / { default_type text/plain; return 200 "%s"; }
	}
	server {
		listen %s http2 backlog=4096;
		location / { default_type application/grpc; return 200 "%s"; }
	}
	server {
		listen %s backlog=4096;
		sendfile on;
		location / { root %s; try_files /%s =404; }
	}`, at.HTTP1, body, at.HTTP2, body, at.Bulk, dir, file)
}
