package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"time"

	"windrose.dev/windrose/bench/rig"
)

// handshakesPerRound is how many connections one round makes.
const handshakesPerRound = 500

// handshakes measures what a new TLS connection with one request costs, with a
// full and with a resumed handshake.
func (b *bench) handshakes(ctx context.Context) error {
	f, err := b.newField(ctx, "0", "1", 1)
	if err != nil {
		return err
	}
	defer f.stop()
	for _, resume := range []bool{false, true} {
		best := make([]float64, len(f.all))
		for i := range best {
			best[i] = math.Inf(1)
		}
		for range b.rounds {
			for i, c := range f.all {
				cost, err := handshakeCost(ctx, c, clientTLS(f.cert, resume), resume)
				if err != nil {
					return fmt.Errorf("%s: %w", c.name, err)
				}
				best[i] = min(best[i], cost)
			}
		}
		for i, c := range f.all {
			b.handshakeFigure(c.name, best[i], resume)
			if c.name == ours {
				b.handshakeRatio(best[0]/best[i], resume)
			}
		}
	}
	return nil
}

func (b *bench) handshakeFigure(name string, micros float64, resumed bool) {
	kind := "full"
	if resumed {
		kind = "resumed"
	}
	b.figure(Figure{
		Section: "handshakes", Name: kind + ", " + name, Value: micros, Unit: "µs",
		Note: "CPU a connection: TCP, TLS 1.3 with ECDSA P-256, one request",
	})
}

// handshakeRatio compares with nginx, the first of the field, in handshakes per CPU
// second.
func (b *bench) handshakeRatio(ratio float64, resumed bool) {
	f := Figure{Section: "handshakes", Name: "full, windrose to nginx", Value: ratio, Unit: "×", Budget: 0.95, AtLeast: true, Note: "connections per CPU second"}
	if resumed {
		f.Name, f.Budget = "resumed, windrose to nginx", 0.5
	}
	b.figure(f)
}

func clientTLS(cert rig.Certificate, resume bool) *tls.Config {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert.Chain)
	config := &tls.Config{RootCAs: roots, ServerName: "bench.example.com", MinVersion: tls.VersionTLS13}
	if resume {
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	}
	return config
}

// handshakeCost is the proxy's CPU time a connection, in µs.
func handshakeCost(ctx context.Context, c *contender, config *tls.Config, resume bool) (float64, error) {
	if _, err := connectOnce(c.secure, config); err != nil {
		return 0, err // the first fetches the ticket
	}
	before, err := c.process.Usage()
	if err != nil {
		return 0, err
	}
	for range handshakesPerRound {
		resumed, err := connectOnce(c.secure, config)
		if err = errors.Join(err, ctx.Err()); err != nil {
			return 0, err
		}
		if resumed != resume {
			return 0, fmt.Errorf("resumed is %t, want %t", resumed, resume)
		}
	}
	after, err := c.process.Usage()
	if err != nil {
		return 0, err
	}
	return float64((after.CPU-before.CPU)/time.Microsecond) / handshakesPerRound, nil
}

// connectOnce makes a connection, sends a request and closes. It tells whether
// the handshake was a resumption.
func connectOnce(address string, config *tls.Config) (resumed bool, err error) {
	conn, err := tls.Dial("tcp", address, config)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	// Reading the answer also takes the ticket for the next connection.
	answer, err := rig.NewRaw(conn, "bench.example.com").Get("/")
	if err == nil && answer.Status != 200 {
		err = fmt.Errorf("status %d", answer.Status)
	}
	return conn.ConnectionState().DidResume, err
}
