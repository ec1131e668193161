package call

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// failureName is one reason why a request got no response. The names are the keys of
// byError.
type failureName struct {
	name string
	is   func(error) bool
}

// failureNames lists the reasons in the order in which they are checked.
func failureNames() []failureName {
	return []failureName{
		{"timeout", isTimeout},
		{"answer truncated", isAny(errTruncated)},
		{"answer invalid", isAny(errInvalid, errHeadTooLarge)},
		{"certificate not trusted", isA[*tls.CertificateVerificationError]},
		{"TLS handshake failed", func(err error) bool { return isA[tls.AlertError](err) || isA[tls.RecordHeaderError](err) }},
		{"name not found", isA[*net.DNSError]},
		{"connection refused", isAny(syscall.ECONNREFUSED)},
		{"connection reset", isAny(syscall.ECONNRESET, syscall.EPIPE)},
		{"host unreachable", isAny(syscall.EHOSTUNREACH, syscall.ENETUNREACH)},
		{"connection closed", isAny(io.EOF, io.ErrUnexpectedEOF)},
	}
}

// otherFailure names errors that are not in the table.
const otherFailure = "other"

func nameFailure(err error) string {
	for _, row := range failureNames() {
		if row.is(err) {
			return row.name
		}
	}
	return otherFailure
}

func isTimeout(err error) bool {
	var network net.Error
	return isAny(context.DeadlineExceeded, os.ErrDeadlineExceeded)(err) || errors.As(err, &network) && network.Timeout()
}

func isAny(targets ...error) func(error) bool {
	return func(err error) bool {
		for _, target := range targets {
			if errors.Is(err, target) {
				return true
			}
		}
		return false
	}
}

func isA[E error](err error) bool {
	var target E
	return errors.As(err, &target)
}
