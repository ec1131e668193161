package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"windrose.dev/windrose/bench/rig"
)

const (
	idleCount = 10_000
	// openers is the number of connections opened concurrently.
	openers = 16
)

// idleConnections measures the memory that a keep-alive connection uses between two
// requests.
func (b *bench) idleConnections(ctx context.Context) error {
	for _, c := range []idleKind{
		{"HTTP/1.1, plain", false, false, 12},
		{"HTTP/1.1, TLS", true, false, 28},
		{"HTTP/2, plain", false, true, 12},
		{"HTTP/2, TLS", true, true, 28},
	} {
		perConnection, err := b.idleCost(ctx, c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		b.figure(Figure{
			Section: "idle connections", Name: "10,000, " + c.name, Value: perConnection, Unit: "kB each", Budget: c.budget,
			Note: "RSS of windrose-gateway, with and without, after one request each",
		})
	}
	return nil
}

// idleKind is a kind of connection, with its budget in kB.
type idleKind struct {
	name          string
	secure, http2 bool
	budget        float64
}

func (b *bench) idleCost(ctx context.Context, kind idleKind) (float64, error) {
	f := &field{}
	var err error
	if f.cert, err = b.rig.NewCertificate("bench.example.com"); err != nil {
		return 0, err
	}
	if f.backend, err = b.startBackend(ctx, ""); err != nil {
		return 0, err
	}
	if err := b.startGateway(ctx, f, "", 2); err != nil {
		return 0, err
	}
	defer f.stop()
	before, err := f.all[0].process.Usage()
	if err != nil {
		return 0, err
	}
	open, err := openMany(ctx, idleCount, func() (net.Conn, error) { return openOne(f, kind) })
	defer closeAll(open)
	if err != nil {
		return 0, err
	}
	time.Sleep(settleTime)
	after, err := f.all[0].process.Usage()
	return float64(after.RSS-before.RSS) / 1024 / idleCount, err
}

// openMany opens connections, several at a time.
func openMany(ctx context.Context, count int, one func() (net.Conn, error)) ([]net.Conn, error) {
	var (
		mu      sync.Mutex
		open    []net.Conn
		failure error
		workers sync.WaitGroup
	)
	for range openers {
		workers.Go(func() {
			for range count / openers {
				conn, err := one()
				mu.Lock()
				failure = errors.Join(failure, err, ctx.Err())
				if conn != nil {
					open = append(open, conn)
				}
				stop := failure != nil
				mu.Unlock()
				if stop {
					return
				}
			}
		})
	}
	workers.Wait()
	return open, failure
}

// openOne opens a connection and sends one request. It keeps nothing but the connection:
// ten thousand readers would need more memory than what is measured.
func openOne(f *field, kind idleKind) (net.Conn, error) {
	address := f.all[0].plain
	if kind.secure {
		address = f.all[0].secure
	}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	conn.(*net.TCPConn).SetLinger(0) // closing leaves no port in TIME_WAIT
	if kind.secure {
		config := clientTLS(f.cert)
		if kind.http2 {
			config.NextProtos = []string{"h2"}
		}
		conn = tls.Client(conn, config)
	}
	if kind.http2 {
		return conn, rig.NewRawHTTP2(conn).Get("bench.example.com", 1)
	}
	answer, err := rig.NewRaw(conn, "bench.example.com").Get("/")
	if err == nil && answer.Status != 200 {
		err = fmt.Errorf("status %d", answer.Status)
	}
	return conn, err
}

func closeAll(open []net.Conn) {
	for _, conn := range open {
		if c, ok := conn.(*tls.Conn); ok {
			conn = c.NetConn() // without ten thousand close_notify records
		}
		conn.Close()
	}
}
