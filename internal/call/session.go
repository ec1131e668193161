package call

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
	"time"
)

const (
	// maxHead bounds the head of a response, maxKept the part of a body that is kept.
	maxHead = 1 << 20
	maxKept = 1 << 20

	userAgent = "windrose-call"
)

var (
	errHeadTooLarge = errors.New("the head of the answer is larger than 1 MiB")
	// errTruncated: the response began, but broke off.
	errTruncated = errors.New("the answer broke off")
	// errInvalid: what was received is not an HTTP/1 response.
	errInvalid = errors.New("the answer is not valid HTTP")
)

// Answer is one complete response.
type Answer struct {
	Proto  string
	Status int
	// StatusText is the status as the server wrote it: "200 OK".
	StatusText string
	Header     http.Header
	// Body is the first MiB of the body; Size is the length of the whole body, in bytes.
	Body []byte
	Size int64
}

// session sends requests one after the other, over one connection for as long as the
// server keeps it open. It is used by one goroutine.
type session struct {
	target target
	conn   net.Conn
	reader *bufio.Reader
	limit  *headLimit
}

// headLimit passes at most left bytes; then the reader fails.
type headLimit struct {
	r    io.Reader
	left int64
	// ended means that the server closed the connection.
	ended bool
}

func (l *headLimit) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errHeadTooLarge
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	l.ended = l.ended || err == io.EOF
	return n, err
}

// do sends one request, once. The connection is kept only after a complete response that
// allows it.
func (s *session) do(ctx context.Context) (*Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, s.target.timeout)
	defer cancel()
	if s.conn == nil {
		if err := s.connect(ctx); err != nil {
			return nil, err
		}
	}
	conn := s.conn
	conn.SetDeadline(time.Time{})
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	answer, keep, err := s.exchange()
	// A deadline that is already set, or about to be, would hit the next request.
	if expired := !stop(); err != nil || !keep || expired {
		s.close()
	}
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return answer, err
}

func (s *session) connect(ctx context.Context) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.target.address)
	if err != nil {
		return err
	}
	if s.target.tls != nil {
		secured := tls.Client(conn, s.target.tls)
		if err := secured.HandshakeContext(ctx); err != nil {
			conn.Close()
			return fmt.Errorf("TLS handshake: %w", err)
		}
		conn = secured
	}
	s.conn = conn
	s.limit = &headLimit{r: conn}
	s.reader = bufio.NewReader(s.limit)
	return nil
}

func (s *session) close() {
	if s.conn != nil {
		s.conn.Close()
		s.conn = nil
	}
}

func (s *session) exchange() (answer *Answer, keep bool, err error) {
	req, err := s.target.request()
	if err != nil {
		return nil, false, err
	}
	// A server may respond and close before it has read the whole body. The response
	// counts; a failed write is reported only if there is no response.
	failedWrite := req.Write(s.conn)
	resp, err := s.readHead(req)
	if err != nil {
		return nil, false, errors.Join(failedWrite, err)
	}
	defer resp.Body.Close()
	answer, err = readAnswer(resp)
	if err != nil {
		return nil, false, err
	}
	// Unexpected bytes would be taken for the next response.
	keep = failedWrite == nil && !req.Close && !resp.Close && resp.StatusCode != http.StatusSwitchingProtocols && s.reader.Buffered() == 0
	return answer, keep, nil
}

// request builds a request. Each one can be sent only once.
func (t target) request() (*http.Request, error) {
	var body io.Reader
	if len(t.body) > 0 {
		body = bytes.NewReader(t.body)
	}
	req, err := http.NewRequest(t.method, t.url.String(), body)
	if err != nil {
		return nil, fmt.Errorf("build the request: %w", err)
	}
	req.Header = t.header.Clone()
	req.Host = t.host
	req.Close = strings.EqualFold(req.Header.Get("Connection"), "close")
	if _, set := req.Header["User-Agent"]; !set {
		req.Header.Set("User-Agent", userAgent)
	}
	if t.url.User != nil && req.Header.Get("Authorization") == "" {
		password, _ := t.url.User.Password()
		req.SetBasicAuth(t.url.User.Username(), password)
	}
	return req, nil
}

// readHead reads the head of the final response and skips interim ones (RFC 9110 section
// 15.2).
func (s *session) readHead(req *http.Request) (*http.Response, error) {
	s.limit.left = maxHead
	if _, err := s.reader.Peek(1); err != nil {
		return nil, err
	}
	for {
		resp, err := http.ReadResponse(s.reader, req)
		switch {
		case err == nil:
		case errors.Is(err, errHeadTooLarge), isNetwork(err):
			return nil, err
		case s.limit.ended:
			return nil, errTruncated
		default:
			return nil, fmt.Errorf("%w: %w", errInvalid, err)
		}
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			s.limit.left = math.MaxInt64
			return resp, nil
		}
	}
}

func readAnswer(resp *http.Response) (*Answer, error) {
	answer := &Answer{
		Proto: resp.Proto, Status: resp.StatusCode, StatusText: resp.Status, Header: resp.Header,
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return answer, nil // what follows is not HTTP
	}
	kept, err := io.ReadAll(io.LimitReader(resp.Body, maxKept))
	dropped := int64(0)
	if err == nil {
		dropped, err = io.Copy(io.Discard, resp.Body)
	}
	switch {
	case err == nil:
		answer.Body, answer.Size = kept, int64(len(kept))+dropped
		return answer, nil
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errTruncated
	case isNetwork(err):
		return nil, err
	}
	return nil, fmt.Errorf("%w: %w", errInvalid, err)
}

// isNetwork reports whether the connection failed, rather than what it carried.
func isNetwork(err error) bool {
	var network net.Error
	return errors.As(err, &network)
}
