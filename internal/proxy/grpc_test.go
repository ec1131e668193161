package proxy_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"windrose.dev/windrose/internal/proxy"
)

// grpcBackend is a server of grpc-go's own interoperability tests.
func grpcBackend(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	testgrpc.RegisterTestServiceServer(server, interop.NewTestServer())
	go server.Serve(l)
	t.Cleanup(server.Stop)
	return l.Addr().String()
}

// http2Rule is rule's Snapshot with endpoints that speak HTTP/2.
func http2Rule(options string, endpoints ...string) string {
	return strings.ReplaceAll(rule(options, endpoints...), "service s:80 round-robin", "service s:80 round-robin protocol=http2")
}

func grpcClient(t *testing.T, address string, secure *tls.Config) *grpc.ClientConn {
	t.Helper()
	creds := insecure.NewCredentials()
	if secure != nil {
		creds = credentials.NewTLS(secure)
	}
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// The interoperability tests of grpc (grpc/doc/interop-test-descriptions.md),
// through the proxy.
func TestGRPCInterop(t *testing.T) {
	r := newRig(t, nil)
	r.apply(http2Rule("", grpcBackend(t)))
	tests := map[string]func(context.Context, testgrpc.TestServiceClient){
		"empty unary":           func(ctx context.Context, c testgrpc.TestServiceClient) { interop.DoEmptyUnaryCall(ctx, c) },
		"large unary":           func(ctx context.Context, c testgrpc.TestServiceClient) { interop.DoLargeUnaryCall(ctx, c) },
		"client streaming":      func(ctx context.Context, c testgrpc.TestServiceClient) { interop.DoClientStreaming(ctx, c) },
		"server streaming":      func(ctx context.Context, c testgrpc.TestServiceClient) { interop.DoServerStreaming(ctx, c) },
		"ping pong":             func(ctx context.Context, c testgrpc.TestServiceClient) { interop.DoPingPong(ctx, c) },
		"empty stream":          func(ctx context.Context, c testgrpc.TestServiceClient) { interop.DoEmptyStream(ctx, c) },
		"timeout on sleeping":   func(ctx context.Context, c testgrpc.TestServiceClient) { interop.DoTimeoutOnSleepingServer(ctx, c) },
		"cancel after begin":    func(ctx context.Context, c testgrpc.TestServiceClient) { interop.DoCancelAfterBegin(ctx, c) },
		"cancel after response": func(ctx context.Context, c testgrpc.TestServiceClient) { interop.DoCancelAfterFirstResponse(ctx, c) },
		"custom metadata":       func(ctx context.Context, c testgrpc.TestServiceClient) { interop.DoCustomMetadata(ctx, c) },
		"status and message":    func(ctx context.Context, c testgrpc.TestServiceClient) { interop.DoStatusCodeAndMessage(ctx, c) },
		"special message":       func(ctx context.Context, c testgrpc.TestServiceClient) { interop.DoSpecialStatusMessage(ctx, c) },
	}
	client := testgrpc.NewTestServiceClient(grpcClient(t, r.addr(80), nil))
	for name, do := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			do(ctx, client)
		})
	}
}

// What the proxy itself answers is a status of gRPC.
func TestGRPCStatusOfOurOwn(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := l.Addr().String()
	l.Close()
	tests := []struct {
		name, snapshot string
		want           codes.Code
	}{
		{"no route", "listener 80 http\nhost other 80\nblock test by-specificity\nrule r prefix:/ respond=503:closed\n", codes.Unimplemented},
		{"closed", "listener 80 http\nhost * 80\nblock test by-specificity\nrule r prefix:/ respond=503:closed\n", codes.Unavailable},
		{"nobody listens", http2Rule("", gone), codes.Unavailable},
		{"no endpoint", http2Rule(""), codes.Unavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, nil)
			r.apply(tt.snapshot)
			client := testgrpc.NewTestServiceClient(grpcClient(t, r.addr(80), nil))
			_, err := client.EmptyCall(t.Context(), &testgrpc.Empty{})
			if got := status.Code(err); got != tt.want {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}

// silentGRPC accepts calls and answers none.
type silentGRPC struct {
	testgrpc.UnimplementedTestServiceServer
	began chan bool
	ended chan error
}

func (s *silentGRPC) EmptyCall(ctx context.Context, _ *testgrpc.Empty) (*testgrpc.Empty, error) {
	s.began <- true
	<-ctx.Done()
	s.ended <- ctx.Err()
	return nil, ctx.Err()
}

// The deadline of a caller ends the call at the proxy, and at the backend; so
// does a caller that cancels.
func TestGRPCDeadlineAndCancel(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	backend := &silentGRPC{began: make(chan bool, 2), ended: make(chan error, 2)}
	server := grpc.NewServer()
	testgrpc.RegisterTestServiceServer(server, backend)
	go server.Serve(l)
	t.Cleanup(server.Stop)
	r := newRig(t, nil)
	r.apply(http2Rule("", l.Addr().String()))
	client := testgrpc.NewTestServiceClient(grpcClient(t, r.addr(80), nil))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second) // time to reach the backend
	defer cancel()
	if _, err := client.EmptyCall(ctx, &testgrpc.Empty{}); status.Code(err) != codes.DeadlineExceeded {
		t.Error(err)
	}
	<-backend.began
	if err := <-backend.ended; err == nil {
		t.Error("the backend was not told")
	}
	ctx, cancel = context.WithCancel(t.Context())
	go func() {
		<-backend.began
		cancel()
	}()
	if _, err := client.EmptyCall(ctx, &testgrpc.Empty{}); status.Code(err) != codes.Canceled {
		t.Error(err)
	}
	if err := <-backend.ended; err == nil {
		t.Error("the backend was not told")
	}
}

// A stream goes on while the configuration is replaced, and while one beside it
// is not read.
func TestGRPCStreamsLiveOn(t *testing.T) {
	address := grpcBackend(t)
	r := newRig(t, nil)
	r.apply(http2Rule("", address))
	client := testgrpc.NewTestServiceClient(grpcClient(t, r.addr(80), nil))
	slow, err := client.StreamingOutputCall(t.Context(), &testgrpc.StreamingOutputCallRequest{
		ResponseParameters: []*testgrpc.ResponseParameters{{Size: 4 << 20}, {Size: 4 << 20}, {Size: 4 << 20}},
	}, grpc.MaxCallRecvMsgSize(8<<20))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := client.FullDuplexCall(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		if i%10 == 0 {
			r.apply(http2Rule("max-body="+string(rune('1'+i/10))+"000000", address))
		}
		err := stream.Send(&testgrpc.StreamingOutputCallRequest{
			ResponseParameters: []*testgrpc.ResponseParameters{{Size: int32(i * 100)}},
		})
		if err != nil {
			t.Fatal(i, err)
		}
		if got, err := stream.Recv(); err != nil || len(got.GetPayload().GetBody()) != i*100 {
			t.Fatal(i, err)
		}
	}
	stream.CloseSend()
	if _, err := stream.Recv(); err != io.EOF {
		t.Error(err)
	}
	for range 3 {
		if got, err := slow.Recv(); err != nil || len(got.GetPayload().GetBody()) != 4<<20 {
			t.Fatal(err)
		}
	}
}

// A call goes on while only the server has something to say, for longer than a
// client may otherwise be silent in the middle of a body.
func TestGRPCWatch(t *testing.T) {
	r := newRig(t, func(cfg *proxy.Config) { cfg.Limits.BodyTimeout = 300 * time.Millisecond })
	r.apply(http2Rule("", grpcBackend(t)))
	client := testgrpc.NewTestServiceClient(grpcClient(t, r.addr(80), nil))
	stream, err := client.FullDuplexCall(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const messages = 12
	ask := &testgrpc.StreamingOutputCallRequest{}
	for range messages {
		ask.ResponseParameters = append(ask.ResponseParameters, &testgrpc.ResponseParameters{Size: 1, IntervalUs: 100_000})
	}
	if err := stream.Send(ask); err != nil {
		t.Fatal(err)
	}
	for i := range messages {
		if _, err := stream.Recv(); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	if _, err := stream.Recv(); status.Code(err) == codes.OK || err == nil {
		t.Error("a call with both sides silent does not end")
	}
}

// Times that no clock can count are no bound.
func TestGRPCLongestTimeouts(t *testing.T) {
	r := newRig(t, nil)
	r.apply(http2Rule("", http2Server(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })))
	for _, value := range []string{"99999999H", "99999999M", "99999999S", "1H"} {
		req, err := http.NewRequest("POST", r.url("/"), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/grpc")
		req.Header.Set("Grpc-Timeout", value)
		resp, err := r.client2().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.Header.Get("Grpc-Status"); got != "" {
			t.Errorf("%s: status %s", value, got)
		}
	}
}
