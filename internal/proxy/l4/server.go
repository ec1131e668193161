package l4

import (
	"net/netip"

	"windrose.dev/windrose/internal/proxy/engine"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/sock"
	"windrose.dev/windrose/internal/reason"
)

// Config is what a Server needs.
type Config struct {
	Engine *engine.Engine
	// Generation is the one that serves now.
	Generation func() *exchange.Generation
	// Trusts reports whether a client's flows are not counted by its address.
	Trusts func(netip.Addr) bool
	// DialUDP makes a socket that is connected to an endpoint.
	DialUDP func(addr netip.AddrPort, get func() []byte, put func([]byte)) (*sock.Datagrams, error)
}

// Server carries the connections, tunnels and flows of one proxy. Its methods may be
// called from any goroutine.
type Server struct {
	Config
	pipes pipes
	flows flows
}

// New makes a Server.
func New(cfg Config) *Server {
	return &Server{Config: cfg, pipes: pipes{all: map[*Pipe]*webSocket{}}}
}

// Reconsider closes the pipes that gen, which is live, would not open.
func (s *Server) Reconsider(gen *exchange.Generation) {
	s.pipes.each(func(p *Pipe, _ *webSocket) { p.reconsider(gen) })
}

// Leave has the clients of WebSockets told that the server goes away.
func (s *Server) Leave() {
	s.pipes.each(func(p *Pipe, socket *webSocket) {
		if socket != nil {
			s.Engine.Go(func() { socket.leave(p) })
		}
	})
}

// Cut ends all pipes at once.
func (s *Server) Cut() { s.pipes.each(func(p *Pipe, _ *webSocket) { p.Close(reason.Drained) }) }

// open has a pipe be one of the server's while it runs. What a swap or a drain has
// looked for before is looked at here.
func (s *Server) open(p *Pipe, socket *webSocket) {
	s.pipes.add(p, socket)
	defer s.pipes.remove(p)
	p.reconsider(s.Generation())
	if socket != nil {
		defer socket.seal() // a drain may be about to say goodbye
		if s.Engine.Stopping() {
			s.Engine.Go(func() { socket.leave(p) })
		}
	}
	p.run()
}
