package proxy_test

import (
	"strings"
	"testing"

	xhttp2 "golang.org/x/net/http2"
)

// A backend that refuses every attempt has each stream given back once, and its
// connection goes on.
func TestRefusedToTheLast(t *testing.T) {
	r, _ := serveFrames(t, func(f *framer2, request *xhttp2.MetaHeadersFrame) {
		if request.PseudoValue("path") == "/refused" {
			f.WriteRSTStream(request.StreamID, xhttp2.ErrCodeRefusedStream)
			return
		}
		f.ask(request.StreamID, true, ":status", "200")
	})
	for range 3 {
		if got := r.ask(get("/")); statusOf(got) != 200 {
			t.Fatalf("%q", got)
		}
		if got := r.ask(get("/refused")); !strings.Contains(got, "outcome: upstream_reset") {
			t.Fatalf("%q", got)
		}
	}
}
