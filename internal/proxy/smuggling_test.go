package proxy_test

import (
	"fmt"
	"strings"
	"testing"
)

// smuggled is what an attacker wants to reach the backend as a request.
const smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

// smugglingCase is a request that could mean different things to different
// readers. It is judged by the exact bytes that reach the backend, without the
// fields that are added to every request, and by the client's answers.
type smugglingCase struct {
	name    string
	request string
	// status are those of the answers, in their order; the connection is
	// closed after the last unless it is 200.
	status  string
	reaches string // "" is nothing
}

// withFields is a request of which the framing is up to the case.
func withFields(fields, body string) string {
	return "POST / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n" + body
}

// chunkedBody is a request with the body of a case behind a proper head.
func chunkedBody(body string) string { return withFields("Transfer-Encoding: chunked\r\n", body) }

// passes is what reaches the backend of a request with a chunked body.
func passes(data string) string {
	return withFields("Transfer-Encoding: chunked\r\n", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(data), data))
}

var smugglingCases = []smugglingCase{
	// Two ways to frame at once.
	{"CL.TE", withFields("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+smuggled), "400", ""},
	{"TE.CL", withFields("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "5c\r\n"+smuggled+"\r\n0\r\n\r\n"), "400", ""},
	{"CL.0 with chunks", withFields("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), "400", ""},
	{"TE.TE, two fields", withFields("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+smuggled), "400", ""},
	{"TE.TE, chunked and identity", withFields("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"), "400", ""},
	{"TE.TE, a list", withFields("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"), "501", ""},
	{"TE identity, chunked", withFields("Transfer-Encoding: identity, chunked\r\n", "0\r\n\r\n"), "501", ""},
	{"TE chunked, identity", withFields("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"), "501", ""},
	{"TE gzip", withFields("Transfer-Encoding: gzip\r\n", "0\r\n\r\n"), "501", ""},
	{"TE xchunked", withFields("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), "501", ""},
	{"TE quoted", withFields("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"), "501", ""},
	{"TE with a parameter", withFields("Transfer-Encoding: chunked;x=y\r\n", "0\r\n\r\n"), "501", ""},
	{"TE with a trailing comma", withFields("Transfer-Encoding: chunked,\r\n", "0\r\n\r\n"), "501", ""},
	{"TE empty", withFields("Transfer-Encoding:\r\n", "0\r\n\r\n"), "501", ""},
	{"TE behind a vertical tab", withFields("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n"), "400", ""},
	{"TE before a vertical tab", withFields("Transfer-Encoding: chunked\x0b\r\n", "0\r\n\r\n"), "400", ""},
	{"TE behind a form feed", withFields("Transfer-Encoding: \x0cchunked\r\n", "0\r\n\r\n"), "400", ""},
	{"TE behind a no-break space", withFields("Transfer-Encoding: \xa0chunked\r\n", "0\r\n\r\n"), "501", ""},
	{"TE before a NUL", withFields("Transfer-Encoding: chunked\x00\r\n", "0\r\n\r\n"), "400", ""},
	{"TE between tabs", withFields("Transfer-Encoding:\t chunked \t\r\n", "3\r\nabc\r\n0\r\n\r\n"), "200", passes("abc")},
	{"TE in capitals", withFields("TRANSFER-ENCODING: CHUNKED\r\n", "3\r\nabc\r\n0\r\n\r\n"), "200", passes("abc")},
	{"TE with a space before the colon", withFields("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"), "400", ""},
	{"TE with a tab before the colon", withFields("Transfer-Encoding\t: chunked\r\n", "0\r\n\r\n"), "400", ""},
	{"TE folded", withFields("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"), "400", ""},
	{"TE folded with a tab", withFields("Transfer-Encoding: x\r\n\tchunked\r\n", "0\r\n\r\n"), "400", ""},
	{"TE folded into another field", withFields("X: y\r\n Transfer-Encoding: chunked\r\n", "0\r\n\r\n"), "400", ""},
	{"TE behind a bare LF", withFields("X: y\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), "400", ""},
	{"TE behind a bare CR", withFields("X: y\rTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), "400", ""},
	{"TE behind CR CR LF", withFields("X: y\r\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), "400", ""},
	{"TE with an underscore", withFields("Content-Length: 3\r\nTransfer_Encoding: chunked\r\n", "abc"), "200", withFields("Content-Length: 3\r\n", "abc")},
	{"TE with a prefix", withFields("Content-Length: 3\r\nX-Transfer-Encoding: chunked\r\n", "abc"), "200", withFields("Content-Length: 3\r\nX-Transfer-Encoding: chunked\r\n", "abc")},
	{"TE behind a space", withFields(" Transfer-Encoding: chunked\r\n", "0\r\n\r\n"), "400", ""},
	{"TE behind a NUL in the name", withFields("\x00Transfer-Encoding: chunked\r\n", "0\r\n\r\n"), "400", ""},
	{"TE in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, "400", ""},
	{"TE nominated away", withFields("Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"), "200", passes("abc")},

	// Lengths.
	{"CL.CL, different", withFields("Content-Length: 0\r\nContent-Length: 35\r\n", smuggled), "400", ""},
	{"CL.CL, the same", withFields("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"), "400", ""},
	{"CL as a list", withFields("Content-Length: 3, 3\r\n", "abc"), "400", ""},
	{"CL with a plus", withFields("Content-Length: +3\r\n", "abc"), "400", ""},
	{"CL negative", withFields("Content-Length: -1\r\n", "abc"), "400", ""},
	{"CL in hexadecimal", withFields("Content-Length: 0x3\r\n", "abc"), "400", ""},
	{"CL with a fraction", withFields("Content-Length: 3.0\r\n", "abc"), "400", ""},
	{"CL with an exponent", withFields("Content-Length: 3e0\r\n", "abc"), "400", ""},
	{"CL with a space inside", withFields("Content-Length: 3 7\r\n", "abc"), "400", ""},
	{"CL with an underscore inside", withFields("Content-Length: 1_0\r\n", "abc"), "400", ""},
	{"CL empty", withFields("Content-Length: \r\n", "abc"), "400", ""},
	{"CL beyond 63 bits", withFields("Content-Length: 9223372036854775808\r\n", "abc"), "400", ""},
	{"CL that wraps to a negative number", withFields("Content-Length: 9999999999999999999\r\n", "abc"), "400", ""},
	{"CL.CL, the first wraps", withFields("Content-Length: 9999999999999999999\r\nContent-Length: 5\r\n", "abcde"), "400", ""},
	{"CL.CL, the second wraps", withFields("Content-Length: 5\r\nContent-Length: 9999999999999999999\r\n", "abcde"), "400", ""},
	{"CL.CL, both wrap", withFields("Content-Length: 18446744073709551615\r\nContent-Length: 9223372036854775809\r\n", "abc"), "400", ""},
	{"CL above the largest", withFields("Content-Length: 1152921504606846977\r\n", "abc"), "400", ""},
	{"CL that overflows", withFields("Content-Length: 18446744073709551619\r\n", "abc"), "400", ""},
	{"CL in other digits", withFields("Content-Length: \xd9\xa3\r\n", "abc"), "400", ""},
	{"CL with leading zeros", withFields("Content-Length: 003\r\n", "abc"), "200", withFields("Content-Length: 003\r\n", "abc")},
	{"CL between tabs", withFields("Content-Length: \t3\t \r\n", "abc"), "200", withFields("Content-Length: \t3\t \r\n", "abc")},
	{"CL with a space before the colon", withFields("Content-Length : 3\r\n", "abc"), "400", ""},
	{"CL's twin", withFields("Content_Length: 35\r\n", smuggled), "200 200", withFields("", "") + smuggled},
	{"CL nominated away", withFields("Connection: Content-Length\r\nContent-Length: 3\r\n", "abc"), "200", withFields("Content-Length: 3\r\n", "abc")},
	{"CL of a GET", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 35\r\n\r\n" + smuggled, "200", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 35\r\n\r\n" + smuggled},
	{"a body without a length", withFields("", smuggled), "200 200", withFields("", "") + smuggled},

	// Chunks.
	{"chunk size with 0x", chunkedBody("0x3\r\nabc\r\n0\r\n\r\n"), "400", ""},
	{"chunk size with a plus", chunkedBody("+3\r\nabc\r\n0\r\n\r\n"), "400", ""},
	{"chunk size negative", chunkedBody("-1\r\nabc\r\n0\r\n\r\n"), "400", ""},
	{"chunk size with an underscore", chunkedBody("0_3\r\nabc\r\n0\r\n\r\n"), "400", ""},
	{"chunk size empty", chunkedBody("\r\nabc\r\n0\r\n\r\n"), "400", ""},
	{"chunk size behind a space", chunkedBody(" 3\r\nabc\r\n0\r\n\r\n"), "400", ""},
	{"chunk size before a space", chunkedBody("3 \r\nabc\r\n0\r\n\r\n"), "400", ""},
	{"chunk size that overflows", chunkedBody("10000000000000003\r\nabc\r\n0\r\n\r\n"), "400", ""},
	{"chunk size with many zeros", chunkedBody("00000000000000000003\r\nabc\r\n0\r\n\r\n"), "400", ""},
	{"chunk size with some zeros", chunkedBody("0003\r\nabc\r\n0000\r\n\r\n"), "200", passes("abc")},
	{"chunk size with no hexadecimal", chunkedBody("3g\r\nabc\r\n0\r\n\r\n"), "400", ""},
	{"chunk size before a NUL", chunkedBody("3\x00\r\nabc\r\n0\r\n\r\n"), "400", ""},
	{"chunk size before a bare LF", chunkedBody("3\nabc\r\n0\r\n\r\n"), "400", ""},
	{"chunk size before a bare CR", chunkedBody("3\rabc\r\n0\r\n\r\n"), "400", ""},
	{"chunk that is longer than its size", chunkedBody("3\r\nabcd\r\n0\r\n\r\n"), "400", ""},
	{"chunk before a bare LF", chunkedBody("3\r\nabc\n0\r\n\r\n"), "400", ""},
	{"chunk before a bare CR", chunkedBody("3\r\nabc\r0\r\n\r\n"), "400", ""},
	{"chunk without its end", chunkedBody("3\r\nabc0\r\n\r\n"), "400", ""},
	{"last chunk before bare LFs", chunkedBody("3\r\nabc\r\n0\n\n" + smuggled), "400", ""},
	{"chunk extension", chunkedBody("3;a=b;c=\"d\"\r\nabc\r\n0;x\r\n\r\n"), "200", passes("abc")},
	{"chunk extension behind a space", chunkedBody("3 ;a\r\nabc\r\n0\r\n\r\n"), "200", passes("abc")},
	{"chunk extension with a bare LF", chunkedBody("3;a\nabc\r\n0\r\n\r\n"), "400", ""},
	{"chunk extension with a bare CR", chunkedBody("3;a\rb\r\nabc\r\n0\r\n\r\n"), "400", ""},
	{"chunk extension with a NUL", chunkedBody("3;a\x00\r\nabc\r\n0\r\n\r\n"), "400", ""},
	{"chunk extension that is long", chunkedBody("3;" + strings.Repeat("a", 9000) + "\r\nabc\r\n0\r\n\r\n"), "400", ""},
	{"a request behind the last chunk", chunkedBody("3\r\nabc\r\n0\r\n\r\n" + smuggled), "200 200", passes("abc") + smuggled},
	{"a request in a chunk", chunkedBody("23\r\n" + smuggled + "\r\n0\r\n\r\n"), "200", passes(smuggled)},

	// Trailers.
	{
		"trailers that frame", chunkedBody("3\r\nabc\r\n0\r\nContent-Length: 35\r\nTransfer-Encoding: chunked\r\nHost: b\r\nAuthorization: x\r\nX_Real_IP: 1\r\nX-Ok: y\r\n\r\n"), "200",
		withFields("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\nX-Ok: y\r\n\r\n"),
	},
	{"trailer with a bare LF", chunkedBody("0\r\nX: y\n\r\n" + smuggled), "400", ""},
	{"trailer with a bare CR", chunkedBody("0\r\nX: y\rz\r\n\r\n"), "400", ""},
	{"trailer that is folded", chunkedBody("0\r\nX: y\r\n z\r\n\r\n"), "400", ""},
	{"trailer without a colon", chunkedBody("0\r\nX\r\n\r\n"), "400", ""},
	{"trailer with a space before its colon", chunkedBody("0\r\nX : y\r\n\r\n"), "400", ""},
	{"trailers that are many", chunkedBody("0\r\n" + strings.Repeat("X: y\r\n", 100) + "\r\n"), "400", ""},
	{"trailers that are long", chunkedBody("0\r\nX: " + strings.Repeat("y", 9000) + "\r\n\r\n"), "400", ""},

	// Lines.
	{"LF only", "GET / HTTP/1.1\nHost: a\n\n", "400", ""},
	{"LF at the end of the head", "GET / HTTP/1.1\r\nHost: a\r\n\n" + smuggled, "400", ""},
	{"CR only", "GET / HTTP/1.1\rHost: a\r\r" + strings.Repeat("x", 9000), "414", ""},
	{"an empty line before", "\r\n" + get("/"), "200", get("/")},
	{"two empty lines before", "\r\n\r\n" + get("/"), "400", ""},
	{"a bare LF before", "\n" + get("/"), "400", ""},
	{"a space before the first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", "400", ""},
	{"a NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: y\x00z\r\n\r\n", "400", ""},
	{"a NUL in a name", "GET / HTTP/1.1\r\nHost: a\r\nX\x00: y\r\n\r\n", "400", ""},
	{"a DEL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n", "400", ""},
	{"a colon only", "GET / HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n", "400", ""},
	{"a name in quotes", "GET / HTTP/1.1\r\nHost: a\r\n\"X\": y\r\n\r\n", "400", ""},
	{"a name that is not ASCII", "GET / HTTP/1.1\r\nHost: a\r\nX\xc2\xad: y\r\n\r\n", "400", ""},
	{"a request line in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: GET /smuggled HTTP/1.1\r\n\r\n", "200", "GET / HTTP/1.1\r\nHost: a\r\nX: GET /smuggled HTTP/1.1\r\n\r\n"},

	// Request lines.
	{"a space in the target", "GET /a /smuggled HTTP/1.1\r\nHost: a\r\n\r\n", "400", ""},
	{"two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "400", ""},
	{"tabs for spaces", "GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n", "400", ""},
	{"a space behind the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "400", ""},
	{"version 0.9", "GET /\r\n\r\n", "400", ""},
	{"version 1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", "501", ""},
	{"version 1.10", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", "400", ""},
	{"version in lower case", "GET / http/1.1\r\nHost: a\r\n\r\n", "400", ""},
	{"a broken preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSN\r\n\r\n", "501", ""},
	{"a method with a colon", "GET: / HTTP/1.1\r\nHost: a\r\n\r\n", "400", ""},
	{"a target without a slash", "GET smuggled HTTP/1.1\r\nHost: a\r\n\r\n", "400", ""},
	{"a target that is another scheme", "GET file:///etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", "400", ""},
	{"a target that is not ASCII", "GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", "400", ""},
	{"a target with a fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", "400", ""},
	{"an encoded NUL", "GET /a%00b HTTP/1.1\r\nHost: a\r\n\r\n", "400", ""},
	{"an escape that is none", "GET /a%zz HTTP/1.1\r\nHost: a\r\n\r\n", "400", ""},
	{"encoded line ends", "GET /a%0d%0aX:%20y HTTP/1.1\r\nHost: a\r\n\r\n", "200", "GET /a%0d%0aX:%20y HTTP/1.1\r\nHost: a\r\n\r\n"},

	// Hosts.
	{"no host", "GET / HTTP/1.1\r\n\r\n", "400", ""},
	{"an empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "400", ""},
	{"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400", ""},
	{"two equal hosts", "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", "400", ""},
	{"a list of hosts", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "400", ""},
	{"a host with a user", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", "400", ""},
	{"a host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400", ""},
	{"a host with a space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400", ""},
	{"a host with a bad port", "GET / HTTP/1.1\r\nHost: a:80b\r\n\r\n", "400", ""},
	{"a host with brackets inside", "GET / HTTP/1.1\r\nHost: a[b]\r\n\r\n", "400", ""},
	{"a host with two colons", "GET / HTTP/1.1\r\nHost: a:80:90\r\n\r\n", "400", ""},
	{"a host folded", "GET / HTTP/1.1\r\nHost:\r\n a\r\n\r\n", "400", ""},
	{"a host with a space before the colon", "GET / HTTP/1.1\r\nHost : b\r\nHost: a\r\n\r\n", "400", ""},
	{"a host nominated away", "GET / HTTP/1.1\r\nHost: a\r\nConnection: Host\r\n\r\n", "200", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{"absolute-form against Host", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", "200", "GET / HTTP/1.1\r\nHost: b\r\n\r\n"},
	{"absolute-form with a user", "GET http://a@b/ HTTP/1.1\r\nHost: b\r\n\r\n", "400", ""},
	{"absolute-form with a backslash", "GET http://a\\b/ HTTP/1.1\r\nHost: b\r\n\r\n", "400", ""},
	{"absolute-form without a host", "GET http:///a HTTP/1.1\r\nHost: b\r\n\r\n", "400", ""},
	{"absolute-form with a fragment", "GET http://b#a/ HTTP/1.1\r\nHost: b\r\n\r\n", "400", ""},
	{"authority-form", "GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", "400", ""},

	// Other protocols.
	{"an upgrade with a body", "POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\nabc", "200", withFields("Content-Length: 3\r\n", "abc")},
	{"an upgrade without Connection", "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n", "200", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{
		"an upgrade to h2c in a second field", "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n\r\n", "200",
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
	},
	{"an upgrade in HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nConnection: Upgrade, keep-alive\r\nUpgrade: websocket\r\n\r\n", "200", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{"Expect is passed on", "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", "200", "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n"},
}

func TestSmuggling(t *testing.T) {
	for _, tc := range smugglingCases {
		t.Run(tc.name, func(t *testing.T) {
			r, b := serve(t, "", always(ok2))
			c := r.dial()
			c.send(tc.request)
			for _, want := range strings.Fields(tc.status) {
				if got := c.answer("GET"); statusText(statusOf(got)) != want {
					t.Errorf("the answer is %q, want %s", got, want)
				}
			}
			if strings.HasSuffix(tc.status, "200") {
				// One more request shows that both sides agree where they are.
				c.send(get("/last"))
				if got := c.answer("GET"); got != ok2 && !strings.HasPrefix(got, "HTTP/1.1 200") {
					t.Errorf("the connection is out of step: %q", got)
				}
				tc.reaches += get("/last")
			} else {
				c.closed()
			}
			if got := plain(b.bytes()); got != tc.reaches {
				t.Errorf("the backend got\n%q, want\n%q", got, tc.reaches)
			}
		})
	}
}

// TestSmugglingInPieces sends each case byte by byte, where a parser that
// looks at whole buffers could see something else.
func TestSmugglingInPieces(t *testing.T) {
	r, b := serve(t, "", always(ok2))
	for _, tc := range smugglingCases {
		if len(tc.request) > 1000 {
			continue
		}
		c := r.dial()
		for i := range len(tc.request) {
			c.send(tc.request[i : i+1])
		}
		for _, want := range strings.Fields(tc.status) {
			if got := c.answer("GET"); statusText(statusOf(got)) != want {
				t.Errorf("%s: the answer is %q, want %s", tc.name, got, want)
			}
		}
		if !strings.HasSuffix(tc.status, "200") {
			c.closed()
		}
		c.nc.Close()
	}
	// Three cases have a request that may stand where it stands.
	if got := strings.Count(b.bytes(), "GET /smuggled HTTP/1.1\r\nHost: a\r\nX-Request-ID: "); got != 3 {
		t.Errorf("%d smuggled requests reached the backend", got)
	}
}
