package standalone

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// echoHeaderTimeout ends connections that never send a request.
const echoHeaderTimeout = 30 * time.Second

// echoPod serves the echo application at the ports of one pod.
type echoPod struct {
	server   *http.Server
	identity atomic.Pointer[Identity]
	stopping chan struct{}
	// ports is written under the Host's lock alone.
	ports map[int32]int32
	// serving counts accept loops, sockets the connections that became
	// WebSockets, which the server no longer knows.
	serving, sockets sync.WaitGroup
}

func startEcho() *echoPod {
	p := &echoPod{stopping: make(chan struct{}), ports: map[int32]int32{}}
	p.identity.Store(&Identity{})
	echo := Echo{Identity: func() Identity { return *p.identity.Load() }, Stopping: p.stopping}
	// HTTP/2 without TLS too, for Services that say so in appProtocol.
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

// update tells the pod what it is now, and opens the ports that are new. Those
// that are no longer wanted stay open: nobody is sent there.
func (p *echoPod) update(pod plannedPod) error {
	p.identity.Store(&Identity{Namespace: pod.name.Namespace, Pod: pod.name.Name, Service: pod.service})
	// A copy: those who hold the last map may still read it.
	ports := maps.Clone(p.ports)
	defer func() { p.ports = ports }()
	for _, port := range pod.ports {
		if _, open := ports[port]; open {
			continue
		}
		listener, err := net.Listen("tcp", net.JoinHostPort(loopback, "0"))
		if err != nil {
			return fmt.Errorf("open a port for container port %d: %w", port, err)
		}
		ports[port] = int32(listener.Addr().(*net.TCPAddr).Port)
		p.serving.Go(func() { p.server.Serve(listener) })
	}
	return nil
}

func (p *echoPod) loopbackPorts() map[int32]int32 { return p.ports }

// condition: a listener accepts from the moment it exists.
func (p *echoPod) condition() condition { return condition{ready: true} }

// stop closes the listeners, lets requests in flight end until ctx is done,
// and tells WebSockets to go away.
func (p *echoPod) stop(ctx context.Context) {
	close(p.stopping)
	if err := p.server.Shutdown(ctx); err != nil {
		p.server.Close()
	} else {
		p.sockets.Wait()
	}
	p.serving.Wait()
}
