package model

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"windrose.dev/windrose/internal/reason"
)

// sample uses everything that the model can express.
func sample() Parts {
	return Parts{
		Config: Config{
			Listeners: []Listener{
				{ID: ListenerID{Port: 80}},
				{ID: ListenerID{Gateway: "shop/edge", Port: 8080}, Address: "127.0.1.1:8080"},
				{ID: ListenerID{Port: 53, UDP: true}, Protocol: UDP},
				{ID: ListenerID{Port: 53}, Protocol: TCP, Access: sampleAccess()},
				{ID: ListenerID{Gateway: "shop/edge", Port: 6443}, Protocol: TLS},
				{ID: ListenerID{Port: 443}, Protocol: HTTPS, Names: []string{"shop.example.com", "**.example.com"}, Certificates: []Certificate{
					{"*.example.com", "shop/wild", nil},
					{"shop.example.com", "shop/tls", &TLSPolicy{TLS12, []string{"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"}}},
					{"pay.example.com", "shop/tls", &TLSPolicy{MinVersion: TLS13}},
				}},
				{
					ID: ListenerID{Gateway: "shop/edge", Port: 8443}, Protocol: HTTPS, BackendCertificate: "shop/tls",
					ClientAuth: &ClientAuth{[]string{"configmap/shop/ca", "secret/shop/ca"}, RequestCertificate},
				},
				{ID: ListenerID{Gateway: "shop/edge", Port: 8444}, Protocol: HTTPS, ClientAuth: &ClientAuth{Bundles: []string{"configmap/shop/ca"}}},
			},
			Hosts: append([]Host{
				{Name: "shop.example.com", Listeners: []ListenerID{{Port: 80}, {Port: 443}}, Blocks: []Block{{
					Dialect: "ingress", MergeSlashes: true, Rules: []Rule{
						{
							ID: "ingress/shop/web/0/0", Path: PathMatch{ExactPath, "/cart"},
							Filters: Filters{&TLSRedirect{308, 443, []string{"/.well-known/acme-challenge"}}, &BodyLimit{1 << 20}},
							Forward: &Forward{Backends: []Backend{{Service: ParseServiceID("shop/cart:80"), Weight: 1}}, ReadTimeout: 90 * time.Second},
						},
						{
							ID: "ingress/shop/web/0/1", Path: PathMatch{PrefixPath, "/"},
							Filters: Filters{
								&Compress{Encodings: []string{"br", "gzip"}, Types: []string{"text/html", "application/json"}, MinLength: 1024},
								&CORS{AllowOrigins: []string{"https://*.example.com"}, AllowMethods: "GET, PUT", Credentials: true, MaxAge: 5, Fetch: true},
							},
							Forward: &Forward{Backends: []Backend{{Service: ParseServiceID("shop/cart:80"), Weight: 9}, {Service: ParseServiceID("shop/front:http"), Weight: 1}}},
						},
					},
				}, {Dialect: "later", Order: FirstMatch, Rules: []Rule{
					{
						ID: "x", Path: PathMatch{RegexPath, "(?i)^/a b"}, Filters: Filters{&Rewrite{Pattern: `^/a b(.*)`, Target: "/$1"}},
						Respond: &Respond{
							Status: 503, Outcome: reason.Closed, Why: `annotation "auth-url" is not honoured`,
							Headers: []Header{{"retry-after", "5"}}, Body: "come again\n",
						},
					},
				}}}},
				{Name: "*", Listeners: []ListenerID{{Port: 80}}, Blocks: []Block{{Dialect: "ingress", Rules: []Rule{
					{ID: "ingress/shop/default/default", Forward: &Forward{Backends: []Backend{{Service: ParseServiceID("shop/front:http"), Weight: 1}}}},
				}}}},
			}, sampleGateway()),
			L4Routes: sampleL4Routes(),
			Services: append([]Service{{ID: ParseServiceID("shop/front:http"), Balance: LeastRequest}, {ID: ParseServiceID("shop/cart:80")}}, sampleTLS()...),
		},
		Endpoints: []Endpoints{
			{Service: ParseServiceID("shop/front:http")},
			{Service: ParseServiceID("shop/cart:80"), Endpoints: []Endpoint{
				{Addr: netip.MustParseAddrPort("[::1]:81"), Terminating: true},
				{
					Addr: netip.MustParseAddrPort("127.0.0.1:81"), Pod: "shop/cart-1", Protocols: HBONE | NativeHTTP2, Weight: 3,
					Locality: "eu/eu-1/a", Identity: "spiffe://cluster.local/ns/shop/sa/cart",
					Labels: []Label{{"version", "v1"}, {"app", "cart"}, {"note", ""}},
				},
			}, Names: []NamedEndpoint{{"www.example.com", 81}, {"api.example.com.", 81}}},
		},
		Secrets: []Secret{{Name: "shop/wild", Digest: "0a"}, {Name: "shop/tls", Digest: "0b"}},
		Bundles: []Bundle{{Name: "secret/shop/ca", Digest: "0d"}, {Name: "configmap/shop/ca", Digest: "0c"}},
		Origins: map[string]reason.Origin{"x": {Kind: "Ingress", Namespace: "shop", Name: "x", File: "a b.yaml", Line: 3, Field: "spec"}},
	}
}

// sampleTLS uses all fields of TLS to backends.
func sampleTLS() []Service {
	return []Service{
		{ID: ParseServiceID("shop/cart:80~http2"), Protocol: HTTP2},
		{ID: ParseServiceID("shop/cart:80~proxy-v1"), ProxyProtocol: ProxyV1},
		{ID: ParseServiceID("shop/pay:443~any~proxy-v2"), ProxyProtocol: ProxyV2, TLS: &UpstreamTLS{Unverified: true}},
		{ID: ParseServiceID("shop/pay:443~any"), TLS: &UpstreamTLS{Unverified: true, Certificate: "shop/tls", Policy: &TLSPolicy{Suites: []string{"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"}}}},
		{ID: ParseServiceID("shop/pay:443~tls:pay"), Protocol: Negotiated, TLS: &UpstreamTLS{
			ServerName: "pay.example.com", Names: []string{"pay.example.com", "*.pay.example.com"},
			URIs:    []string{"spiffe://example.com/ns/shop/sa/pay", "spiffe://example.com/ns/shop/sa/bank"},
			Bundles: []string{"secret/shop/ca", "configmap/shop/ca"}, SystemRoots: true, MaxChain: 3,
		}},
	}
}

// sampleGateway uses what only Gateway API needs.
func sampleGateway() Host {
	return Host{
		Name: "**.example.com", Listeners: []ListenerID{{Gateway: "shop/edge", Port: 8080}}, Fallback: true,
		Blocks: []Block{{Dialect: "gateway", Rules: []Rule{
			{
				ID: "gateway/shop/all/0/0", Path: PathMatch{PrefixPath, "/a"}, Rank: 1,
				When: &Predicate{Test: All, Of: []Predicate{
					{Test: MethodIs, Value: "GET"},
					{Test: HeaderIs, Name: "x-env", Value: "a,(b)=~\\ c"},
					{Test: Not, Of: []Predicate{{Test: QueryIs, Name: "q=", Comparison: Matches, Value: "^b"}}},
					{Test: Any, Of: []Predicate{{Test: HeaderIs, Name: "y", Comparison: Present}, {Test: CookieIs, Name: "user", Comparison: Matches, Value: "^beta-"}}},
					{Test: HeaderIs, Name: "a^b", Comparison: Starts, Value: "^c"},
					{Test: ClientIn, Value: "2001:db8::/32"},
					{Test: ServerNameIs, Comparison: Starts, Value: "shop."},
					{Test: SchemeIs, Value: "https"},
					{Test: ClaimIs, Name: "realm.roles", Value: "admin"},
				}},
				Filters: Filters{
					&Edit{
						Request:  &HeaderEdit{Remove: []string{"x-a"}, Set: []Header{{"x-b", "c: d"}}, Add: []Header{{"x-e", ""}}},
						Response: &HeaderEdit{Set: []Header{{"x-f", "g"}}},
					},
					&Edit{Request: &HeaderEdit{Remove: []string{"x-b"}}},
					&Rewrite{Host: "b.example.com", Path: &PathEdit{Prefix: "/a", With: "/b"}},
					&Mirror{ParseServiceID("shop/cart:80"), 1, 1},
					&Mirror{ParseServiceID("shop/front:http"), 10, 100},
					&Edit{Request: &HeaderEdit{Set: []Header{{"x-i", "j"}}}},
					&Authorize{*sampleAccess()},
					&Authorize{},
				},
				Forward: &Forward{
					Backends: []Backend{
						{Service: ParseServiceID("shop/cart:80"), Weight: 9, Filters: Filters{&Edit{Request: &HeaderEdit{Set: []Header{{"x-h", "i"}}}}}},
						{Weight: 1, Respond: &Respond{Status: 500, Outcome: reason.BackendInvalid, Why: "no such Service"}},
						{Service: ParseServiceID("shop/front:http"), Weight: 0, Filters: Filters{&Rewrite{Path: &PathEdit{With: "/c"}}, &Mirror{ParseServiceID("shop/cart:80"), 1, 2}}},
					},
					Timeout: 10 * time.Second, AttemptTimeout: time.Second,
					Retry:    &Retry{Attempts: 3, Codes: []int{500, 503}, Backoff: 100 * time.Millisecond},
					Affinity: &Affinity{Name: "sid", Absolute: time.Hour, Idle: time.Minute, Permanent: true, Path: "/a"},
				},
			},
			{
				ID: "gateway/shop/all/1/0", Path: PathMatch{ExactPath, "/old"},
				Redirect: &Redirect{Status: 301, Scheme: "https", Host: "new.example.com", Port: 8443, Path: &PathEdit{Prefix: "/old", With: ""}},
			},
		}}},
	}
}

// sampleAccess uses every kind of permission.
func sampleAccess() *Access {
	return &Access{
		Deny: []Permission{{ID: "netpol/shop/dns/0", When: &Predicate{Test: Not, Of: []Predicate{{Test: SourceIn, Value: "10.0.0.0/8"}}}}},
		Allow: []Permission{
			{ID: "istio/shop/dns/0", When: &Predicate{Test: Any, Of: []Predicate{
				{Test: PeerIs, Name: "namespace", Value: "shop"},
				{Test: PeerIs, Name: "uri", Comparison: Present},
				{Test: PortIs, Value: "53"},
				{Test: GatewayIs},
				{Test: WorkloadIs, Value: "shop/web-0"},
			}}},
			{ID: "istio/shop/dns/1"},
		},
	}
}

func sampleL4Routes() []L4Route {
	cart := []Backend{{Service: ParseServiceID("shop/cart:80"), Weight: 1}}
	return []L4Route{
		{ID: "gateway/shop/dns/0", Listener: ListenerID{Port: 53, UDP: true}, Backends: cart, IdleTimeout: 10 * time.Second, Access: sampleAccess()},
		{ID: "gateway/shop/zone/0", Listener: ListenerID{Port: 53}, ConnectTimeout: time.Second, Backends: []Backend{
			{Service: ParseServiceID("shop/front:http"), Weight: 3},
			{Weight: 1, Respond: &Respond{Status: 503, Outcome: reason.BackendInvalid, Why: "no such Service"}},
		}},
		{ID: "gateway/shop/raw/0", Listener: ListenerID{Port: 443}, Name: "raw.example.com", Backends: cart},
		{ID: "gateway/shop/raw/0", Listener: ListenerID{Gateway: "shop/edge", Port: 6443}, Name: "**.example.org", Terminate: true, Backends: cart},
		{ID: "gateway/shop/edge/none", Listener: ListenerID{Gateway: "shop/edge", Port: 6443}, Name: "*", Respond: &Respond{Status: 404, Outcome: reason.NoRoute, Why: ""}},
	}
}

const sampleText = `listener 53 tcp deny=netpol/shop/dns/0|not(source:10.0.0.0/8) allow=istio/shop/dns/0|any(peer:namespace=shop,peer:uri,port:53,gateway:,workload:shop/web-0) allow=istio/shop/dns/1
listener 53/udp udp
listener 80 http
listener 443 https name=**.example.com name=shop.example.com
certificate 443 *.example.com shop/wild
certificate 443 pay.example.com shop/tls tls-min=1.3
certificate 443 shop.example.com shop/tls tls-min=1.2 tls-suites=TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
listener shop/edge:6443 tls
listener shop/edge:8080 http address=127.0.1.1:8080
listener shop/edge:8443 https backend-certificate=shop/tls client-auth=request client-ca=configmap/shop/ca client-ca=secret/shop/ca
listener shop/edge:8444 https client-auth=require client-ca=configmap/shop/ca
host * 80
block ingress by-specificity
rule ingress/shop/default/default any: forward=shop/front:http
host **.example.com shop/edge:8080 fallback
block gateway by-specificity
rule gateway/shop/all/1/0 exact:/old redirect=301 redirect-scheme=https redirect-host=new.example.com redirect-port=8443 redirect-path=/old>
rule gateway/shop/all/0/0 prefix:/a "when=all(method:GET,header:x-env=a\\,\\(b\\)\\=\\~\\\\ c,not(query:q\\=~^b),any(header:y,cookie:user~^beta-),header:a\\^b^=^c,client:2001:db8::/32,sni:^=shop.,scheme:https,claim:realm.roles=admin)" rank=1 forward timeout=10s attempt-timeout=1s retry=3 retry-codes=500,503 backoff=100ms affinity=cookie:sid affinity-absolute=1h0m0s affinity-idle=1m0s affinity-permanent affinity-path=/a request-remove=x-a "request-set=x-b:c: d" request-add=x-e: response-set=x-f:g edit request-remove=x-b rewrite= rewrite-path=/a>/b rewrite-host=b.example.com mirror=shop/cart:80*1/1 mirror=shop/front:http*10/100 request-set=x-i:j authorize deny=netpol/shop/dns/0|not(source:10.0.0.0/8) allow=istio/shop/dns/0|any(peer:namespace=shop,peer:uri,port:53,gateway:,workload:shop/web-0) allow=istio/shop/dns/1 authorize
backend shop/cart:80 9 request-set=x-h:i
backend none 1 respond=500:backend_invalid "why=no such Service"
backend shop/front:http 0 rewrite= rewrite-path=/c mirror=shop/cart:80*1/2
host shop.example.com 80,443
block ingress by-specificity merge-slashes
rule ingress/shop/web/0/0 exact:/cart forward=shop/cart:80 read=1m30s tls-redirect=308:443 plain=/.well-known/acme-challenge max-body=1048576
rule ingress/shop/web/0/1 prefix:/ forward=shop/cart:80*9,shop/front:http*1 compress=br,gzip compress-types=text/html,application/json compress-min=1024 cors=https://*.example.com "cors-methods=GET, PUT" cors-credentials cors-max-age=5 cors-fetch
block later first-match
rule x "regex:(?i)^/a b" respond=503:closed "why=annotation \"auth-url\" is not honoured" respond-header=retry-after:5 "respond-body=come again\n" rewrite=/$1 "pattern=^/a b(.*)"
l4-route gateway/shop/zone/0 53 forward connect=1s
backend shop/front:http 3
backend none 1 respond=503:backend_invalid "why=no such Service"
l4-route gateway/shop/dns/0 53/udp forward=shop/cart:80 idle=10s deny=netpol/shop/dns/0|not(source:10.0.0.0/8) allow=istio/shop/dns/0|any(peer:namespace=shop,peer:uri,port:53,gateway:,workload:shop/web-0) allow=istio/shop/dns/1
l4-route gateway/shop/raw/0 443 name=raw.example.com forward=shop/cart:80
l4-route gateway/shop/edge/none shop/edge:6443 name=* respond=404:no_route
l4-route gateway/shop/raw/0 shop/edge:6443 name=**.example.org terminate forward=shop/cart:80
service shop/cart:80 round-robin
service shop/cart:80~http2 round-robin protocol=http2
service shop/cart:80~proxy-v1 round-robin send-proxy=v1
service shop/front:http least-request
service shop/pay:443~any round-robin tls unverified certificate=shop/tls tls-suites=TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
service shop/pay:443~any~proxy-v2 round-robin send-proxy=v2 tls unverified
service shop/pay:443~tls:pay round-robin protocol=negotiated tls server-name=pay.example.com name=*.pay.example.com name=pay.example.com uri=spiffe://example.com/ns/shop/sa/bank uri=spiffe://example.com/ns/shop/sa/pay ca=configmap/shop/ca ca=secret/shop/ca system-roots max-chain=3
endpoint shop/cart:80 dns:api.example.com.:81
endpoint shop/cart:80 dns:www.example.com:81
endpoint shop/cart:80 127.0.0.1:81 pod=shop/cart-1 protocols=hbone,native-http2 weight=3 locality=eu/eu-1/a identity=spiffe://cluster.local/ns/shop/sa/cart label=app=cart label=note= label=version=v1
endpoint shop/cart:80 [::1]:81 terminating
endpoint shop/front:http none
secret shop/tls 0b
secret shop/wild 0a
bundle configmap/shop/ca 0c
bundle secret/shop/ca 0d
`

func TestTextForm(t *testing.T) {
	s := Freeze(sample())
	if diff := cmp.Diff(sampleText, Format(s)); diff != "" {
		t.Fatalf("-want +got:\n%s", diff)
	}
	back, err := Parse(Format(s) + FormatOrigins(s))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s, back, cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(Snapshot{}), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Fatalf("-written +read:\n%s", diff)
	}
}

func TestWireForm(t *testing.T) {
	s := Freeze(sample())
	data, err := Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	back, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if back.Root != s.Root || Format(back) != Format(s) {
		t.Fatalf("decoded to another snapshot:\n%s", Format(back))
	}
	for _, cut := range []int{1, 4, len(data) / 2, len(data) - 1} {
		if _, err := Decode(data[:cut]); err == nil {
			t.Errorf("a form cut at %d of %d bytes was accepted", cut, len(data))
		}
	}
}

// changes are edits to the sample; some make it invalid.
var changes = map[string]func(*Parts){
	"nothing":             func(*Parts) {},
	"a rule":              func(p *Parts) { p.Config.Hosts[0].Blocks[0].Rules[0].Filters = Filters{&BodyLimit{1}} },
	"an L4 route":         func(p *Parts) { p.Config.L4Routes[0].IdleTimeout = 0 },
	"an L4 route twice":   func(p *Parts) { p.Config.L4Routes = append(p.Config.L4Routes, p.Config.L4Routes[0]) },
	"another host":        func(p *Parts) { p.Config.Hosts = p.Config.Hosts[:1] },
	"an endpoint":         func(p *Parts) { p.Endpoints[1].Endpoints[0].Terminating = false },
	"a service too few":   func(p *Parts) { p.Config.Services = p.Config.Services[:1]; p.Endpoints = nil },
	"a listener too few":  func(p *Parts) { p.Config.Listeners = p.Config.Listeners[:1] },
	"a rule's id, twice":  func(p *Parts) { p.Config.Hosts[1].Blocks[0].Rules[0].ID = "x" },
	"an unsound new rule": func(p *Parts) { p.Config.Hosts[1].Blocks[0].Rules[0].Forward = nil },
	"all new":             func(p *Parts) { *p = Parts{} },
	"a secret":            func(p *Parts) { p.Secrets[0].Key = []byte("another") },
	"a secret too few":    func(p *Parts) { p.Secrets = p.Secrets[1:] },
	"a bundle":            func(p *Parts) { p.Bundles[0].PEM = []byte("another") },
	"origins":             func(p *Parts) { p.Origins["x"] = reason.Origin{Line: 7}; delete(p.Origins, "ingress/shop/web/0/0") },
	"no endpoints":        func(p *Parts) { p.Endpoints = p.Endpoints[:1] },
	"a bad endpoint":      func(p *Parts) { p.Endpoints[1].Endpoints[0].Addr = netip.AddrPort{} },
	"unknown service":     func(p *Parts) { p.Endpoints[1].Service = ParseServiceID("no/such:1") },
}

// TestDecodeOver checks that sharing with an older Snapshot changes neither what is
// decoded nor what is refused.
func TestDecodeOver(t *testing.T) {
	encoded := func(change func(*Parts)) []byte {
		parts := sample()
		change(&parts)
		data, err := Encode(Freeze(parts))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	base, err := Decode(encoded(func(*Parts) {}))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range changes {
		data := encoded(change)
		alone, errAlone := Decode(data)
		over, errOver := DecodeOver(data, base)
		if (errAlone == nil) != (errOver == nil) {
			t.Errorf("%s: alone %v, over a base %v", name, errAlone, errOver)
		}
		if errAlone == nil && errOver == nil && (alone.Root != over.Root || Format(alone) != Format(over)) {
			t.Errorf("%s: decoded to another snapshot:\n%s", name, Format(over))
		}
	}
	over, err := DecodeOver(encoded(func(p *Parts) { p.Config.Hosts[0].Name = "other.example.com" }), base)
	if err != nil {
		t.Fatal(err)
	}
	if &over.Config.Hosts[0].Blocks[0] != &base.Config.Hosts[0].Blocks[0] {
		t.Error("a host that did not change was decoded anew")
	}
}

func TestWireRefusesWhatItDoesNotKnow(t *testing.T) {
	good := func() envelope {
		e, err := Freeze(sample()).envelope(nil)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	type newerEnvelope struct {
		envelope
		Extra int `cbor:"99,keyasint"`
	}
	type newerListener struct {
		Listener
		Extra int `cbor:"99,keyasint"`
	}
	type newerHost struct {
		Host
		Extra int `cbor:"99,keyasint"`
	}
	change := func(do func(e *envelope)) envelope { e := good(); do(&e); return e }
	for name, v := range map[string]any{
		"unknown field":         newerEnvelope{good(), 1},
		"unknown field of host": change(func(e *envelope) { e.Hosts[0] = encode(newerHost{sample().Config.Hosts[1], 1}) }),
		"unknown field of listener": change(func(e *envelope) {
			e.Listeners[0] = encode(newerListener{Freeze(sample()).Config.Listeners[0], 1})
		}),
		"unknown path kind": change(func(e *envelope) {
			e.Hosts[0] = encode(Host{Name: "*", Blocks: []Block{{Dialect: "ingress", Rules: []Rule{
				{ID: "a", Path: PathMatch{Kind: 9}, Respond: &Respond{Status: 503}}, {ID: "b", Respond: &Respond{Status: 503}},
			}}}})
		}),
		"newer schema":  change(func(e *envelope) { e.Schema++ }),
		"another order": change(func(e *envelope) { slices.Reverse(e.Hosts) }),
		"lost service":  change(func(e *envelope) { e.Services = e.Services[:1] }),
	} {
		if _, err := Decode(slices.Concat(wireMagic, encode(v))); !errors.Is(err, ErrWire) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Decode(slices.Concat(wireMagic, encode(good()))); err != nil {
		t.Errorf("what the cases start from is refused: %v", err)
	}
}

func TestHashIgnoresOrderAndOrigins(t *testing.T) {
	want := Freeze(sample())
	for seed := range uint64(20) {
		p := sample()
		r := rand.New(rand.NewPCG(seed, 1))
		shuffle(r, p.Config.Hosts)
		shuffle(r, p.Config.Listeners)
		shuffle(r, p.Config.Services)
		shuffle(r, p.Config.L4Routes)
		shuffle(r, p.Endpoints)
		shuffle(r, p.Secrets)
		shuffle(r, p.Bundles)
		for _, s := range p.Config.Services {
			if s.TLS != nil {
				shuffle(r, s.TLS.Names)
				shuffle(r, s.TLS.Bundles)
			}
		}
		for _, h := range p.Config.Hosts {
			shuffle(r, h.Blocks[0].Rules)
		}
		p.Origins = nil
		if got := Freeze(p); got.Root != want.Root {
			t.Fatalf("seed %d: another hash", seed)
		}
	}
}

func shuffle[T any](r *rand.Rand, s []T) {
	r.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] })
}

func TestNilAndEmptyAreOne(t *testing.T) {
	empty := Freeze(Parts{Config: Config{Listeners: []Listener{}, Services: []Service{}}, Secrets: []Secret{}})
	if empty.Root != Freeze(Parts{}).Root {
		t.Error("nil and empty lists have different hashes")
	}
}

func TestHashesTellWhatChanged(t *testing.T) {
	base := Freeze(sample())
	p := sample()
	p.Endpoints[1].Endpoints = p.Endpoints[1].Endpoints[:1]
	endpoints := Freeze(p)
	if endpoints.ConfigHash != base.ConfigHash || endpoints.EndpointsHash == base.EndpointsHash || endpoints.Root == base.Root {
		t.Error("an endpoint that went must change the endpoints' hash and the root, not the configuration's")
	}
	p = sample()
	p.Secrets[0].Digest = "0c"
	secrets := Freeze(p)
	if secrets.ConfigHash != base.ConfigHash || secrets.SecretsHash == base.SecretsHash {
		t.Error("a changed secret must change the secrets' hash alone")
	}
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	p := sample()
	p.Secrets[0].Key = []byte("VERY-PRIVATE")
	p.Secrets[0].Chain = []byte("CHAIN")
	s := Freeze(p)
	if strings.Contains(Format(s)+FormatOrigins(s), "PRIVATE") {
		t.Error("the text form holds a key")
	}
	if i := slices.IndexFunc(s.Secrets, func(x Secret) bool { return x.Name == "shop/wild" }); len(s.Secrets[i].Digest) != 64 {
		t.Errorf("digest %q", s.Secrets[i].Digest)
	}
}

func TestParseErrorsNameTheLine(t *testing.T) {
	for text, want := range map[string]string{
		"listener 80 http\nlistener x http\n": `line 2: "x" is not a port`,
		"rule a any: forward=b\n":             "line 1: no block above this rule",
		"host a 80\n":                         "host a: no listener 80",
		"bogus\n":                             `line 1: unknown word "bogus"`,
		"listener 80\n":                       "line 1: listener needs 1 more words",
		"host a\nblock i first-match\nrule r any: why=x\n":              "line 3: why: what it belongs to",
		"host a\nblock i by-specificity\nrule r regex:( respond=503:ok": "missing closing )",
	} {
		_, err := Parse(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sampleText)
	f.Add(FormatOrigins(Freeze(sample())))
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		out := Format(s) + FormatOrigins(s)
		back, err := Parse(out)
		if err != nil {
			t.Fatalf("what was written does not parse: %v\n%s", err, out)
		}
		if back.Root != s.Root || Format(back)+FormatOrigins(back) != out {
			t.Fatalf("written and read back to another snapshot:\n%s\n%s", out, Format(back))
		}
	})
}

func FuzzDecode(f *testing.F) {
	data, err := Encode(Freeze(sample()))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	base, err := Decode(data)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Decode(data)
		over, errOver := DecodeOver(data, base)
		if (err == nil) != (errOver == nil) || err == nil && (over.Root != s.Root || Format(over) != Format(s)) {
			t.Fatalf("alone %v, over a base %v, or another snapshot", err, errOver)
		}
		if err != nil {
			return
		}
		if older, _, err := s.For(OldestSchema); err != nil || Validate(&older.Parts) != nil || older.within(OldestSchema) != nil {
			t.Fatalf("for an older program: %v", err)
		}
		again, err := Encode(s)
		if err != nil {
			return // another encoding than ours can be read, but is not written again
		}
		if back, err := Decode(again); err != nil || back.Root != s.Root {
			t.Fatalf("encoded and decoded to another snapshot: %v", err)
		}
	})
}

// TestFilterKindsAreDistinct: no two kinds share a name, a number in the wire form, or a
// word in the text form.
func TestFilterKindsAreDistinct(t *testing.T) {
	names, keys, words := map[string]bool{}, map[uint64]bool{}, map[string]string{}
	for _, k := range FilterKinds() {
		if names[k.Name] || keys[k.Key] || k.Key == 0 || k.Level < 1 || k.Level > Schema {
			t.Errorf("kind %s: number %d, level %d", k.Name, k.Key, k.Level)
		}
		names[k.Name], keys[k.Key] = true, true
		for word := range k.options {
			if words[word] != "" || ruleOptions[word] != nil {
				t.Errorf("%s is a word of %s and of others", word, k.Name)
			}
			words[word] = k.Name
		}
		if k.starts != "" && k.options[k.starts] == nil {
			t.Errorf("kind %s does not know the word that it starts with", k.Name)
		}
	}
}

// TestUnknownFiltersAreRefused: a proxy never serves a rule without a filter that it does
// not know.
func TestUnknownFiltersAreRefused(t *testing.T) {
	for _, pairs := range [][][2]any{
		{{uint64(99), map[int]int{}}},
		{{uint64(1), map[int]int{1: 308, 9: 1}}},
		{{redirectKind.Key, map[int]int{1: 302}}},
		{{"tls-redirect", map[int]int{}}},
	} {
		data, err := wireCodec.enc.Marshal(pairs)
		if err != nil {
			t.Fatal(err)
		}
		var f Filters
		if err := wireCodec.dec.Unmarshal(data, &f); err == nil {
			t.Errorf("%v was read as %v", pairs, f)
		}
	}
}
