package proxy_test

import (
	"strings"
	"testing"
)

// exchangeCase is one request on a connection of its own.
type exchangeCase struct {
	name    string
	options string // of the rule
	request string
	// reaches is what the backend gets, without the fields that are added to
	// every request; "" means that nothing reaches it.
	reaches string
	answer  string // what the backend answers
	// gets is what the client gets, without Date and request id.
	gets   string
	closes bool // the proxy closes the connection afterwards
}

const ok2 = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

func TestExchanges(t *testing.T) {
	for _, tc := range exchangeCases {
		t.Run(tc.name, func(t *testing.T) {
			reached := make(chan string, 8)
			r, b := serve(t, tc.options, func(p *peer) {
				for {
					m := p.message()
					switch {
					case m == "":
						return
					case strings.HasPrefix(m, "GET /again "):
						p.send(ok2)
						continue
					}
					reached <- m
					p.send(tc.answer)
					if strings.Contains(tc.name, "the backend closes") {
						return
					}
				}
			})
			c := r.dial()
			c.send(tc.request)
			got := c.answer(methodOf(tc.request))
			if plain(got) != tc.gets {
				t.Errorf("the client gets\n%q, want\n%q", plain(got), tc.gets)
			}
			if tc.closes {
				c.closed()
			} else {
				c.send(get("/again"))
				if again := c.answer("GET"); again == "" {
					t.Error("the connection did not carry another request")
				}
			}
			if tc.reaches == "" {
				if first := b.bytes(); first != "" && !strings.HasPrefix(first, "GET /again ") {
					t.Errorf("the backend got %q", first)
				}
				return
			}
			if m := plain(<-reached); m != tc.reaches {
				t.Errorf("the backend got\n%q, want\n%q", m, tc.reaches)
			}
		})
	}
}

var exchangeCases = []exchangeCase{
	{
		name:    "GET",
		request: "GET /a?b=c HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\n\r\n",
		reaches: "GET /a?b=c HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\n\r\n",
		answer:  "HTTP/1.1 200 Fine\r\nServer: x\r\nContent-Length: 2\r\n\r\nok",
		gets:    "HTTP/1.1 200 Fine\r\nServer: x\r\nContent-Length: 2\r\n\r\nok",
	},
	{
		name:    "HEAD",
		request: "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
		reaches: "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
		answer:  "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n",
		gets:    "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n",
	},
	{
		name:    "HEAD of a chunked resource",
		request: "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
		reaches: "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
		answer:  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
		gets:    "HTTP/1.1 200 OK\r\n\r\n",
	},
	{
		name:    "POST with a length",
		request: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
		reaches: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
		answer:  ok2, gets: ok2,
	},
	{
		name:    "POST with an empty body",
		request: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
		reaches: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
		answer:  ok2, gets: ok2,
	},
	{
		name:    "chunked with extensions and trailers",
		request: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3;a=b\r\nhel\r\n002\r\nlo\r\n0\r\nX-Sum: 9\r\nContent-Length: 3\r\n\r\n",
		reaches: "POST / HTTP/1.1\r\nHost: a\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 9\r\n\r\n",
		answer:  ok2, gets: ok2,
	},
	{
		name:    "chunked answer with trailers",
		request: "GET / HTTP/1.1\r\nHost: a\r\nTE: trailers, deflate\r\nConnection: TE\r\n\r\n",
		reaches: "GET / HTTP/1.1\r\nHost: a\r\nConnection: TE\r\nTE: trailers\r\n\r\n",
		answer:  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5;x\r\nhello\r\n0\r\nX-Sum: 9\r\nSet-Cookie: a=b\r\n\r\n",
		gets:    "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 9\r\n\r\n",
	},
	{
		name:    "the backend closes to end its answer",
		request: "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		reaches: "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		answer:  "HTTP/1.1 200 OK\r\n\r\nhello",
		gets:    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	},
	{
		name:    "the backend closes to end its answer to HTTP/1.0",
		request: "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
		reaches: "GET / HTTP/1.1\r\nHost: \r\n\r\n",
		answer:  "HTTP/1.1 200 OK\r\n\r\nhello",
		gets:    "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello",
		closes:  true,
	},
	{
		name:    "HTTP/1.0",
		request: "GET / HTTP/1.0\r\nHost: a\r\n\r\n",
		reaches: "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		answer:  ok2,
		gets:    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
		closes:  true,
	},
	{
		name:    "HTTP/1.0 with keep-alive",
		request: "GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n",
		reaches: "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		answer:  ok2,
		gets:    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok",
	},
	{
		name:    "HTTP/1.0 gets a chunked answer without chunks",
		request: "GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n",
		reaches: "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		answer:  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
		gets:    "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello",
		closes:  true,
	},
	{
		name:    "HTTP/1.0 gets no interim answers",
		request: "GET / HTTP/1.0\r\nHost: a\r\n\r\n",
		reaches: "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		answer:  "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok2,
		gets:    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
		closes:  true,
	},
	{
		name:    "Connection: close",
		request: "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
		reaches: "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		answer:  ok2,
		gets:    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
		closes:  true,
	},
	{
		name:    "interim answers",
		request: "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		reaches: "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		answer:  "HTTP/1.1 103 Early Hints\r\nLink: x\r\nContent-Length: 7\r\nKeep-Alive: 5\r\n\r\nHTTP/1.1 102 \r\n\r\n" + ok2,
		gets:    "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 102 \r\n\r\n" + ok2,
	},
	{
		name:    "a flood of interim answers",
		request: "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		reaches: "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		answer:  strings.Repeat("HTTP/1.1 103 \r\n\r\n", 20) + ok2,
		gets:    strings.Repeat("HTTP/1.1 103 \r\n\r\n", 16) + failed(502, "Bad Gateway", "upstream_invalid"),
	},
	{
		name:    "204",
		request: "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		reaches: "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		answer:  "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
		gets:    "HTTP/1.1 204 No Content\r\n\r\n",
	},
	{
		name:    "304",
		request: "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		reaches: "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		answer:  "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: x\r\n\r\n",
		gets:    "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: x\r\n\r\n",
	},
	{
		name:    "hop-by-hop fields of the request",
		request: "GET / HTTP/1.1\r\nHost: a\r\nConnection: x-a, keep-alive, Host, Content-Length, X-Real-IP\r\nX-A: 1\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nX-B: 2\r\nTE: gzip\r\nUpgrade: websocket\r\nContent_Length: 4\r\n\r\n",
		reaches: "GET / HTTP/1.1\r\nHost: a\r\nX-B: 2\r\n\r\n",
		answer:  ok2, gets: ok2,
	},
	{
		name:    "hop-by-hop fields of the answer",
		request: "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		reaches: "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		answer:  "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-A\r\nX-A: 1\r\nKeep-Alive: 5\r\nX-B: 2\r\nX-Envoy-Secret: 1\r\nContent-Length: 2\r\n\r\nok",
		gets:    "HTTP/1.1 200 OK\r\nX-B: 2\r\nContent-Length: 2\r\n\r\nok",
	},
	{
		name:    "absolute-form",
		request: "GET http://B.example:81/p?q HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n",
		reaches: "GET /p?q HTTP/1.1\r\nX: y\r\nHost: B.example:81\r\n\r\n",
		answer:  ok2, gets: ok2,
	},
	{
		name:    "absolute-form without a path",
		request: "GET http://b?q HTTP/1.1\r\nHost: b\r\n\r\n",
		reaches: "GET /?q HTTP/1.1\r\nHost: b\r\n\r\n",
		answer:  ok2, gets: ok2,
	},
	{
		name:    "the client's own bytes of the path",
		request: "GET /%7Ea/%2f//b%c3%a9;x=1?%zz HTTP/1.1\r\nHost: a\r\n\r\n",
		reaches: "GET /%7Ea/%2f//b%c3%a9;x=1?%zz HTTP/1.1\r\nHost: a\r\n\r\n",
		answer:  ok2, gets: ok2,
	},
	{
		name:    "dot segments are removed",
		request: "GET /a/%2e%2E/b/./c/..?x/../y HTTP/1.1\r\nHost: a\r\n\r\n",
		reaches: "GET /b/?x/../y HTTP/1.1\r\nHost: a\r\n\r\n",
		answer:  ok2, gets: ok2,
	},
	{
		name:    "rewrite with captures",
		options: `rewrite=/new/$2?k=$1 "pattern=^/old/([^/]+)/(.*)"`,
		request: "GET /old/one/two/three?q=1 HTTP/1.1\r\nHost: a\r\n\r\n",
		reaches: "GET /new/two/three?k=one&q=1 HTTP/1.1\r\nHost: a\r\n\r\n",
		answer:  ok2, gets: ok2,
	},
	{
		name:    "a rewrite that does not match",
		options: `rewrite=/new/$1 "pattern=^/old/(.*)"`,
		request: "GET /Old/one HTTP/1.1\r\nHost: a\r\n\r\n",
		reaches: "GET /Old/one HTTP/1.1\r\nHost: a\r\n\r\n",
		answer:  ok2, gets: ok2,
	},
	{
		name:    "a rewrite cannot be made to climb",
		options: `rewrite=/files/$1 "pattern=^/x/(.*)"`,
		// As nginx sees it, the path is /etc, which is not below /x/.
		request: "GET /x/%2e%2e%2fetc HTTP/1.1\r\nHost: a\r\n\r\n",
		reaches: "GET /x/%2e%2e%2fetc HTTP/1.1\r\nHost: a\r\n\r\n",
		answer:  ok2, gets: ok2,
	},
	{
		name:    "a rewrite has encoded slashes as slashes",
		options: `rewrite=/files/$1 "pattern=^/x/(.*)"`,
		request: "GET /x/y/%2e%2e%2fa%2fb%40c HTTP/1.1\r\nHost: a\r\n\r\n",
		reaches: "GET /files/a/b@c HTTP/1.1\r\nHost: a\r\n\r\n",
		answer:  ok2, gets: ok2,
	},
	{
		name:    "captures cannot make dot segments",
		options: `rewrite=/files/$1./$2 "pattern=^/x/([^/]*)/(.*)"`,
		request: "GET /x/./y/z HTTP/1.1\r\nHost: a\r\n\r\n",
		reaches: "GET /files/y./z HTTP/1.1\r\nHost: a\r\n\r\n",
		answer:  ok2, gets: ok2,
	},
	{
		name:    "captures and text that join to a dot segment",
		options: `rewrite=/files/a/.$1/secret "pattern=^/x(.*)"`,
		request: "GET /x. HTTP/1.1\r\nHost: a\r\n\r\n",
		reaches: "GET /files/secret HTTP/1.1\r\nHost: a\r\n\r\n",
		answer:  ok2, gets: ok2,
	},
	{
		name:    "a rewrite's own text cannot split the request",
		options: `"rewrite=/a b\r\nX: y$1" "pattern=^/x(.*)"`,
		request: "GET /x HTTP/1.1\r\nHost: a\r\n\r\n",
		reaches: "GET /a%20b%0D%0AX:%20y HTTP/1.1\r\nHost: a\r\n\r\n",
		answer:  ok2, gets: ok2,
	},
	{
		name:    "a body below the limit",
		options: "max-body=5",
		request: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
		reaches: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
		answer:  ok2, gets: ok2,
	},
	{
		name:    "a length above the limit",
		options: "max-body=5",
		request: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nhello!",
		gets:    failed(413, "Content Too Large", "body_too_large"),
	},
	{
		name:    "a length above the limit of which nothing has come",
		options: "max-body=5",
		request: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nExpect: 100-continue\r\n\r\n",
		gets:    closing(failed(413, "Content Too Large", "body_too_large")),
		closes:  true,
	},
	{
		name:    "chunks above the limit",
		options: "max-body=5",
		request: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello!\r\n0\r\n\r\n",
		gets:    failed(413, "Content Too Large", "body_too_large"),
	},
	{
		name:    "CONNECT",
		request: "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
		gets:    failed(501, "Not Implemented", "not_implemented\ndetail: CONNECT is not offered here (RFC 9110 §9.3.6)"),
	},
	{
		name:    "no such version",
		request: "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
		gets:    closing(failed(501, "Not Implemented", "not_implemented\ndetail: the version is not HTTP/1.0 or HTTP/1.1 (RFC 9112 §2.3)")),
		closes:  true,
	},
	{
		name:    "no such coding",
		request: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\nxxx",
		gets:    closing(failed(501, "Not Implemented", "not_implemented\ndetail: a transfer coding other than chunked (RFC 9112 §6.1)")),
		closes:  true,
	},
	{
		name:    "a long target",
		request: "GET /" + strings.Repeat("a", 9000) + " HTTP/1.1\r\nHost: a\r\n\r\n",
		gets:    closing(failed(414, "URI Too Long", "uri_too_long")),
		closes:  true,
	},
	{
		name:    "a long head",
		request: "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 33<<10) + "\r\n\r\n",
		gets:    closing(failed(431, "Request Header Fields Too Large", "headers_too_large")),
		closes:  true,
	},
	{
		name:    "many fields",
		request: "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: y\r\n", 100) + "\r\n",
		gets:    closing(failed(431, "Request Header Fields Too Large", "headers_too_large")),
		closes:  true,
	},
	{
		name:    "an invalid head",
		request: "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
		gets:    closing(failed(400, "Bad Request", "bad_request\ndetail: a field name that is not a token directly before its colon (RFC 9112 §5.1)")),
		closes:  true,
	},
	{
		name:    "an invalid path",
		request: "GET /%0 HTTP/1.1\r\nHost: a\r\n\r\n",
		gets:    closing(failed(400, "Bad Request", "bad_request\ndetail: the request target is not valid (RFC 9112 §3.2)")),
		closes:  true,
	},
	{
		name:    "an error's body is not for HEAD",
		options: "max-body=1",
		request: "HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nxx",
		gets:    head(failed(413, "Content Too Large", "body_too_large")),
	},
	{
		name:    "the backend's answer is no HTTP",
		request: get("/"), reaches: get("/"),
		answer: "220 smtp.example ESMTP\r\n\r\n",
		gets:   failed(502, "Bad Gateway", "upstream_invalid"),
	},
	{
		name:    "the backend's answer has two lengths",
		request: get("/"), reaches: get("/"),
		answer: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
		gets:   failed(502, "Bad Gateway", "upstream_invalid"),
	},
	{
		name:    "the backend's answer has a length and chunks",
		request: get("/"), reaches: get("/"),
		answer: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		gets:   failed(502, "Bad Gateway", "upstream_invalid"),
	},
	{
		name:    "the backend's answer folds a field",
		request: get("/"), reaches: get("/"),
		answer: "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
		gets:   failed(502, "Bad Gateway", "upstream_invalid"),
	},
	{
		name:    "the backend's answer hides a bare CR",
		request: get("/"), reaches: get("/"),
		answer: "HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\nContent-Length: 2\r\n\r\nok",
		gets:   failed(502, "Bad Gateway", "upstream_invalid"),
	},
	{
		name:    "the backend's answer has a huge head",
		request: get("/"), reaches: get("/"),
		answer: "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", 40<<10) + "\r\n\r\n",
		gets:   failed(502, "Bad Gateway", "upstream_invalid"),
	},
	{
		name:    "the backend closes without an answer",
		request: post("/", "x"), reaches: post("/", "x"),
		answer: "",
		gets:   failed(502, "Bad Gateway", "upstream_reset"),
	},
	{
		name:    "the backend closes in the middle of a head",
		request: post("/", "x"), reaches: post("/", "x"),
		answer: "HTTP/1.1 200 OK\r\nContent-",
		gets:   failed(502, "Bad Gateway", "upstream_reset"),
	},
	{
		name:    "the backend closes in the middle of a body",
		request: get("/"), reaches: get("/"),
		answer: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
		gets:   "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
		closes: true,
	},
	{
		name:    "the backend closes in the middle of a chunked body",
		request: get("/"), reaches: get("/"),
		answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
		gets:   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n",
		closes: true,
	},
	{
		name:    "an answer from HTTP/1.0",
		request: get("/"), reaches: get("/"),
		answer: "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
		gets:   ok2,
	},
	{
		name:    "OPTIONS *",
		request: "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
		gets:    failed(404, "Not Found", "no_route"),
	},
	{
		name:    "CORS preflight",
		options: `cors=https://*.example.com,https://one.test "cors-methods=GET, PUT" cors-headers=X-A cors-expose=X-B cors-credentials cors-max-age=5`,
		request: "OPTIONS / HTTP/1.1\r\nHost: a\r\nOrigin: https://App.example.com\r\nAccess-Control-Request-Method: PUT\r\n\r\n",
		gets: "HTTP/1.1 204 No Content\r\nAccess-Control-Allow-Methods: GET, PUT\r\nAccess-Control-Allow-Headers: X-A\r\n" +
			"Access-Control-Expose-Headers: X-B\r\nAccess-Control-Allow-Credentials: true\r\nAccess-Control-Max-Age: 5\r\n" +
			"Access-Control-Allow-Origin: https://App.example.com\r\nVary: Origin\r\n\r\n",
	},
	{
		name:    "CORS preflight of another origin",
		options: `cors=https://*.example.com`,
		request: "OPTIONS / HTTP/1.1\r\nHost: a\r\nOrigin: https://a.b.example.com\r\n\r\n",
		reaches: "OPTIONS / HTTP/1.1\r\nHost: a\r\nOrigin: https://a.b.example.com\r\n\r\n",
		answer:  ok2, gets: ok2,
	},
	{
		name:    "CORS on an answer",
		options: `cors=* cors-credentials`,
		request: "GET / HTTP/1.1\r\nHost: a\r\nOrigin: https://x\r\n\r\n",
		reaches: "GET / HTTP/1.1\r\nHost: a\r\nOrigin: https://x\r\n\r\n",
		answer:  "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nAccess-Control-Allow-Origin: https://evil\r\n\r\nok",
		gets:    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nAccess-Control-Allow-Credentials: true\r\nAccess-Control-Allow-Origin: *\r\n\r\nok",
	},
	{
		name:    "CORS on a failure",
		options: "max-body=1 cors=https://one.test",
		request: "POST / HTTP/1.1\r\nHost: a\r\nOrigin: https://one.test\r\nContent-Length: 2\r\n\r\nxx",
		gets: strings.Replace(failed(413, "Content Too Large", "body_too_large"), "\r\n\r\n",
			"\r\nAccess-Control-Allow-Origin: https://one.test\r\nVary: Origin\r\n\r\n", 1),
	},
	{
		name:    "CORS without a suffix of another name",
		options: `cors=https://*.example.com`,
		request: "GET / HTTP/1.1\r\nHost: a\r\nOrigin: https://.example.com\r\n\r\n",
		reaches: "GET / HTTP/1.1\r\nHost: a\r\nOrigin: https://.example.com\r\n\r\n",
		answer:  ok2, gets: ok2,
	},
	{
		name:    "h2c is not offered to the backend",
		request: "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n",
		reaches: "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		answer:  ok2, gets: ok2,
	},
	{
		name:    "h2c is not offered in a list either",
		request: "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket, H2C\r\n\r\n",
		reaches: "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		answer:  ok2, gets: ok2,
	},
	{
		name:    "the backend switches protocols unasked",
		request: get("/"), reaches: get("/"),
		answer: "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
		gets:   failed(502, "Bad Gateway", "upstream_invalid"),
	},
	{
		name:    "the backend switches to another protocol",
		request: "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
		reaches: "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
		answer:  "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
		gets:    failed(502, "Bad Gateway", "upstream_invalid"),
	},
	{
		name:    "the backend declines to switch",
		request: "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
		reaches: "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
		answer:  ok2, gets: ok2,
	},
	{
		name:    "bytes behind the last chunk",
		request: "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		reaches: "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		answer:  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 500 Stray\r\nContent-Length: 0\r\n\r\n",
		gets:    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
	},
}

// failed is an answer of the proxy itself, without Date and request id.
func failed(status int, phrase, outcome string) string {
	body := statusText(status) + " " + phrase + "\noutcome: " + outcome + "\n"
	whole := body + "request: 0123456789abcdef0123456789abcdef\n"
	return "HTTP/1.1 " + statusText(status) + " " + phrase + "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: " +
		numberText(len(whole)) + "\r\n\r\n" + body
}

// closing is an answer that says that the connection ends.
func closing(answer string) string {
	return strings.Replace(answer, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1)
}

// head cuts an answer's body off.
func head(answer string) string {
	before, _, _ := strings.Cut(answer, "\r\n\r\n")
	return before + "\r\n\r\n"
}
