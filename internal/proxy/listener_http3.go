package proxy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/reason"
)

// wantsHTTP3 tells whether a listener of s is to serve HTTP/3. Where a route asks
// for its port of UDP, that has it.
func (p *Proxy) wantsHTTP3(s *model.Snapshot, want model.Listener) bool {
	if p.cfg.HTTP3 == nil || !p.cfg.Limits.HTTP3 || want.Protocol != model.HTTPS {
		return false
	}
	asked := want.ID
	asked.UDP = true
	return !slices.ContainsFunc(s.Config.Listeners, func(l model.Listener) bool { return l.ID == asked })
}

// lacksHTTP3 tells whether a listener is to serve HTTP/3, and does not.
func (p *Proxy) lacksHTTP3(s *model.Snapshot, want model.Listener) bool {
	l := p.listeners[want.ID]
	return l != nil && p.wantsHTTP3(s, want) && l.http3.Load() == nil
}

// WithoutHTTP3 lists the UDP addresses on which the Snapshot that is live would
// have HTTP/3 served, and which could not be opened.
func (p *Proxy) WithoutHTTP3() (addresses []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.live.Load().gen.Snapshot
	for _, want := range s.Config.Listeners {
		if p.lacksHTTP3(s, want) {
			addresses = append(addresses, p.listeners[want.ID].net.Addr().String())
		}
	}
	return addresses
}

// closeHTTP3 closes the UDP sockets that s does not ask for any more.
func (p *Proxy) closeHTTP3(s *model.Snapshot) {
	for _, want := range s.Config.Listeners {
		if l := p.listeners[want.ID]; l != nil && !p.wantsHTTP3(s, want) {
			l.closeHTTP3()
		}
	}
}

// openHTTP3 opens the UDP sockets that s asks for and that are not open, beside
// TCP's.
func (p *Proxy) openHTTP3(s *model.Snapshot) (sockets map[*listener]net.PacketConn, reports []reason.Report) {
	sockets = map[*listener]net.PacketConn{}
	for _, want := range s.Config.Listeners {
		if !p.lacksHTTP3(s, want) {
			continue
		}
		l := p.listeners[want.ID]
		socket, err := net.ListenPacket("udp", l.net.Addr().String())
		if err != nil {
			reports = append(reports, http3Failed(want, err))
			continue
		}
		sockets[l] = socket
	}
	return sockets, reports
}

func http3Failed(want model.Listener, err error) reason.Report {
	return reason.New(reason.HTTP3Unavailable, reason.Origin{}, fmt.Sprintf("no HTTP/3 for port %s: %v", want.ID, err))
}

// startHTTP3 serves on sockets that were opened, once what they need is live.
func (p *Proxy) startHTTP3(sockets map[*listener]net.PacketConn) {
	for l, socket := range sockets {
		open := &openHTTP3{
			HTTP3Listener: p.cfg.HTTP3(HTTP3Config{
				Socket: socket, TLS: l.http3TLS, Limits: p.cfg.Limits, Clock: p.clock, Growth: &p.growth,
				Room: p.hasRoom, Admit: l.admitHTTP3, Failed: l.http3HandshakeFailed,
			}),
			altSvc: fmt.Appendf(nil, `h3=":%d"; ma=86400`, l.public),
		}
		l.http3.Store(open)
		p.serving.Go(func() {
			open.Serve()
			l.http3.CompareAndSwap(open, nil) // the socket may have failed
		})
	}
}

// closeHTTP3 has the listener take no more connections of HTTP/3, and those that
// there are end with their last stream: they all need the socket.
func (l *listener) closeHTTP3() {
	open := l.http3.Swap(nil)
	if open == nil {
		return
	}
	open.Close()
	l.proxy.eachSession(func(s *session) {
		if s.listener == l && s.quic != nil {
			s.quic.Leave(true)
		}
	})
}

// hasRoom tells whether there is room for another connection.
func (p *Proxy) hasRoom() bool {
	limit := int64(p.cfg.Limits.Connections)
	return limit <= 0 || p.open.Load() < limit
}

// errNoTLS refuses handshakes on a listener that has just stopped speaking TLS.
var errNoTLS = errors.New("the listener does not speak TLS")

// http3TLS is the listener's TLS as it is now, as QUIC needs it.
func (l *listener) http3TLS(hello *tls.ClientHelloInfo) (*tls.Config, HTTP3Terms, error) {
	t := l.proxy.live.Load().tls[l.id]
	if t == nil {
		return nil, HTTP3Terms{}, errNoTLS
	}
	if t.refused != nil {
		return nil, HTTP3Terms{}, t.refused
	}
	config := t.config.Clone() // with the ticket keys of now
	config.NextProtos, config.MinVersion = []string{"h3"}, tls.VersionTLS13
	return config, HTTP3Terms{t}, nil
}

// http3HandshakeFailed counts a failed handshake, and says why it did.
func (l *listener) http3HandshakeFailed(client netip.AddrPort, start int64, err error) {
	p := l.proxy
	sh := p.nextShard()
	l.stats.HandshakeErrors.Add(sh.index, 1)
	if errors.Is(err, io.EOF) {
		return // see logHandshake
	}
	p.cfg.Log.Record(sh.index, &observe.Flow{
		Start: p.clock.Time(start), Duration: durationOf(start, p.clock.Now()),
		Client: client, TLS: true, Major: 3, Outcome: reason.HandshakeFailed, Detail: err.Error(),
	})
}
