package proxy

import (
	"fmt"
	"net"
	"slices"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/proxy/frontend"
	"windrose.dev/windrose/internal/proxy/l4"
	"windrose.dev/windrose/internal/reason"
)

// transport is what a socket carries.
type transport uint8

const (
	tcp transport = iota
	udp
	quic // HTTP/3, on the port of UDP beside one of TCP
)

// socketKey names a socket: a listener may have one of TCP and one of QUIC.
type socketKey struct {
	id        model.ListenerID
	transport transport
}

// socket is an open port: *frontend.Listener, *frontend.QUIC or *l4.UDPListener.
type socket interface {
	Addr() net.Addr
	// Serve serves what comes until Close or Leave.
	Serve()
	// Close is for a port that the configuration has no more, and returns when it is
	// free, or will be with its last connection. Leave is for a drain; shared tells
	// that another process goes on with the socket.
	Close()
	Leave(shared bool)
}

// openSocket is a socket and the address that was asked for.
type openSocket struct {
	socket
	address string
}

// sockets are all that are open.
type sockets map[socketKey]openSocket

func (s sockets) addr(id model.ListenerID) net.Addr {
	for _, t := range [...]transport{tcp, udp} {
		if open, is := s[socketKey{id, t}]; is {
			return open.Addr()
		}
	}
	return nil
}

// tcp is the listener of that id, or nil.
func (s sockets) tcp(id model.ListenerID) *frontend.Listener {
	l, _ := s[socketKey{id, tcp}].socket.(*frontend.Listener)
	return l
}

// udp are all listeners of UDP.
func (s sockets) udp() (all []*l4.UDPListener) {
	for _, open := range s {
		if l, is := open.socket.(*l4.UDPListener); is {
			all = append(all, l)
		}
	}
	return all
}

// leave has all sockets accept no more.
func (s sockets) leave(shared bool) {
	for _, open := range s {
		open.Leave(shared)
	}
}

// wanted is a socket that a snapshot asks for.
type wanted struct {
	socketKey
	listener model.Listener
	address  string
}

// wants lists the sockets that a snapshot asks for, those of QUIC behind all others:
// they stand beside those of TCP, and give way to a listener of UDP that wants their
// port.
func (p *Proxy) wants(s *model.Snapshot) []wanted {
	all := make([]wanted, 0, len(s.Config.Listeners))
	for _, l := range s.Config.Listeners {
		w := wanted{socketKey{l.ID, tcp}, l, p.cfg.Address(l)}
		if l.ID.UDP {
			w.transport = udp
		}
		all = append(all, w)
	}
	for _, w := range slices.Clone(all) {
		if p.wantsHTTP3(s, w.listener) {
			w.transport = quic
			all = append(all, w)
		}
	}
	return all
}

// wantsHTTP3 reports whether a listener of s is to serve HTTP/3. Where a route asks
// for its port of UDP, that has it.
func (p *Proxy) wantsHTTP3(s *model.Snapshot, want model.Listener) bool {
	if p.cfg.HTTP3 == nil || !p.cfg.Limits.HTTP3 || want.Protocol != model.HTTPS {
		return false
	}
	asked := want.ID
	asked.UDP = true
	return !slices.ContainsFunc(s.Config.Listeners, func(l model.Listener) bool { return l.ID == asked })
}

// isOpen reports whether a socket is open where it should be.
func (s sockets) isOpen(w wanted) bool {
	open, is := s[w.socketKey]
	if q, isQUIC := open.socket.(*frontend.QUIC); isQUIC {
		return q.Beside(s.tcp(w.id))
	}
	return is && open.address == w.address
}

// lacking are the sockets that s asks for and that are not open.
func (p *Proxy) lacking(s *model.Snapshot) []wanted {
	return slices.DeleteFunc(p.wants(s), p.sockets.isOpen)
}

// WithoutHTTP3 lists the UDP addresses on which the Snapshot that is live would
// have HTTP/3 served, and which could not be opened.
func (p *Proxy) WithoutHTTP3() (addresses []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.lacking(p.live.Load().gen.Snapshot) {
		if l := p.sockets.tcp(w.id); w.transport == quic && l != nil {
			addresses = append(addresses, l.Addr().String())
		}
	}
	return addresses
}

// socketChange is what is to become of the sockets once a snapshot is live.
type socketChange struct {
	opened []socket
	closed []socket
}

// prepare opens what s asks for and is not open. Nothing is served on it before commit.
func (p *Proxy) prepare(s *model.Snapshot) (change socketChange, reports []reason.Report) {
	all := p.wants(s)
	for key, open := range p.sockets {
		if slices.ContainsFunc(all, func(w wanted) bool { return w.socketKey == key }) {
			continue
		}
		if delete(p.sockets, key); key.transport == quic {
			open.Close() // a listener of UDP may want its port
			continue
		}
		change.closed = append(change.closed, open.socket)
	}
	for _, w := range all {
		if p.sockets.isOpen(w) {
			continue
		}
		made, err := p.open(w)
		if err != nil {
			reports = append(reports, w.failed(err))
			continue
		}
		if made == nil {
			continue // there is no port of TCP to stand beside
		}
		if old, moved := p.sockets[w.socketKey]; moved {
			change.closed = append(change.closed, old.socket)
		}
		p.sockets[w.socketKey] = openSocket{made, w.address}
		change.opened = append(change.opened, made)
	}
	return change, reports
}

// open opens a socket.
func (p *Proxy) open(w wanted) (socket, error) {
	switch w.transport {
	case udp:
		conn, err := p.cfg.ListenUDP(w.address)
		if err != nil {
			return nil, err
		}
		return p.l4.ListenUDP(w.id, conn), nil
	case quic:
		l := p.sockets.tcp(w.id)
		if l == nil {
			return nil, nil
		}
		conn, err := net.ListenPacket("udp", l.Addr().String())
		if err != nil {
			return nil, err
		}
		return l.ListenQUIC(conn), nil
	default:
		conn, err := p.cfg.Listen(w.address)
		if err != nil {
			return nil, err
		}
		return p.frontend.Listen(w.listener, conn), nil
	}
}

// failed reports a socket that cannot be opened.
func (w wanted) failed(err error) reason.Report {
	address := w.address
	switch w.transport {
	case quic:
		return reason.New(reason.HTTP3Unavailable, reason.Origin{}, fmt.Sprintf("no HTTP/3 for port %s: %v", w.id, err))
	case udp:
		address = "UDP " + address
	}
	fix := fmt.Sprintf("free it, or publish it elsewhere: --publish %d=ADDR:PORT", w.id.Port)
	if w.id.Gateway != "" {
		fix = "free it, or give Gateway " + w.id.Gateway + " another address"
	}
	return reason.New(reason.ListenFailed, reason.Origin{},
		fmt.Sprintf("port %s cannot be opened at %s: %v", w.id, address, err)).WithFix(fix)
}

// commit serves on the sockets that were opened, and closes those that are not wanted
// any more.
func (p *Proxy) commit(change socketChange) {
	for _, made := range change.opened {
		if q, is := made.(*frontend.QUIC); is {
			q.Open()
		}
		p.engine.Go(made.Serve)
	}
	for _, old := range change.closed {
		old.Close()
	}
}
