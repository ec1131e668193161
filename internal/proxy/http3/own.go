package http3

import (
	"context"
	"errors"
	"io"

	"github.com/quic-go/quic-go"

	codec "windrose.dev/windrose/internal/proxy/wire/http3"
)

// acceptOwn reads the unidirectional streams that a client opens.
func (c *conn) acceptOwn() {
	for {
		qs, err := c.quic.AcceptUniStream(context.Background())
		if err != nil {
			return
		}
		if !c.mayOpen() {
			c.fail(&codec.ConnError{Code: codec.ExcessiveLoad, Text: "more streams for the connection itself than anyone needs"})
			return
		}
		c.work.Go(func() { c.readOwn(qs) })
	}
}

func (c *conn) mayOpen() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.own.Spend(c.l.cfg.Clock.Now())
}

// readOwn reads one unidirectional stream. A panic closes the connection.
func (c *conn) readOwn(qs *quic.ReceiveStream) {
	defer qs.ReleaseStreamCredit()
	defer func() {
		if broken := recover(); broken != nil {
			c.server.Defect(broken)
			c.fail(&codec.ConnError{Code: codec.InternalError, Text: "a defect"})
		}
	}()
	var broken *codec.ConnError
	if err := c.readKind(qs); errors.As(err, &broken) {
		c.fail(broken)
	}
}

// readKind reads the type of a stream, and then the stream to its end.
func (c *conn) readKind(qs *quic.ReceiveStream) error {
	in := newInput(qs)
	kind, n := codec.Varint(in.bytes())
	for n == 0 {
		if err := in.fill(); err != nil {
			return err // it may end before its type is known (RFC 9114 §6.2)
		}
		kind, n = codec.Varint(in.bytes())
	}
	in.used(n)
	switch codec.StreamKind(kind) {
	case codec.ControlStream, codec.EncoderStream, codec.DecoderStream:
		if err := c.first(kind); err != nil {
			return err
		}
		return in.readCritical(readerOf(codec.StreamKind(kind)))
	case codec.PushStream:
		return &codec.ConnError{Code: codec.StreamCreationError, Text: "a push stream of a client (RFC 9114 §6.2.2)"}
	}
	qs.CancelRead(quic.StreamErrorCode(codec.StreamCreationError))
	return nil
}

// first rejects a second stream of the same type.
func (c *conn) first(kind uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.has[kind] {
		return &codec.ConnError{Code: codec.StreamCreationError, Text: "a second stream of a kind of which there is one (RFC 9114 §6.2.1)"}
	}
	c.has[kind] = true
	return nil
}

// readerOf returns the function that reads a stream of this type.
func readerOf(kind codec.StreamKind) func([]byte) (int, error) {
	switch kind {
	case codec.ControlStream:
		return new(codec.Control).Read
	case codec.EncoderStream:
		return func(p []byte) (int, error) { return len(p), codec.ReadEncoder(p) }
	}
	var decoder codec.Decoder
	return func(p []byte) (int, error) { return len(p), decoder.Read(p) }
}

// input holds what was received on a unidirectional stream.
type input struct {
	qs   *quic.ReceiveStream
	data []byte
}

func newInput(qs *quic.ReceiveStream) *input { return &input{qs: qs} }

func (in *input) bytes() []byte { return in.data }

func (in *input) used(n int) { in.data = append(in.data[:0], in.data[n:]...) }

func (in *input) fill() error {
	var piece [256]byte
	n, err := in.qs.Read(piece[:])
	in.data = append(in.data, piece[:n]...)
	if n > 0 && errors.Is(err, io.EOF) {
		return nil // the next read returns the error again
	}
	return err
}

// readCritical reads a stream that must not be closed (RFC 9114 §6.2.1, RFC 9204 §4.2).
func (in *input) readCritical(read func([]byte) (int, error)) error {
	for {
		n, err := read(in.bytes())
		if err != nil {
			return err
		}
		in.used(n)
		err = in.fill()
		var reset *quic.StreamError
		switch {
		case errors.Is(err, io.EOF) || errors.As(err, &reset):
			return &codec.ConnError{Code: codec.ClosedCritical, Text: "a stream that must not end has ended (RFC 9114 §6.2.1)"}
		case err != nil:
			return err
		}
	}
}
