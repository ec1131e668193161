package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"windrose.dev/windrose/bench/rig"
)

const (
	// handshakesPerRound is the number of connections in one round, and handshakeClients
	// the number of clients that make them: a proxy that gets one connection at a time
	// spends CPU on falling asleep and waking up.
	handshakesPerRound = 800
	handshakeClients   = 8
)

// handshakeKind is a kind of handshake.
type handshakeKind struct {
	name   string
	resume bool
	curves []tls.CurveID
	// budget is the least ratio to nginx of connections per CPU second; 0 is none.
	budget float64
}

// The nginx of distributions negotiates X25519. Browsers ask for the hybrid key exchange,
// which Windrose supports.
var handshakeKinds = []handshakeKind{
	{"full", false, []tls.CurveID{tls.X25519}, 0.95},
	{"resumed", true, []tls.CurveID{tls.X25519}, 0.5},
	{"full, X25519MLKEM768 where it is known", false, []tls.CurveID{tls.X25519MLKEM768, tls.X25519}, 0},
}

// handshakes measures the cost of a new TLS connection with one request.
func (b *bench) handshakes(ctx context.Context) error {
	f, err := b.newField(ctx, "0", "1", 1)
	if err != nil {
		return err
	}
	defer f.stop()
	for _, kind := range handshakeKinds {
		best := make([]float64, len(f.all))
		for i := range best {
			best[i] = math.Inf(1)
		}
		for range b.rounds {
			for i, c := range f.all {
				cost, err := handshakeCost(ctx, c, f.cert, kind)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", kind.name, c.name, err)
				}
				best[i] = min(best[i], cost)
			}
		}
		for i, c := range f.all {
			b.handshakeFigure(kind, c.name, best[i])
			if c.name == ours {
				b.handshakeRatio(kind, best[0]/best[i])
			}
		}
	}
	return nil
}

func (b *bench) handshakeFigure(kind handshakeKind, name string, micros float64) {
	b.figure(Figure{
		Section: "handshakes", Name: kind.name + ", " + name, Value: micros, Unit: "µs",
		Note: "CPU a connection: TCP, TLS 1.3 with ECDSA P-256, one request",
	})
}

// handshakeRatio compares with nginx, the first of the field, in connections per CPU
// second.
func (b *bench) handshakeRatio(kind handshakeKind, ratio float64) {
	b.figure(Figure{
		Section: "handshakes", Name: kind.name + ", windrose to nginx", Value: ratio, Unit: "×",
		Budget: kind.budget, AtLeast: true, Note: "connections per CPU second",
	})
}

func clientTLS(cert rig.Certificate) *tls.Config {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert.Chain)
	return &tls.Config{RootCAs: roots, ServerName: "bench.example.com", MinVersion: tls.VersionTLS13}
}

// handshakeCost returns the proxy's CPU time per connection, in µs.
func handshakeCost(ctx context.Context, c *contender, cert rig.Certificate, kind handshakeKind) (float64, error) {
	config := clientTLS(cert)
	config.CurvePreferences = kind.curves
	if kind.resume {
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	}
	if _, err := connectOnce(c.secure, config); err != nil {
		return 0, err // the first connection gets the ticket
	}
	before, err := c.process.Usage()
	if err != nil {
		return 0, err
	}
	if err := connectMany(ctx, c.secure, config, kind.resume); err != nil {
		return 0, err
	}
	after, err := c.process.Usage()
	if err != nil {
		return 0, err
	}
	return float64((after.CPU-before.CPU)/time.Microsecond) / handshakesPerRound, nil
}

// connectMany makes the connections of a round.
func connectMany(ctx context.Context, address string, config *tls.Config, resume bool) error {
	var clients sync.WaitGroup
	failures := make([]error, handshakeClients)
	for i := range handshakeClients {
		clients.Go(func() {
			for range handshakesPerRound / handshakeClients {
				resumed, err := connectOnce(address, config)
				if err == nil && resumed != resume {
					err = fmt.Errorf("resumed is %t, want %t", resumed, resume)
				}
				if failures[i] = errors.Join(err, ctx.Err()); failures[i] != nil {
					return
				}
			}
		})
	}
	clients.Wait()
	return errors.Join(failures...)
}

// connectOnce makes a connection, sends a request and closes. It reports whether the
// handshake was a resumption.
func connectOnce(address string, config *tls.Config) (resumed bool, err error) {
	conn, err := tls.Dial("tcp", address, config)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	// Reading the response also receives the ticket for the next connection.
	answer, err := rig.NewRaw(conn, "bench.example.com").Get("/")
	if err == nil && answer.Status != 200 {
		err = fmt.Errorf("status %d", answer.Status)
	}
	return conn.ConnectionState().DidResume, err
}
