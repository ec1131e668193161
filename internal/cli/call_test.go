package cli

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCallCommand(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Host", r.Host)
		if r.Method == "POST" {
			w.WriteHeader(201)
		}
		w.Write([]byte(`{"pod":"web-1"}`))
	}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		args []string
		want []string // parts of the output
		err  string
	}{
		{"one", []string{server.URL}, []string{"HTTP/1.1 200 OK\n\n{\"pod\":\"web-1\"}\n", "status 200"}, ""},
		{"headers", []string{"-i", "-H", "Host: shop.example", server.URL}, []string{"X-Host: shop.example\n"}, ""},
		{"json", []string{"-n", "3", "-c", "2", "-o", "json", server.URL}, []string{`{"requests":3,"byStatus":{"200":3},"byPod":{"web-1":3},"errors":0,"latencyMs":{"p50":`}, ""},
		{"a file", []string{"-d", "@" + file, server.URL}, []string{"201 Created"}, ""},
		{"standard input", []string{"-d", "@-", server.URL}, []string{"201 Created"}, ""},
		{"resolve", []string{"--resolve", "shop.example:80:" + server.Listener.Addr().String(), "-i", "http://shop.example/"}, []string{"X-Host: shop.example\n"}, ""},
		{"refused", []string{"-n", "2", "-o", "json", "http://127.0.0.1:1/"}, []string{`"errors":2,"byError":{"connection refused":2}`}, "2 of 2 requests got no answer"},
		{"no such format", []string{"-o", "yaml", server.URL}, nil, "-o yaml"},
		{"no such file", []string{"-d", "@/no/such", server.URL}, nil, "-d: "},
		{"bad header", []string{"-H", "x", server.URL}, nil, "-H \"x\""},
		{"bad resolve", []string{"--resolve", "x", server.URL}, nil, "--resolve: "},
		{"no certificate", []string{"--cacert", file, server.URL}, nil, "no certificate in PEM"},
		{"no requests", []string{"-n", "0", server.URL}, nil, "-n and -c"},
		{"no URL", nil, nil, "accepts 1 arg"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			cmd := callCommand()
			cmd.SetArgs(tt.args)
			cmd.SetOut(&out)
			cmd.SetErr(&strings.Builder{})
			cmd.SetIn(strings.NewReader("body"))
			err := cmd.ExecuteContext(t.Context())
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("error %v, want %q", err, tt.err)
			}
			for _, part := range tt.want {
				if !strings.Contains(out.String(), part) {
					t.Errorf("output lacks %q:\n%s", part, out.String())
				}
			}
		})
	}
}
