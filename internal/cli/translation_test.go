package cli

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const compressible = `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: a, namespace: shop}
spec: {defaultBackend: {service: {name: api, port: {number: 80}}}}
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec: {ports: [{port: 80}]}
`

const zoned = compressible + `
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: api-1, namespace: shop, labels: {kubernetes.io/service-name: api}}
addressType: IPv4
ports: [{port: 80}]
endpoints: [{addresses: [10.1.0.1], zone: eu-1a}]
`

func TestSchemaFlag(t *testing.T) {
	file := filepath.Join(t.TempDir(), "in.yaml")
	if err := os.WriteFile(file, []byte(zoned), 0o600); err != nil {
		t.Fatal(err)
	}
	for flags, want := range map[string]string{
		"":                     "endpoint shop/api:80 10.1.0.1:80 locality=/eu-1a\n",
		"--schema 2":           "endpoint shop/api:80 10.1.0.1:80\n",
		"--schema 1":           "schema 1 is not among 2 to 3",
		"--schema 2 --to wire": "\xd9\xd9\xf7\xa6\x01\x02",
	} {
		var out strings.Builder
		root := Root("")
		root.SetOut(&out)
		root.SetErr(io.Discard)
		root.SetArgs(append([]string{"translate", "-f", file}, strings.Fields(flags)...))
		if err := root.Execute(); err != nil {
			out.WriteString(err.Error())
		}
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s: %q\nwant %q", flags, out.String(), want)
		}
	}
}

func TestCompressFlags(t *testing.T) {
	file := filepath.Join(t.TempDir(), "in.yaml")
	if err := os.WriteFile(file, []byte(compressible), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ flags, want string }{
		{"", "max-body=1048576\n"},
		{"--compress on", "compress=zstd,br,gzip max-body=1048576\n"},
		{"--compress=off --compress-min-length=9", "max-body=1048576\n"},
		{"--compress br,gzip --compress-types text/css,text/html --compress-min-length 1000", "compress=br,gzip compress-types=text/css,text/html compress-min=1000 max-body=1048576\n"},
		{"--compress gzip --compress-types *", "compress=gzip compress-types=* max-body=1048576\n"},
		{"--compress deflate", `write "on"`},
		{"--compress-types html", `"html" is no media type`},
		{"--compress-types text/html,*", `"*" is no media type`},
		{"--compress-min-length 0", "no number of bytes from 1"},
		{"--compress-min-length 1k", "no number of bytes from 1"},
	}
	for _, tt := range tests {
		var out strings.Builder
		root := Root("")
		root.SetOut(&out)
		root.SetErr(io.Discard)
		root.SetArgs(append([]string{"translate", "-f", file}, strings.Fields(tt.flags)...))
		if err := root.Execute(); err != nil {
			out.WriteString(err.Error())
		}
		if !strings.Contains(out.String(), tt.want) {
			t.Errorf("%s: %s\nwant %q", tt.flags, out.String(), tt.want)
		}
	}
}
