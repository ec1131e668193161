package proxy_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/upstream"
)

const service = "/grpc.testing.TestService/"

// webClient speaks gRPC-Web as a browser's library does
// (grpc/doc/PROTOCOL-WEB.md).
type webClient struct {
	t         *testing.T
	base      string
	transport http.RoundTripper
	text      bool
}

func newWebClient(t *testing.T, r *rig, version int, text bool) *webClient {
	t.Helper()
	transport := &http.Transport{}
	if version == 2 {
		transport.Protocols = new(http.Protocols)
		transport.Protocols.SetUnencryptedHTTP2(true)
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &webClient{t: t, base: "http://" + r.addr(80), transport: transport, text: text}
}

// Alt-Svc sends browsers to HTTP/3, where calls are calls, too.
func TestGRPCWebOverHTTP3(t *testing.T) {
	parts := tlsRule(t, grpcBackend(t), map[string]keyPair{"*": newKeyPair(t, "x")}).Parts
	parts.Config.Services[0].Protocol = model.HTTP2
	r := newRig3(t, nil)
	r.applySnapshot(model.Freeze(parts))
	for _, text := range []bool{false, true} {
		c := &webClient{t: t, base: "https://a.example", transport: r.client3(nil), text: text}
		frames := c.frames(c.call(service+"EmptyCall", &testgrpc.Empty{}))
		frames.message(&testgrpc.Empty{})
		if got := frames.trailers(); !strings.Contains(got, "grpc-status: 0\r\n") {
			t.Errorf("trailers %q", got)
		}
	}
}

// eachWeb runs a test for both versions of HTTP and both variants.
func eachWeb(t *testing.T, r *rig, do func(*testing.T, *webClient)) {
	for _, version := range []int{1, 2} {
		for name, text := range map[string]bool{"binary": false, "text": true} {
			t.Run(fmt.Sprintf("HTTP %d, %s", version, name), func(t *testing.T) { do(t, newWebClient(t, r, version, text)) })
		}
	}
}

func (c *webClient) contentType() string {
	if c.text {
		return "application/grpc-web-text+proto"
	}
	return "application/grpc-web+proto"
}

// frameOf is a message with its frame.
func frameOf(t *testing.T, message any) []byte {
	t.Helper()
	data, err := encoding.GetCodecV2("proto").Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	body := data.Materialize()
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body))), body...)
}

// body is the frame as the variant has it, and comes a byte at a time: text has
// padding within it.
func (c *webClient) body(frame []byte) io.Reader {
	if c.text {
		text := base64.StdEncoding.EncodeToString(frame[:1]) + base64.StdEncoding.EncodeToString(frame[1:])
		return slowly{strings.NewReader(text)}
	}
	return slowly{bytes.NewReader(frame)}
}

// slowly gives few bytes at a time.
type slowly struct{ io.Reader }

func (s slowly) Read(p []byte) (int, error) { return s.Reader.Read(p[:min(len(p), 3)]) }

func (c *webClient) call(method string, message any, fields ...string) *http.Response {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), "POST", c.base+method, c.body(frameOf(c.t, message)))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", c.contentType())
	req.Header.Set("X-Grpc-Web", "1")
	for _, field := range fields {
		name, value, _ := strings.Cut(field, ": ")
		req.Header.Set(name, value)
	}
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { resp.Body.Close() })
	if got := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || got != c.contentType() {
		c.t.Fatalf("status %d, type %s", resp.StatusCode, got)
	}
	return resp
}

// frames reads an answer frame by frame.
type frames struct {
	t    *testing.T
	from io.Reader
}

func (c *webClient) frames(resp *http.Response) *frames {
	if c.text {
		return &frames{c.t, &paddedText{from: resp.Body}}
	}
	return &frames{c.t, resp.Body}
}

// paddedText decodes base64 with padding anywhere, a group at a time.
type paddedText struct {
	from io.Reader
	rest []byte
}

func (p *paddedText) Read(out []byte) (int, error) {
	if len(p.rest) == 0 {
		var group [4]byte
		if _, err := io.ReadFull(p.from, group[:]); err != nil {
			return 0, err
		}
		var err error
		if p.rest, err = base64.StdEncoding.DecodeString(string(group[:])); err != nil {
			return 0, err
		}
	}
	n := copy(out, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// next returns a frame's flag and message.
func (f *frames) next() (flag byte, message []byte) {
	f.t.Helper()
	var head [5]byte
	if _, err := io.ReadFull(f.from, head[:]); err != nil {
		f.t.Fatal(err)
	}
	message = make([]byte, binary.BigEndian.Uint32(head[1:]))
	if _, err := io.ReadFull(f.from, message); err != nil {
		f.t.Fatal(err)
	}
	return head[0], message
}

func (f *frames) message(into any) {
	f.t.Helper()
	flag, data := f.next()
	if flag != 0 {
		f.t.Fatalf("flag %#x, %q", flag, data)
	}
	if err := encoding.GetCodecV2("proto").Unmarshal(mem.BufferSlice{mem.SliceBuffer(data)}, into); err != nil {
		f.t.Fatal(err)
	}
}

// trailers reads the last frame, behind which is nothing.
func (f *frames) trailers() string {
	f.t.Helper()
	flag, lines := f.next()
	rest, err := io.ReadAll(f.from)
	if flag != 0x80 || err != nil || len(rest) > 0 {
		f.t.Errorf("flag %#x, then %q, %v", flag, rest, err)
	}
	return string(lines)
}

func TestGRPCWebUnary(t *testing.T) {
	r := newRig(t, nil)
	r.apply(http2Rule("", grpcBackend(t)))
	eachWeb(t, r, func(t *testing.T, c *webClient) {
		for _, size := range []int32{0, 1, 2, 3, 70_000, 1 << 20} {
			resp := c.call(service+"UnaryCall", &testgrpc.SimpleRequest{
				ResponseSize: size, Payload: &testgrpc.Payload{Body: make([]byte, 1000)},
			}, "x-grpc-test-echo-initial: one", "x-grpc-test-echo-trailing-bin: AAE=")
			f := c.frames(resp)
			var answer testgrpc.SimpleResponse
			f.message(&answer)
			if len(answer.GetPayload().GetBody()) != int(size) || resp.Header.Get("x-grpc-test-echo-initial") != "one" {
				t.Errorf("%d bytes, %v", len(answer.GetPayload().GetBody()), resp.Header)
			}
			got := f.trailers()
			for _, want := range []string{"grpc-status: 0\r\n", "x-grpc-test-echo-trailing-bin: AAE"} {
				if !strings.Contains(got, want) {
					t.Errorf("no %q in %q", want, got)
				}
			}
		}
	})
}

// webService streams what it is told to, and fails as it is told to.
type webService struct {
	testgrpc.UnimplementedTestServiceServer
	next chan int // bytes of the next message, or below 0 to end
	seen chan metadata.MD
}

func (s *webService) StreamingOutputCall(_ *testgrpc.StreamingOutputCallRequest, stream testgrpc.TestService_StreamingOutputCallServer) error {
	md, _ := metadata.FromIncomingContext(stream.Context())
	s.seen <- md
	if err := stream.SendHeader(nil); err != nil {
		return err
	}
	for n := range s.next {
		if n < 0 {
			break
		}
		if err := stream.Send(&testgrpc.StreamingOutputCallResponse{Payload: &testgrpc.Payload{Body: make([]byte, n)}}); err != nil {
			return err
		}
	}
	return status.Error(codes.ResourceExhausted, "that was all: 100 %")
}

func (s *webService) EmptyCall(ctx context.Context, _ *testgrpc.Empty) (*testgrpc.Empty, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func newWebService(t *testing.T) (*webService, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &webService{next: make(chan int), seen: make(chan metadata.MD, 1)}
	server := grpc.NewServer()
	testgrpc.RegisterTestServiceServer(server, s)
	go server.Serve(l)
	t.Cleanup(server.Stop)
	return s, l.Addr().String()
}

// Each message is there before the next is sent, and a status behind messages is
// in the last frame. The backend sees a call of gRPC.
func TestGRPCWebStreams(t *testing.T) {
	s, address := newWebService(t)
	r := newRig(t, nil)
	r.apply(http2Rule("", address))
	eachWeb(t, r, func(t *testing.T, c *webClient) {
		f := c.frames(c.call(service+"StreamingOutputCall", &testgrpc.StreamingOutputCallRequest{}))
		if got := (<-s.seen).Get("content-type"); len(got) != 1 || got[0] != "application/grpc+proto" {
			t.Errorf("the backend got %q", got)
		}
		for i := range 7 {
			s.next <- i
			var message testgrpc.StreamingOutputCallResponse
			if f.message(&message); len(message.GetPayload().GetBody()) != i {
				t.Errorf("message %d has %d bytes", i, len(message.GetPayload().GetBody()))
			}
		}
		s.next <- -1
		if got := f.trailers(); got != "grpc-status: 8\r\ngrpc-message: that was all: 100 %25\r\n" {
			t.Errorf("%q", got)
		}
	})
}

// A status without a message stands in the head, as in gRPC, and the connection
// goes on.
func TestGRPCWebTrailersOnly(t *testing.T) {
	r := newRig(t, nil)
	r.apply(http2Rule("", grpcBackend(t)))
	eachWeb(t, r, func(t *testing.T, c *webClient) {
		for range 2 {
			resp := c.call(service+"UnaryCall", &testgrpc.SimpleRequest{ResponseStatus: &testgrpc.EchoStatus{Code: 5, Message: "no such thing"}})
			body, err := io.ReadAll(resp.Body)
			if err != nil || len(body) > 0 || resp.Header.Get("grpc-status") != "5" || resp.Header.Get("grpc-message") != "no such thing" {
				t.Errorf("%v %q %v", resp.Header, body, err)
			}
			resp.Body.Close()
		}
	})
}

// http2Server serves HTTP/2 without TLS, and no gRPC.
func http2Server(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// What the proxy itself answers is a status of gRPC in the head.
func TestGRPCWebOfOurOwn(t *testing.T) {
	// A server of gRPC would end a call whose time is over itself.
	silent := http2Server(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := l.Addr().String()
	l.Close()
	tests := []struct {
		name, snapshot, want, message string
		fields                        []string
	}{
		{"no route", "listener 80 http\nhost other 80\nblock test by-specificity\nrule r prefix:/ respond=503:closed\n", "12", "windrose: no_route", nil},
		{"closed", "listener 80 http\nhost * 80\nblock test by-specificity\nrule r prefix:/ respond=503:closed\n", "14", "windrose: closed", nil},
		{"nobody listens", http2Rule("", gone), "14", "windrose: connect_failed", nil},
		{"nobody listens for HTTP/1", rule("", gone), "14", "windrose: connect_failed", nil},
		{"the rule's timeout", http2Rule("timeout=30ms", silent), "4", "windrose: upstream_timeout", nil},
		{"the caller's", http2Rule("", silent), "4", "windrose: upstream_timeout", []string{"grpc-timeout: 30m"}},
		{"too large", http2Rule("max-body=3", silent), "8", "windrose: body_too_large", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, nil)
			r.apply(tt.snapshot)
			eachWeb(t, r, func(t *testing.T, c *webClient) {
				resp := c.call(service+"EmptyCall", &testgrpc.Empty{}, tt.fields...)
				body, err := io.ReadAll(resp.Body)
				if err != nil || len(body) > 0 || resp.Header.Get("grpc-status") != tt.want || resp.Header.Get("grpc-message") != tt.message {
					t.Errorf("%v %q %v", resp.Header, body, err)
				}
			})
		})
	}
}

// Text that is none is refused, whenever it comes.
func TestGRPCWebBadText(t *testing.T) {
	_, address := newWebService(t)
	r := newRig(t, nil)
	r.apply(http2Rule("", address))
	for _, body := range []string{"AAAA!AAA", "AAAAAA", "AAAA\r\nAA"} {
		got := r.ask(strings.Replace(post(service+"EmptyCall", body), "Host", "Content-Type: application/grpc-web-text\r\nHost", 1))
		if statusOf(got) != 200 || fieldOf(got, "grpc-status") != "13" || fieldOf(got, "Content-Length") != "0" {
			t.Errorf("%q: %q", body, got)
		}
		c := r.dial()
		c.send("POST " + service + "EmptyCall HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc-web-text\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nAAAA\r\n")
		endpoint := r.proxy.Registry().Pool(netip.MustParseAddrPort(address), upstream.Transport{Protocol: model.HTTP2})
		eventually(t, "the call is at the backend", func() bool { return endpoint.Active.Load() == 1 })
		c.send(fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body))
		if got := c.answer("POST"); fieldOf(got, "grpc-status") != "13" {
			t.Errorf("%q later: %q", body, got)
		}
	}
}

// A backend that does not speak HTTP/2 gets the call as it is, and so does the
// client the answer.
func TestGRPCWebPassesUntouched(t *testing.T) {
	const answer = "HTTP/1.1 200 OK\r\nContent-Type: application/grpc-web-text\r\nContent-Length: 4\r\n\r\nAAAA"
	r, b := serve(t, "", always(answer))
	request := strings.Replace(post("/a/b", "AA=="), "Host", "Content-Type: application/grpc-web-text\r\nHost", 1)
	if got := r.ask(request); plain(got) != answer {
		t.Errorf("%q", got)
	}
	if got := plain(b.bytes()); got != request {
		t.Errorf("the backend got %q", got)
	}
}

// An answer that is not of gRPC goes to the client as it is: its library knows
// what to make of the status.
func TestGRPCWebAnswerOfAnother(t *testing.T) {
	address := http2Server(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusForbidden) })
	r := newRig(t, nil)
	r.apply(http2Rule("", address))
	got := r.ask(strings.Replace(post("/a/b", "AAAA"), "Host", "Content-Type: application/grpc-web-text\r\nHost", 1))
	if statusOf(got) != 403 || !strings.HasSuffix(got, "\r\n\r\nno\n") {
		t.Errorf("%q", got)
	}
}
