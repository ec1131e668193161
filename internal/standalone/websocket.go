package standalone

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// The opcodes and bits of RFC 6455 section 5.2 that an echo must distinguish.
const (
	opClose = 0x8
	opPing  = 0x9
	opPong  = 0xA

	opMask      = 0x0F
	maskedBit   = 0x80
	lengthBits  = 0x7F
	goingAway   = 1001
	maxControl  = 125
	webSocketID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
)

var errProtocol = errors.New("websocket: the client broke the protocol")

func isWebSocket(r *http.Request) bool {
	return r.ProtoMajor == 1 && strings.EqualFold(r.Header.Get("Upgrade"), "websocket") && r.Header.Get("Sec-WebSocket-Key") != ""
}

// echoWebSocket accepts the handshake and echoes frames until the client closes or breaks
// the protocol, or stopping is closed.
func echoWebSocket(w http.ResponseWriter, r *http.Request, stopping <-chan struct{}) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotImplemented)
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Time{})
	if err := acceptWebSocket(buffered.Writer, r); err != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go expireOnStop(ctx, conn, stopping)
	for err == nil {
		err = echoFrame(buffered)
	}
	select {
	case <-stopping:
		conn.SetWriteDeadline(time.Now().Add(time.Second))
		writeFrameHead(buffered, 0x80|opClose, 2)
		binary.Write(buffered, binary.BigEndian, uint16(goingAway))
		buffered.Flush()
	default:
	}
}

// expireOnStop wakes a blocked read when the pod stops. It ends with ctx.
func expireOnStop(ctx context.Context, conn net.Conn, stopping <-chan struct{}) {
	select {
	case <-stopping:
		conn.SetReadDeadline(time.Now())
	case <-ctx.Done():
	}
}

func acceptWebSocket(w *bufio.Writer, r *http.Request) error {
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + webSocketID))
	w.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
	w.WriteString("Sec-WebSocket-Accept: " + base64.StdEncoding.EncodeToString(sum[:]) + "\r\n")
	if offered, _, _ := strings.Cut(r.Header.Get("Sec-WebSocket-Protocol"), ","); offered != "" {
		w.WriteString("Sec-WebSocket-Protocol: " + strings.TrimSpace(offered) + "\r\n")
	}
	w.WriteString("\r\n")
	return w.Flush()
}

// echoFrame reads one frame and replies to it. An error ends the connection; after a
// close frame it is io.EOF.
func echoFrame(rw *bufio.ReadWriter) error {
	first, length, mask, err := readFrameHead(rw)
	if err != nil {
		return err
	}
	answer, end := first, error(nil)
	switch first & opMask {
	case opPing:
		answer = first&^opMask | opPong
	case opPong: // unsolicited: needs no reply
		_, err := io.CopyN(io.Discard, rw, int64(length))
		return err
	case opClose:
		end = io.EOF
	}
	writeFrameHead(rw, answer, length)
	if err := copyUnmasked(rw, length, mask); err != nil {
		return err
	}
	return errors.Join(rw.Flush(), end)
}

func readFrameHead(r io.Reader) (first byte, length uint64, mask [4]byte, err error) {
	var head [2]byte
	if _, err = io.ReadFull(r, head[:]); err != nil {
		return
	}
	first, length = head[0], uint64(head[1]&lengthBits)
	if head[1]&maskedBit == 0 || first&opMask >= opClose && length > maxControl {
		return first, 0, mask, errProtocol
	}
	switch length {
	case 126:
		var n uint16
		err = binary.Read(r, binary.BigEndian, &n)
		length = uint64(n)
	case 127:
		err = binary.Read(r, binary.BigEndian, &length)
	}
	if err == nil {
		_, err = io.ReadFull(r, mask[:])
	}
	return
}

func writeFrameHead(w io.Writer, first byte, length uint64) {
	switch { // an error shows when the frame is flushed
	case length <= maxControl:
		w.Write([]byte{first, byte(length)})
	case length <= 0xFFFF:
		w.Write(binary.BigEndian.AppendUint16([]byte{first, 126}, uint16(length)))
	default:
		w.Write(binary.BigEndian.AppendUint64([]byte{first, 127}, length))
	}
}

// copyUnmasked copies a payload in pieces, since a frame may have any length.
func copyUnmasked(rw *bufio.ReadWriter, length uint64, mask [4]byte) error {
	var buf [4096]byte // a multiple of the mask's length
	for length > 0 {
		part := buf[:min(length, uint64(len(buf)))]
		if _, err := io.ReadFull(rw, part); err != nil {
			return err
		}
		for i := range part {
			part[i] ^= mask[i%len(mask)]
		}
		if _, err := rw.Write(part); err != nil {
			return err
		}
		length -= uint64(len(part))
	}
	return nil
}
