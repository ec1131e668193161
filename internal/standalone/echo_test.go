package standalone

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func testEcho() Echo {
	return Echo{Identity: func() Identity { return Identity{Namespace: "shop", Pod: "web-1", Service: "web"} }}
}

// TestEchoDatagrams: each datagram comes back, and a port of both TCP and UDP has one
// number, whichever was added first.
func TestEchoDatagrams(t *testing.T) {
	p := startEcho()
	defer p.stop(t.Context())
	for _, pod := range []plannedPod{{udp: []int32{54}}, {ports: []int32{53, 54}, udp: []int32{53, 54, 55}}} {
		if err := p.update(pod); err != nil {
			t.Fatal(err)
		}
	}
	for _, port := range []int32{53, 54, 55} {
		conn, err := net.Dial("udp", address(p.ports[port]))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		buf := make([]byte, 100)
		for _, text := range []string{"hello", ""} {
			conn.Write([]byte(text))
			if n, err := conn.Read(buf); err != nil || string(buf[:n]) != text {
				t.Errorf("%d: %q %v", port, buf[:n], err)
			}
		}
		if !isBound(p.ports[port]) {
			t.Errorf("%d: not seen to be open", port)
		}
	}
	for port, want := range map[int32]bool{53: true, 54: true, 55: false} {
		nc, err := net.Dial("tcp", address(p.ports[port]))
		if err == nil {
			nc.Close()
		}
		if (err == nil) != want {
			t.Errorf("TCP port %d: %v", port, err)
		}
	}
}

func TestEchoAnswer(t *testing.T) {
	r := httptest.NewRequest("POST", "http://shop.example/a%2Fb/../c?q=1&q=2", strings.NewReader("body"))
	r.Header.Add("X-A", "1")
	r.Header.Add("X-A", "2")
	w := httptest.NewRecorder()
	testEcho().ServeHTTP(w, r)

	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"path": "http://shop.example/a%2Fb/../c?q=1&q=2", // httptest sends the absolute form
		"host": "shop.example", "method": "POST", "proto": "HTTP/1.1",
		"headers":   map[string]any{"X-A": []any{"1", "2"}},
		"namespace": "shop", "pod": "web-1", "service": "web",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if rest, _ := io.ReadAll(r.Body); len(rest) != 0 {
		t.Errorf("the body was not drained: %q", rest)
	}
}

func TestEchoParameters(t *testing.T) {
	tests := []struct {
		query  string
		status int
		bytes  int // 0 means JSON
	}{
		{"", 200, 0},
		{"status=404", 404, 0},
		{"status=599&bytes=7", 599, 7},
		{"status=100", 200, 0},
		{"status=600", 200, 0},
		{"status=open", 200, 0},
		{"bytes=100000", 200, 100000},
		{"bytes=-1", 200, 0},
		{"bytes=many", 200, 0},
		{"delay=soon", 200, 0},
		{"delay=-1s", 200, 0},
		{"delay=1ms", 200, 0},
	}
	for _, tt := range tests {
		w := httptest.NewRecorder()
		testEcho().ServeHTTP(w, httptest.NewRequest("GET", "/?"+tt.query, nil))
		isJSON := json.Valid(w.Body.Bytes())
		if w.Code != tt.status || isJSON != (tt.bytes == 0) || !isJSON && w.Body.Len() != tt.bytes {
			t.Errorf("%s: status %d, JSON %t, %d bytes", tt.query, w.Code, isJSON, w.Body.Len())
		}
	}
}

func TestEchoDelayIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		testEcho().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/?delay=10h", nil))
		if waited := time.Since(start); waited != maxEchoDelay {
			t.Errorf("waited %s", waited)
		}
	})
}

func TestEchoBytesAreBounded(t *testing.T) {
	if n, ok := bytesOf("99999999999999"); !ok || n != maxEchoBytes {
		t.Errorf("%d, %t", n, ok)
	}
}

func TestEchoSpeaksHTTP2WithoutTLS(t *testing.T) {
	pod := startEcho()
	defer pod.stop(t.Context())
	if err := pod.update(plannedPod{ports: []int32{80}}); err != nil {
		t.Fatal(err)
	}
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &protocols}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get("http://" + address(pod.loopbackPorts()[80]))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer Answer
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Proto != "HTTP/2.0" {
		t.Errorf("proto %q, %v", answer.Proto, err)
	}
}
