package model

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// forOldest is a Snapshot of schema 3, and the result of For(2).
const forOldest = `
listener 80 http
listener 443 https allow=a|source:10.0.0.0/8
listener 5432 tcp
host a.example 80,443
block ingress by-specificity
rule kept prefix:/kept forward=shop/cart:80
rule raw starts:/ra+w forward=shop/cart:80
rule cookie prefix:/ when=all(method:GET,cookie:a=b) forward=shop/cart:80
rule compress prefix:/zip compress=gzip forward=shop/cart:80
rule authorize prefix:/private authorize deny=p/1|header:x=y forward=shop/cart:80
host tls.example 443
block ingress by-specificity
rule tls prefix:/ forward=shop/cart:80
l4-route db 5432 forward=shop/db:5432 deny=p/2
service shop/cart:80 round-robin
service shop/db:5432 round-robin
endpoint shop/cart:80 10.0.0.1:80 pod=shop/cart-0 protocols=hbone weight=3 locality=eu/eu-1/a identity=spiffe://x/ns/shop/sa/cart label=app=cart
`

const forOldestWant = `
listener 80 http
listener 5432 tcp
host a.example 80
block ingress by-specificity
rule raw regex:^/ra\+w respond=503:closed "why=it says more than the proxy understands: that needs schema 3, and the proxy speaks 2"
rule authorize prefix:/private respond=503:closed "why=it says more than the proxy understands: that needs schema 3, and the proxy speaks 2"
rule kept prefix:/kept forward=shop/cart:80
rule compress prefix:/zip forward=shop/cart:80 compress=gzip
rule cookie prefix:/ when=all(method:GET,all()) respond=503:closed "why=it says more than the proxy understands: that needs schema 3, and the proxy speaks 2"
l4-route db 5432 respond=503:closed "why=it asks who may connect: that needs schema 3, and the proxy speaks 2"
service shop/cart:80 round-robin
service shop/db:5432 round-robin
endpoint shop/cart:80 10.0.0.1:80 pod=shop/cart-0
`

func TestForOlderPrograms(t *testing.T) {
	s, err := Parse(forOldest)
	if err != nil {
		t.Fatal(err)
	}
	older, reports, err := s.For(2)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.TrimSpace(forOldestWant), strings.TrimSpace(Format(older))); diff != "" {
		t.Error("(-want +got):\n", diff)
	}
	var told []string
	for _, r := range reports {
		name, _, _ := strings.Cut(r.Message, ":")
		told = append(told, name)
	}
	if diff := cmp.Diff([]string{"authorize", "cookie", "db", "listener 443", "raw"}, told); diff != "" {
		t.Error("reports (-want +got):\n", diff)
	}
	if Format(s) == Format(older) || s.schema() != Schema {
		t.Error("the Snapshot itself has changed")
	}
}

func TestOlderWireForms(t *testing.T) {
	s, err := Parse(forOldest)
	if err != nil {
		t.Fatal(err)
	}
	older, _, err := s.For(OldestSchema)
	if err != nil {
		t.Fatal(err)
	}
	data, err := Encode(older)
	if err != nil {
		t.Fatal(err)
	}
	back, err := Decode(data)
	if err != nil || back.Root != older.Root || back.schema() != OldestSchema {
		t.Fatalf("%v", err)
	}
	over, err := DecodeOver(data, s)
	if err != nil || over.Root != older.Root {
		t.Errorf("over the Snapshot that it was made of: %v", err)
	}
	// The same bytes under another schema number, with more than that schema has.
	whole, err := Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	at := len(wireMagic) + 2 // after the head of the map and the key 1
	if whole[at] != Schema {
		t.Fatalf("the schema is not at %d", at)
	}
	forged := bytes.Clone(whole)
	forged[at] = OldestSchema
	if _, err := Decode(forged); !errors.Is(err, ErrWire) || !strings.Contains(err.Error(), "needs schema 3") {
		t.Errorf("a form of an older schema that has more: %v", err)
	}
	for _, schema := range []byte{OldestSchema - 1, Schema + 1} {
		forged[at] = schema
		if _, err := Decode(forged); !errors.Is(err, ErrWire) {
			t.Errorf("schema %d: %v", schema, err)
		}
	}
	for _, level := range []int{OldestSchema - 1, Schema + 1} {
		if _, _, err := s.For(level); err == nil {
			t.Errorf("level %d", level)
		}
	}
}

// TestLevels: everything that a Snapshot can express has a schema level that can be
// written.
func TestLevels(t *testing.T) {
	levels := map[string]int{"access": accessLevel, "endpoint": endpointLevel}
	for _, k := range FilterKinds() {
		levels["filter "+k.Name] = k.Level
	}
	for _, k := range testKinds {
		levels["test "+k.name] = k.level
	}
	for _, c := range comparisons {
		levels["comparison "+c.sign] = c.level
	}
	for kind, name := range pathNames {
		levels["path "+name] = pathLevels[kind]
	}
	for what, level := range levels {
		if level < OldestSchema || level > Schema {
			t.Errorf("%s: level %d", what, level)
		}
	}
}
