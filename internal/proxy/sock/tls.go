package sock

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"reflect"
	"syscall"
	"unsafe"
)

// WrapTLS starts a TLS session over the connection, as the server. The session first
// reads what is in In. The caller runs the handshake.
func (c *Conn) WrapTLS(config *tls.Config) *tls.Conn {
	return c.wrap(func(lower net.Conn) *tls.Conn { return tls.Server(lower, config) }, maxHandshake)
}

// WrapTLSClient is like WrapTLS, as the client.
func (c *Conn) WrapTLSClient(config *tls.Config) *tls.Conn {
	return c.wrap(func(lower net.Conn) *tls.Conn { return tls.Client(lower, config) }, maxServerHandshake)
}

func (c *Conn) wrap(over func(net.Conn) *tls.Conn, most int) *tls.Conn {
	c.lower = &lower{Conn: c.base, left: most}
	if c.In != nil {
		c.lower.early = bytes.Clone(c.In.Bytes())
		c.ReleaseIn()
	}
	session := over(c.lower)
	if c.raw != nil {
		c.records = recordsOf(session)
		c.gatherRaw = c.gatherStep
	}
	c.net, c.plain = session, false
	return session
}

// lower is the connection below a TLS session.
type lower struct {
	net.Conn
	// hurried makes reads return without waiting, so that the session uses only what it
	// has buffered.
	hurried bool
	// left is the number of bytes that may still be read; -1 is no limit.
	left int
	// early holds what was read before the session started. It is read first.
	early []byte
}

// maxHandshake bounds the bytes that a client may send before its handshake is done,
// since the session buffers all of them; maxServerHandshake bounds those of a server. A
// ClientHello has about 2,000 bytes, and a certificate chain a few thousand.
const (
	maxHandshake       = 32 << 10
	maxServerHandshake = 128 << 10
)

var errHandshakeTooLong = errors.New("the peer sent more than a handshake needs")

// EndHandshake removes the bound on what the peer may send in its handshake.
func (c *Conn) EndHandshake() { c.lower.left = -1 }

func (l *lower) Read(p []byte) (int, error) {
	if len(l.early) > 0 {
		n := copy(p, l.early)
		l.early = l.early[n:]
		return n, nil
	}
	if l.hurried {
		return 0, os.ErrDeadlineExceeded // a temporary error, so the session can continue
	}
	if l.left < 0 {
		return l.Conn.Read(p)
	}
	if l.left == 0 {
		return 0, errHandshakeTooLong
	}
	n, err := l.Conn.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}

// records are the buffers of a TLS session: raw holds what was read from the socket,
// and input what is left of the record that was decrypted last.
//
// crypto/tls allocates whenever it reads from its connection, and its caller must hold
// a buffer while it waits. We avoid both: we read the record into raw before we call
// Read, so that the session finds all it needs. For that we access unexported fields,
// which we look up by name and type. If a Go release does not have them, we read the
// session in the ordinary way, and a test fails.
type records struct {
	raw   *bytes.Buffer
	input *bytes.Reader
}

func recordsOf(session *tls.Conn) *records {
	if !sessionFields.known {
		return nil
	}
	p := unsafe.Pointer(session)
	return &records{
		raw:   (*bytes.Buffer)(unsafe.Add(p, sessionFields.raw)),
		input: (*bytes.Reader)(unsafe.Add(p, sessionFields.input)),
	}
}

// sessionFields holds the offsets of the two buffers in a tls.Conn.
var sessionFields = func() (found struct {
	raw, input uintptr
	known      bool
},
) {
	session := reflect.TypeFor[tls.Conn]()
	raw, hasRaw := session.FieldByName("rawInput")
	input, hasInput := session.FieldByName("input")
	found.known = hasRaw && hasInput && raw.Type == reflect.TypeFor[bytes.Buffer]() && input.Type == reflect.TypeFor[bytes.Reader]()
	found.raw, found.input = raw.Offset, input.Offset
	return found
}()

const (
	recordHead = 5
	// recordMost is the longest record (RFC 8446 §5.2, RFC 5246 §6.2.3). The session
	// rejects longer ones.
	recordMost = 16<<10 + 2048
	// gatherLeast is the least free space for a read.
	gatherLeast = 1024
)

// missing returns how many bytes the next record still needs. It returns 0 if the
// record is complete, or will be rejected.
func (r *records) missing() int {
	b := r.raw.Bytes()
	if len(b) < recordHead {
		return recordHead - len(b)
	}
	length := int(b[3])<<8 | int(b[4])
	if length > recordMost {
		return 0
	}
	return max(recordHead+length-len(b), 0)
}

// gather waits until the session has something to decrypt or to return. At the end of
// the stream it returns nil: the session then finds the end itself.
func (c *Conn) gather() error {
	r := c.records
	for r.input.Len() == 0 {
		r.raw.Write(c.lower.early)
		c.lower.early = nil
		missing := r.missing()
		if missing == 0 {
			return nil
		}
		r.raw.Grow(max(missing, gatherLeast))
		c.space = r.raw.AvailableBuffer()
		c.space = c.space[:cap(c.space)]
		if err := c.raw.Read(c.gatherRaw); err != nil {
			return err
		}
		if c.err == io.EOF {
			return nil
		}
		if c.err != nil {
			return c.err
		}
		r.raw.Write(c.space[:c.got])
	}
	return nil
}

func (c *Conn) gatherStep(fd uintptr) bool {
	n, err := ignoringEINTR(syscall.Read, int(fd), c.space)
	if err == syscall.EAGAIN {
		return false
	}
	if c.got, c.err = n, err; err == nil && n == 0 {
		c.err = io.EOF
	}
	return true
}

// fillTLS is Fill for a TLS session.
func (c *Conn) fillTLS() (int, error) {
	if err := c.gather(); err != nil {
		return 0, err
	}
	taken := c.In == nil
	if taken {
		c.In = c.pool.Get()
	}
	n, err := c.net.Read(c.In.Free())
	c.In.Wrote(n)
	if n > 0 {
		return n, nil
	}
	if taken {
		c.ReleaseIn()
	}
	return 0, err
}
