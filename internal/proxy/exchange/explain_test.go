package exchange_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/filter"
	"windrose.dev/windrose/internal/proxy/sock"
	"windrose.dev/windrose/internal/proxy/upstream"
)

const explainText = `listener 80 http
listener infra/edge:8080 http
host shop.example.com 80
block gateway by-specificity
rule redirect exact:/old redirect=301 redirect-path=/new
rule canary prefix:/ when=header:x-env=canary forward=shop/next:80
rule main prefix:/ rank=1 forward timeout=2s retry=2 retry-codes=503
backend shop/main:80 3
backend none 1 respond=500:backend_invalid "why=there is no Service shop/gone"
host * infra/edge:8080
block gateway by-specificity
rule edge prefix:/ respond=503:closed why=guarded
service shop/main:80 round-robin
service shop/next:80 least-request
endpoint shop/main:80 127.0.0.1:1 pod=shop/main-1
endpoint shop/main:80 127.0.0.1:2 pod=shop/main-2 terminating
endpoint shop/next:80 none
origin main kind=HTTPRoute namespace=shop name=main file=a.yaml line=7 field=spec.rules[0]
origin canary kind=HTTPRoute namespace=shop name=canary file=b.yaml line=3
`

func explained(t *testing.T, q exchange.Question) *exchange.Explanation {
	t.Helper()
	s, err := model.Parse(explainText)
	if err != nil {
		t.Fatal(err)
	}
	c := exchange.Compiler{Filters: filter.Table(), Registry: upstream.NewRegistry(upstream.Config{Shards: 1, Clock: sock.NewClock()}), Metrics: observe.NewMetrics(1)}
	g, _, err := c.Compile(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	e, err := exchange.Explain(g, q)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestExplain: an explanation names the winner, why each other rule lost, and
// where the request goes.
func TestExplain(t *testing.T) {
	e := explained(t, exchange.Question{URL: "http://Shop.example.com:80/a/../b?q"})
	if !e.Matched() || e.Rule.ID != "main" || e.Rule.At != "a.yaml:7" || e.Path != "/b" || e.Host != "shop.example.com" {
		t.Errorf("%+v %+v", e, e.Rule)
	}
	want := []exchange.Lost{
		{"redirect", "", "path", "exact:/old", "/b"},
		{"canary", "b.yaml:3", "header", "header:x-env=canary", ""},
	}
	if diff := cmp.Diff(want, e.Hosts[0].Blocks[0].Lost); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if e.Answer == nil && len(e.Forward.Backends) != 2 {
		t.Fatalf("%+v", e.Forward)
	}
	main := e.Forward.Backends[0]
	if main.Share != 75 || main.Balance != "round-robin" || len(main.Endpoints) != 2 || main.Endpoints[0].Out != "" || main.Endpoints[1].Out == "" {
		t.Errorf("%+v", main)
	}
	if gone := e.Forward.Backends[1]; gone.Answer == nil || gone.Answer.Status != 500 || gone.Share != 25 {
		t.Errorf("%+v", gone)
	}
	if limits := strings.Join(e.Forward.Limits, "; "); !strings.Contains(limits, "whole exchange within 2s") || !strings.Contains(limits, "repeated up to 2 times") {
		t.Errorf("%s", limits)
	}
}

func TestExplainAnswers(t *testing.T) {
	for name, test := range map[string]struct {
		q    exchange.Question
		want exchange.ExplainedAnswer
	}{
		"redirect":        {exchange.Question{URL: "http://shop.example.com/old"}, exchange.ExplainedAnswer{301, "redirected", "", "http://shop.example.com/new"}},
		"unknown host":    {exchange.Question{URL: "http://blog.example.com/"}, exchange.ExplainedAnswer{404, "no_route", "", ""}},
		"a Gateway's own": {exchange.Question{URL: "http://x:8080/", Gateway: "infra/edge"}, exchange.ExplainedAnswer{503, "closed", "guarded", ""}},
		"published port":  {exchange.Question{URL: "http://shop.example.com:8080/old"}, exchange.ExplainedAnswer{301, "redirected", "", "http://shop.example.com/new"}},
		"refused method":  {exchange.Question{Method: "TRACE", URL: "http://shop.example.com/"}, exchange.ExplainedAnswer{405, "method_refused", "TRACE would show the fields that were added on the way", ""}},
	} {
		e := explained(t, test.q)
		if e.Answer == nil || *e.Answer != test.want {
			t.Errorf("%s: %+v", name, e.Answer)
		}
	}
}

// TestExplainRefusesWhatIsNoRequest: a question cannot be two requests.
func TestExplainRefusesWhatIsNoRequest(t *testing.T) {
	s, _ := model.Parse(explainText)
	c := exchange.Compiler{Filters: filter.Table(), Registry: upstream.NewRegistry(upstream.Config{Shards: 1, Clock: sock.NewClock()}), Metrics: observe.NewMetrics(1)}
	g, _, _ := c.Compile(s, nil)
	for _, q := range []exchange.Question{
		{URL: "shop"},
		{URL: "ftp://shop/"},
		{URL: "https://shop/"},
		{Method: "GET / HTTP/1.1\r\n", URL: "http://a/"},
		{URL: "http://a/", Headers: []model.Header{{Name: "x", Value: "y\r\n\r\nGET / HTTP/1.1"}}},
	} {
		if e, err := exchange.Explain(g, q); err == nil {
			t.Errorf("%+v: %+v", q, e)
		}
	}
}
