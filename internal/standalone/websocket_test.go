package standalone

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// dialWebSocket opens a WebSocket to a new echo pod.
func dialWebSocket(t *testing.T) (*echoPod, net.Conn, *bufio.Reader) {
	t.Helper()
	pod := startEcho()
	if err := pod.update(plannedPod{ports: []int32{80}}); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", address(pod.loopbackPorts()[80]))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	// The key and its response are those of RFC 6455 section 1.3.
	io.WriteString(conn, "GET /chat HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Version: 13\r\n\r\n")
	reader := bufio.NewReader(conn)
	resp, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 101 || resp.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" ||
		resp.Header.Get("Sec-WebSocket-Protocol") != "chat" {
		t.Fatalf("handshake: %s %v", resp.Status, resp.Header)
	}
	return pod, conn, reader
}

// masked returns a frame as a client sends it.
func masked(first byte, payload []byte) []byte {
	var out bytes.Buffer
	writeFrameHead(&out, first, uint64(len(payload)))
	frame := out.Bytes()
	frame[1] |= maskedBit
	mask := [4]byte{1, 2, 3, 4}
	frame = append(frame, mask[:]...)
	for i, b := range payload {
		frame = append(frame, b^mask[i%4])
	}
	return frame
}

// unmasked returns a frame as a server sends it.
func unmasked(first byte, payload []byte) []byte {
	var out bytes.Buffer
	writeFrameHead(&out, first, uint64(len(payload)))
	return append(out.Bytes(), payload...)
}

func TestWebSocketEcho(t *testing.T) {
	large := bytes.Repeat([]byte("windrose"), 10000)
	tests := []struct {
		name string
		send []byte
		want []byte
	}{
		{"text", masked(0x81, []byte("hello")), unmasked(0x81, []byte("hello"))},
		{"binary of 16-bit length", masked(0x82, large[:300]), unmasked(0x82, large[:300])},
		{"binary of 64-bit length", masked(0x82, large), unmasked(0x82, large)},
		{"fragments", append(masked(0x01, []byte("a")), masked(0x80, []byte("b"))...), append(unmasked(0x01, []byte("a")), unmasked(0x80, []byte("b"))...)},
		{"empty", masked(0x81, nil), unmasked(0x81, nil)},
		{"ping", masked(0x89, []byte("p")), unmasked(0x8A, []byte("p"))},
		{"a pong is not answered", append(masked(0x8A, []byte("x")), masked(0x81, []byte("y"))...), unmasked(0x81, []byte("y"))},
		{"close", masked(0x88, []byte{3, 232}), unmasked(0x88, []byte{3, 232})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pod, conn, reader := dialWebSocket(t)
			defer pod.stop(t.Context())
			if _, err := conn.Write(tt.send); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(tt.want))
			if _, err := io.ReadFull(reader, got); err != nil || !bytes.Equal(got, tt.want) {
				t.Errorf("got %.60q, %v, want %.60q", got, err, tt.want)
			}
		})
	}
}

func TestWebSocketRefusesBrokenFrames(t *testing.T) {
	for name, frame := range map[string][]byte{
		"not masked":         unmasked(0x81, []byte("x")),
		"large control data": masked(0x89, []byte(strings.Repeat("x", 126))),
	} {
		t.Run(name, func(t *testing.T) {
			pod, conn, reader := dialWebSocket(t)
			defer pod.stop(t.Context())
			conn.Write(frame)
			if rest, _ := io.ReadAll(reader); len(rest) != 0 {
				t.Errorf("answered %q", rest)
			}
		})
	}
}

func TestWebSocketGoesAwayWithThePod(t *testing.T) {
	pod, conn, reader := dialWebSocket(t)
	conn.Write(masked(0x81, []byte("x")))
	if _, err := io.ReadFull(reader, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	pod.stop(context.Background())
	rest, err := io.ReadAll(reader)
	want := unmasked(0x88, binary.BigEndian.AppendUint16(nil, goingAway))
	if err != nil || !bytes.Equal(rest, want) {
		t.Errorf("got %q, %v, want %q", rest, err, want)
	}
}
