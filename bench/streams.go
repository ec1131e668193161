package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"windrose.dev/windrose/bench/rig"
)

const (
	streamCount      = 10_000
	streamsPerClient = 125
	streamsAreThere  = 30 * time.Second
	streamBudget     = 32 // kB
)

// concurrentStreams measures the memory that an HTTP/2 request uses while it waits for
// its backend, which responds to none of ten thousand requests.
func (b *bench) concurrentStreams(ctx context.Context) error {
	f := &field{}
	var err error
	if f.cert, err = b.rig.NewCertificate("bench.example.com"); err != nil {
		return err
	}
	backend, err := newMuteBackend()
	if err != nil {
		return err
	}
	defer backend.close()
	f.backend.HTTP1 = backend.listener.Addr().String()
	if err := b.startGateway(ctx, f, "", 2); err != nil {
		return err
	}
	defer f.stop()
	before, err := f.all[0].process.Usage()
	if err != nil {
		return err
	}
	open, err := openMany(ctx, streamCount/streamsPerClient, func() (net.Conn, error) { return askMany(f.all[0].plain) })
	defer closeAll(open)
	if err != nil {
		return err
	}
	for end := time.Now().Add(streamsAreThere); backend.asked.Load() < int64(len(open)*streamsPerClient); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("%d of %d requests reached the backend", backend.asked.Load(), len(open)*streamsPerClient)
		}
	}
	time.Sleep(settleTime)
	after, err := f.all[0].process.Usage()
	b.figure(Figure{
		Section: "streams", Name: fmt.Sprintf("%d at a time, on %d connections", len(open)*streamsPerClient, len(open)),
		Value: float64(after.RSS-before.RSS) / 1024 / float64(len(open)*streamsPerClient), Unit: "kB each", Budget: streamBudget,
		Note: "RSS of windrose-gateway, with and without; each waits on a connection of its own to the backend",
	})
	return err
}

// askMany opens a connection and sends many requests on it.
func askMany(address string) (net.Conn, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	conn.(*net.TCPConn).SetLinger(0)
	streams := make([]uint32, streamsPerClient)
	for i := range streams {
		streams[i] = uint32(2*i + 1)
	}
	return conn, rig.NewRawHTTP2(conn).Ask("bench.example.com", streams...)
}

// muteBackend reads requests, one on each connection, and never responds.
type muteBackend struct {
	listener net.Listener
	asked    atomic.Int64
	serving  sync.WaitGroup
	mu       sync.Mutex
	open     []net.Conn
}

func newMuteBackend() (*muteBackend, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	m := &muteBackend{listener: l}
	m.serving.Go(m.accept)
	return m, nil
}

func (m *muteBackend) accept() {
	for {
		conn, err := m.listener.Accept()
		if err != nil {
			return
		}
		m.mu.Lock()
		m.open = append(m.open, conn)
		m.mu.Unlock()
		m.serving.Go(func() {
			if n, _ := io.CopyN(io.Discard, conn, 1); n > 0 {
				m.asked.Add(1)
				io.Copy(io.Discard, conn)
			}
		})
	}
}

func (m *muteBackend) close() {
	m.listener.Close()
	m.mu.Lock()
	for _, conn := range m.open {
		conn.Close()
	}
	m.mu.Unlock()
	m.serving.Wait()
}
