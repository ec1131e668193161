package msg

import (
	"strings"
	"testing"
)

func TestClassify(t *testing.T) {
	for name, want := range map[string]FieldID{
		"Host": Host, "host": Host, "HOST": Host, "Hosts": OtherField,
		"X-Forwarded-For": XForwardedFor, "x_forwarded_for": Twin, "X-Forwarded_For": Twin,
		"X_Real_IP": Twin, "X-Envoy-Original-Path": Spoof, "x_envoy_internal": Twin,
		"X-Windrose-Identity": Spoof, "my_header": OtherField, "Content_Length": Twin,
		"Transfer-Encoding": TransferEncoding, "te": TE, "x": OtherField, "X-": OtherField,
		strings.Repeat("_", 100): OtherField,
	} {
		ok, underscore := CheckName([]byte(name))
		if got := Classify([]byte(name), underscore); !ok || got != want {
			t.Errorf("%s: got %d, want %d", name, got, want)
		}
	}
}

func TestIsValueAgreesWithTheSlowWay(t *testing.T) {
	for c := range 256 {
		for _, pad := range []int{0, 1, 7, 8, 13} {
			b := []byte(strings.Repeat("a", pad) + string([]byte{byte(c)}) + strings.Repeat("\xff", 9))
			want := c == '\t' || c >= ' ' && c != 0x7f
			if got := IsValue(b); got != want {
				t.Errorf("byte %#x after %d: got %t", c, pad, got)
			}
		}
	}
}

func TestHasToken(t *testing.T) {
	for list, want := range map[string]bool{
		"close": true, "keep-alive, Close": true, " close ,x": true, "closed": false, "": false, "a,,close": true,
	} {
		if got := HasToken([]byte(list), "close"); got != want {
			t.Errorf("%q: got %t", list, got)
		}
	}
}

func TestEditsArePatches(t *testing.T) {
	var h Head
	h.Add(XRealIP, "X-Real-IP", []byte("1.2.3.4"))
	h.Add(OtherField, "X-A", []byte("b"))
	block := NewBlock(&h)
	h.Reset()
	h.Add(Host, "Host", []byte("x"))
	h.AddBlock(block)
	if string(h.Get(XRealIP)) != "1.2.3.4" || string(h.Lookup("x-a")) != "b" || string(h.Get(Host)) != "x" {
		t.Fatalf("%q", h.Aux)
	}
	h.Set(Host, "Host", []byte("y"))
	h.DropName([]byte("x-A"))
	if string(h.Get(Host)) != "y" || h.Lookup("X-A") != nil {
		t.Fatalf("%q", h.Aux)
	}
	h.Drop(XRealIP)
	if h.Has(XRealIP) || h.Get(XRealIP) != nil {
		t.Fatal("a dropped field is still there")
	}
}
