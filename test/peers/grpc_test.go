//go:build peers

package peers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"windrose.dev/windrose/bench/rig"
	"windrose.dev/windrose/internal/model"
)

// startGRPC serves the service of grpc's own interoperability tests.
func startGRPC(t *testing.T) string {
	t.Helper()
	l := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	server := grpc.NewServer()
	testgrpc.RegisterTestServiceServer(server, interop.NewTestServer())
	go server.Serve(l)
	t.Cleanup(server.Stop)
	return l.Addr().String()
}

// startNginxGRPC starts an nginx that speaks HTTP/2 on both sides, and returns its
// address. target is a URL for grpc_pass.
func startNginxGRPC(t *testing.T, r *rig.Rig, target string) string {
	t.Helper()
	listen := ports(t, 1)[0]
	startNginx(t, r, fmt.Sprintf(`
	server {
		listen %s http2;
		client_max_body_size 0;
		location / {
			grpc_pass %s;
			grpc_set_header Host shop.example.com;
			grpc_ssl_name shop.example.com;
			grpc_ssl_server_name on;
		}
	}`, listen, target), listen)
	return listen
}

// TestGRPCAndNginx makes calls through the gateway and an nginx, in both orders.
func TestGRPCAndNginx(t *testing.T) {
	r := newRig(t)
	server := startGRPC(t)
	behind := startGatewayTo(t, r, model.HTTP2, startNginxGRPC(t, r, "grpc://"+server))
	before := startGatewayTo(t, r, model.HTTP2, server)
	for name, address := range map[string]string{
		"nginx behind":         behind.plain,
		"nginx before":         startNginxGRPC(t, r, "grpc://"+before.plain),
		"nginx before, by TLS": startNginxGRPC(t, r, "grpcs://"+before.secure),
	} {
		t.Run(name, func(t *testing.T) {
			conn := must[*grpc.ClientConn](t)(grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials())))
			t.Cleanup(func() { conn.Close() })
			client := testgrpc.NewTestServiceClient(conn)
			t.Run("unary", func(t *testing.T) { testUnary(t, client) })
			t.Run("streaming", func(t *testing.T) { testStreaming(t, client) })
			t.Run("status", func(t *testing.T) { testStatus(t, client) })
		})
	}
	for _, g := range []*gateway{behind, before} {
		if n := metric(t, g.admin, "windrose_requests_total", `class="5xx"`); n > 0 {
			t.Errorf("%g calls were answered with 5xx", n)
		}
	}
}

// The metadata that the server echoes in the head and in the trailers of its response.
const initialKey, trailingKey = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"

func withMetadata(t *testing.T) context.Context {
	return metadata.AppendToOutgoingContext(soon(t), initialKey, "first", trailingKey, "\x00\xff last")
}

func checkMetadata(t *testing.T, header, trailer metadata.MD) {
	t.Helper()
	for want, got := range map[string][]string{"first": header[initialKey], "\x00\xff last": trailer[trailingKey]} {
		if len(got) != 1 || got[0] != want {
			t.Errorf("%q, and not %q", got, want)
		}
	}
}

func testUnary(t *testing.T, client testgrpc.TestServiceClient) {
	var header, trailer metadata.MD
	for _, size := range []int{0, 1, 100_000, 1_000_000} {
		answer := must[*testgrpc.SimpleResponse](t)(client.UnaryCall(withMetadata(t), &testgrpc.SimpleRequest{
			ResponseSize: int32(size), Payload: &testgrpc.Payload{Body: pattern(size)},
		}, grpc.Header(&header), grpc.Trailer(&trailer)))
		if n := len(answer.GetPayload().GetBody()); n != size {
			t.Errorf("%d bytes, and not %d", n, size)
		}
		checkMetadata(t, header, trailer)
	}
}

// testStreaming waits for the reply to each message before it sends the next.
func testStreaming(t *testing.T, client testgrpc.TestServiceClient) {
	stream := must[testgrpc.TestService_FullDuplexCallClient](t)(client.FullDuplexCall(withMetadata(t)))
	for _, size := range []int{1, 30_000, 5, 200_000, 9} {
		ok(t, stream.Send(&testgrpc.StreamingOutputCallRequest{
			ResponseParameters: []*testgrpc.ResponseParameters{{Size: int32(size)}}, Payload: &testgrpc.Payload{Body: pattern(size)},
		}))
		answer := must[*testgrpc.StreamingOutputCallResponse](t)(stream.Recv())
		if n := len(answer.GetPayload().GetBody()); n != size {
			t.Errorf("%d bytes, and not %d", n, size)
		}
	}
	ok(t, stream.CloseSend())
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("at its end: %v", err)
	}
	checkMetadata(t, must[metadata.MD](t)(stream.Header()), stream.Trailer())
}

// testStatus: the status is in the trailers, or in the head of a response without a body.
func testStatus(t *testing.T, client testgrpc.TestServiceClient) {
	const said = "no \u2603 today"
	_, err := client.UnaryCall(soon(t), &testgrpc.SimpleRequest{
		ResponseStatus: &testgrpc.EchoStatus{Code: int32(codes.ResourceExhausted), Message: said},
	})
	if got := status.Convert(err); got.Code() != codes.ResourceExhausted || got.Message() != said {
		t.Errorf("%v", err)
	}
	if _, err := client.UnimplementedCall(soon(t), &testgrpc.Empty{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("%v", err)
	}
}
