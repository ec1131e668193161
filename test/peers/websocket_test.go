//go:build peers

package peers

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"windrose.dev/windrose/bench/rig"
)

// TestWebSocket uses the echo application over a WebSocket: through the gateway alone,
// with a proxy in front of it, with one behind it, and over TLS.
func TestWebSocket(t *testing.T) {
	r := newRig(t)
	g := startGateway(t, r, startEcho(t))
	t.Run("plain", func(t *testing.T) { testWebSocket(t, dial(t, g.plain)) })
	t.Run("TLS", func(t *testing.T) { testWebSocket(t, rig.NewRaw(dialTLS(t, g, nil), "shop.example.com")) })
	for _, proxy := range frontends {
		t.Run(proxy.name+" before", func(t *testing.T) {
			listen := ports(t, 1)[0]
			proxy.start(t, r, listen, g.plain)
			testWebSocket(t, dial(t, listen))
		})
		t.Run(proxy.name+" behind", func(t *testing.T) {
			listen := ports(t, 1)[0]
			proxy.start(t, r, listen, startEcho(t))
			testWebSocket(t, dial(t, startGateway(t, r, listen).plain))
		})
	}
}

const upgradeFields = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

func testWebSocket(t *testing.T, client *rig.Raw) {
	_, err := fmt.Fprintf(client.Conn, "GET /ws HTTP/1.1\r\nHost: shop.example.com\r\n%s\r\n", upgradeFields)
	ok(t, err)
	ok(t, client.Conn.SetDeadline(time.Now().Add(startTime)))
	answer := must[*http.Response](t)(http.ReadResponse(client.In(), nil))
	// The example of RFC 6455 §1.3.
	if accept := answer.Header.Get("Sec-WebSocket-Accept"); answer.StatusCode != 101 || accept != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatalf("status %d, Sec-WebSocket-Accept %q", answer.StatusCode, accept)
	}
	for _, size := range []int{1, 100, 125, 126, 5000, 65_536, 1_000_000} {
		want := pattern(size)
		written := make(chan error, 1)
		go func() { written <- writeFrame(client.Conn, want) }()
		got := readFrame(t, client.In())
		ok(t, <-written)
		sameBytes(t, fmt.Sprintf("a message of %d bytes", size), got, want)
	}
}

// writeFrame writes one binary message, masked as clients must (RFC 6455 §5.3); the mask
// is zero, so the bytes do not change.
func writeFrame(conn net.Conn, message []byte) error {
	head := []byte{0x82, 0x80 | 127}
	head = binary.BigEndian.AppendUint64(head, uint64(len(message)))
	head = append(head, 0, 0, 0, 0)
	_, err := conn.Write(append(head, message...))
	return err
}

func readFrame(t *testing.T, in io.Reader) []byte {
	t.Helper()
	read := func(n uint64) []byte {
		b := make([]byte, n)
		must[int](t)(io.ReadFull(in, b))
		return b
	}
	length := uint64(read(2)[1] & 0x7f)
	switch length {
	case 126:
		length = uint64(binary.BigEndian.Uint16(read(2)))
	case 127:
		length = binary.BigEndian.Uint64(read(8))
	}
	return read(length)
}
