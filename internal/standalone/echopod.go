package standalone

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// echoHeaderTimeout closes connections that send no request.
const echoHeaderTimeout = 30 * time.Second

// echoPod serves the echo application on the ports of one pod.
type echoPod struct {
	server   *http.Server
	identity atomic.Pointer[Identity]
	stopping chan struct{}
	// ports is written only under the Host's lock.
	ports map[int32]int32
	// tcp and udp are the open sockets, by container port; the Host's lock guards them,
	// too.
	tcp map[int32]net.Listener
	udp map[int32]net.PacketConn
	// serving counts accept loops. sockets counts the connections that became WebSockets,
	// which the server no longer tracks.
	serving, sockets sync.WaitGroup
}

func startEcho() *echoPod {
	p := &echoPod{stopping: make(chan struct{}), ports: map[int32]int32{}, tcp: map[int32]net.Listener{}, udp: map[int32]net.PacketConn{}}
	p.identity.Store(&Identity{})
	echo := Echo{Identity: func() Identity { return *p.identity.Load() }, Stopping: p.stopping}
	// Also HTTP/2 without TLS, for Services with such an appProtocol.
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	p.server = &http.Server{
		Protocols:         &protocols,
		ReadHeaderTimeout: echoHeaderTimeout,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if isWebSocket(r) {
				p.sockets.Add(1)
				defer p.sockets.Done()
			}
			echo.ServeHTTP(w, r)
		}),
	}
	return p
}

// update gives the pod its new identity and opens its new ports. Ports that are no longer
// wanted stay open: nothing is sent there.
func (p *echoPod) update(pod plannedPod) error {
	p.identity.Store(&Identity{Namespace: pod.name.Namespace, Pod: pod.name.Name, Service: pod.service})
	// A copy: readers may still hold the old map.
	ports := maps.Clone(p.ports)
	defer func() { p.ports = ports }()
	for _, port := range pod.udp {
		if _, known := ports[port]; !known {
			ports[port] = freeNumber() // free for TCP, too, in case that is wanted later
		}
	}
	for _, port := range pod.ports {
		if p.tcp[port] != nil {
			continue
		}
		listener, err := net.Listen("tcp", address(ports[port])) // UDP's number, or any
		if err != nil {
			return fmt.Errorf("open a port for container port %d: %w", port, err)
		}
		p.tcp[port], ports[port] = listener, int32(listener.Addr().(*net.TCPAddr).Port)
		p.serving.Go(func() { p.server.Serve(listener) })
	}
	for _, port := range pod.udp {
		if p.udp[port] != nil {
			continue
		}
		conn, err := net.ListenPacket("udp", address(ports[port])) // TCP's number, or any
		if err != nil {
			return fmt.Errorf("open a UDP port for container port %d: %w", port, err)
		}
		p.udp[port], ports[port] = conn, int32(conn.LocalAddr().(*net.UDPAddr).Port)
		p.serving.Go(func() { echoDatagrams(conn) })
	}
	return nil
}

// echoDatagrams sends each datagram back (RFC 862), until the socket is closed.
func echoDatagrams(conn net.PacketConn) {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := conn.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			conn.WriteTo(buf[:n], from)
		}
	}
}

func (p *echoPod) loopbackPorts() map[int32]int32 { return p.ports }

// condition is always ready: a listener accepts from the moment it exists.
func (p *echoPod) condition() condition { return condition{ready: true} }

// stop closes the listeners, lets requests in flight end until ctx is done, and closes
// WebSockets.
func (p *echoPod) stop(ctx context.Context) {
	close(p.stopping)
	for _, conn := range p.udp {
		conn.Close()
	}
	if err := p.server.Shutdown(ctx); err != nil {
		p.server.Close()
	} else {
		p.sockets.Wait()
	}
	p.serving.Wait()
}
