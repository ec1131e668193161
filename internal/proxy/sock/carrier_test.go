package sock

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// carried runs a Carrier until From ends, and sends the number of bytes that it moved.
func carried(t *testing.T, c *Carrier) <-chan int64 {
	done := make(chan int64, 1)
	go func() {
		defer c.Close()
		total := int64(0)
		for {
			n, err := c.Take()
			if err == io.EOF {
				if err := c.To.EndWrites(); err != nil {
					t.Error(err)
				}
				done <- total
				return
			}
			if err != nil {
				t.Error(err)
			} else if err = c.Give(); err != nil {
				t.Error(err)
			}
			if total += int64(n); err != nil {
				c.To.Reset()
				done <- total
				return
			}
		}
	}()
	return done
}

// TestCarrier moves bulk data, small pieces and bursts, and compares what both ends
// saw.
func TestCarrier(t *testing.T) {
	for name, sizes := range map[string][]int{
		"nothing": nil, "a byte": {1}, "chat": {10, 20, 30, 5000, 1}, "a buffer": {BufferSize}, "a mass": {20 << 20},
		"bursts": {3 << 20, 5, 1 << 20, 100, BufferSize, BufferSize, 7},
	} {
		t.Run(name, func(t *testing.T) {
			client, near := pair(t)
			far, server := pair(t)
			pool := &Pool{}
			from, to := NewConn(near, NewClock(), pool, nil), NewConn(far, NewClock(), pool, nil)
			done := carried(t, NewCarrier(from, to))
			sent, want, all := sha256.New(), int64(0), make(chan struct{})
			go func() {
				defer close(all)
				defer client.CloseWrite()
				r := rand.NewChaCha8([32]byte{1})
				for _, size := range sizes {
					io.CopyN(io.MultiWriter(struct{ io.Writer }{client}, sent), r, int64(size))
				}
			}()
			for _, size := range sizes {
				want += int64(size)
			}
			got := sha256.New()
			n, err := io.Copy(got, server)
			<-all
			if moved := <-done; err != nil || n != want || moved != want || !bytes.Equal(got.Sum(nil), sent.Sum(nil)) {
				t.Errorf("%d of %d bytes, %d counted, %v", n, want, moved, err)
			}
			if pool.Out() != 0 {
				t.Errorf("%d bytes of buffers are out", pool.Out())
			}
		})
	}
}

// TestCarrierSplices: bulk data stays in the kernel.
func TestCarrierSplices(t *testing.T) {
	client, near := pair(t)
	far, server := pair(t)
	c := NewCarrier(NewConn(near, NewClock(), &Pool{}, nil), NewConn(far, NewClock(), &Pool{}, nil))
	if !c.splicer.usable() {
		return // this system has no splice
	}
	go io.Copy(io.Discard, server)
	go client.Write(make([]byte, 8<<20))
	spliced := 0
	for total := 0; total < 8<<20; {
		n, err := c.Take()
		if err != nil {
			t.Fatal(err)
		}
		if total += n; c.splicer.holds() {
			spliced += n
		}
		if err := c.Give(); err != nil {
			t.Fatal(err)
		}
	}
	if spliced < 6<<20 {
		t.Errorf("%d of %d bytes were spliced", spliced, 8<<20)
	}
}

// TestCarrierDeadlines: a read that times out loses no bytes, and a peer that reads
// nothing is noticed.
func TestCarrierDeadlines(t *testing.T) {
	client, near := pair(t)
	far, server := pair(t)
	clock := NewClock()
	c := NewCarrier(NewConn(near, clock, &Pool{}, nil), NewConn(far, clock, &Pool{}, nil))
	defer c.Close()
	for _, c.bulk = range []bool{false, true} {
		c.From.ReadBy(clock.Now() + int64(time.Millisecond))
		if n, err := c.Take(); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("%d %v", n, err)
		}
		c.From.ReadBy(clock.Now() + int64(time.Minute))
		client.Write([]byte("hello"))
		if n, err := c.Take(); n != 5 || err != nil || c.Give() != nil {
			t.Fatalf("%d %v", n, err)
		}
		got := make([]byte, 5)
		if _, err := io.ReadFull(server, got); string(got) != "hello" {
			t.Fatalf("%q %v", got, err)
		}
	}
	go client.Write(make([]byte, 64<<20))
	for {
		if _, err := c.Take(); err != nil {
			t.Fatal(err)
		}
		c.To.WriteBy(clock.Now() + int64(50*time.Millisecond))
		if err := c.Give(); err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error(err)
			}
			return
		}
	}
}

// TestCarrierBesidesTCP: connections that are not plain TCP use a buffer.
func TestCarrierBesidesTCP(t *testing.T) {
	client, near := net.Pipe()
	far, server := pair(t)
	done := carried(t, NewCarrier(NewConn(near, NewClock(), &Pool{}, nil), NewConn(far, NewClock(), &Pool{}, nil)))
	go func() {
		io.WriteString(client, strings.Repeat("x", 100_000))
		client.Close()
	}()
	if all, err := io.ReadAll(server); len(all) != 100_000 || err != nil || <-done != 100_000 {
		t.Errorf("%d bytes, %v", len(all), err)
	}
}

// TestResetIsSeen: the peer of a connection that was reset sees an error.
func TestResetIsSeen(t *testing.T) {
	far, near := pair(t)
	NewConn(near, NewClock(), &Pool{}, nil).Reset()
	if _, err := far.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("%v", err)
	}
}

// TestWrapTLSAfterABeginning: a TLS session starts with the bytes that were read before
// it, including those after the ClientHello.
func TestWrapTLSAfterABeginning(t *testing.T) {
	far, near := pair(t)
	cert := testCertificate(t)
	c := NewConn(near, NewClock(), &Pool{}, nil)
	go func() {
		client := tls.Client(far, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12})
		client.Handshake()
		io.WriteString(client, "hello")
	}()
	if _, err := c.Fill(); err != nil {
		t.Fatal(err)
	}
	session := c.WrapTLS(&tls.Config{Certificates: []tls.Certificate{cert}})
	if err := session.Handshake(); err != nil {
		t.Fatal(err)
	}
	c.EndHandshake()
	if n, err := c.Fill(); err != nil || string(c.In.Bytes()) != "hello" {
		t.Errorf("%d %v", n, err)
	}
}

// testCertificate returns a self-signed certificate.
func testCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(crand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func BenchmarkCarrier(b *testing.B) {
	for _, test := range []struct {
		name  string
		plain bool
	}{{"splice", true}, {"buffer", false}} {
		b.Run(test.name, func(b *testing.B) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			pair := func() (net.Conn, net.Conn) {
				dialed, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					b.Fatal(err)
				}
				accepted, err := l.Accept()
				if err != nil {
					b.Fatal(err)
				}
				return dialed, accepted
			}
			client, near := pair()
			far, server := pair()
			c := NewCarrier(NewConn(near, NewClock(), &Pool{}, nil), NewConn(far, NewClock(), &Pool{}, nil))
			c.splicer.init(test.plain)
			const batch = 16 << 20
			go io.Copy(io.Discard, server)
			go func() {
				block := make([]byte, 256<<10)
				for {
					if _, err := client.Write(block); err != nil {
						return
					}
				}
			}()
			b.SetBytes(batch)
			for range b.N {
				for moved := 0; moved < batch; {
					n, err := c.Take()
					if err != nil || c.Give() != nil {
						b.Fatal(err)
					}
					moved += n
				}
			}
			client.Close()
		})
	}
}
