package resolve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// udpSize is the largest response that servers may send in one datagram, in bytes: a
// size that no network fragments (DNS flag day 2020).
const udpSize = 1232

// maxAliases bounds a chain of CNAME records.
const maxAliases = 16

// ask queries the servers in turn for the records of one type, until one gives an
// answer.
func (c *config) ask(ctx context.Context, name string, kind uint16) (Answer, error) {
	err := errors.New("resolv.conf names no server")
	for range max(c.Attempts, 1) {
		for _, server := range c.Servers {
			var reply *dns.Msg
			if reply, err = c.exchange(ctx, server, name, kind); err == nil {
				return read(reply, name, kind), nil
			}
			if ctx.Err() != nil {
				return Answer{}, fmt.Errorf("%w: %s: %w", ErrFailed, name, ctx.Err())
			}
		}
	}
	return Answer{}, fmt.Errorf("%w: %s: %w", ErrFailed, name, err)
}

// exchange queries one server, over UDP, and over TCP if the response was truncated
// (RFC 7766 §5). The error says why there is no usable answer.
func (c *config) exchange(ctx context.Context, server, name string, kind uint16) (*dns.Msg, error) {
	question := new(dns.Msg).SetQuestion(name, kind)
	question.SetEdns0(udpSize, false)
	address := net.JoinHostPort(server, c.Port)
	for _, network := range [...]string{"udp", "tcp"} {
		client := dns.Client{Net: network, Timeout: time.Duration(max(c.Timeout, 1)) * time.Second, UDPSize: udpSize}
		reply, err := converse(ctx, &client, question, address)
		switch {
		case err != nil && (reply == nil || !reply.Truncated):
			return nil, fmt.Errorf("%s: %w", address, cause(err))
		case !answers(reply, question):
			return nil, fmt.Errorf("%s answers another question", address)
		case reply.Truncated && network == "udp":
			continue
		case reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError:
			return nil, fmt.Errorf("%s says %s", address, dns.RcodeToString[reply.Rcode])
		}
		return reply, nil
	}
	return nil, fmt.Errorf("%s cuts its answer", address)
}

// cause removes our local port, which differs each time, from a network error, so that
// the same failure has the same text.
func cause(err error) error {
	var broken *net.OpError
	if errors.As(err, &broken) {
		return broken.Err
	}
	return err
}

// converse sends a query over a new connection. It ends with ctx.
func converse(ctx context.Context, client *dns.Client, question *dns.Msg, address string) (*dns.Msg, error) {
	conn, err := client.DialContext(ctx, address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	reply, _, err := client.ExchangeWithConnContext(ctx, question, conn)
	return reply, err
}

// answers reports whether a message is the response to a query. miekg/dns checks only
// the ID.
func answers(reply, question *dns.Msg) bool {
	if !reply.Response || len(reply.Question) != 1 {
		return false
	}
	asked, said := question.Question[0], reply.Question[0]
	return strings.EqualFold(asked.Name, said.Name) && asked.Qtype == said.Qtype && asked.Qclass == said.Qclass
}

// read returns the addresses of a name in a response, following its aliases. The TTL is
// the lowest of all records that were needed.
func read(reply *dns.Msg, name string, kind uint16) Answer {
	var out Answer
	shortest := uint32(1<<31 - 1)
	for range maxAliases {
		alias := ""
		for _, record := range reply.Answer {
			head := record.Header()
			if !strings.EqualFold(head.Name, name) || head.Class != dns.ClassINET {
				continue
			}
			switch r := record.(type) {
			case *dns.CNAME:
				alias, shortest = r.Target, min(shortest, head.Ttl)
			case *dns.A, *dns.AAAA:
				if addr := addrOf(r); head.Rrtype == kind && addr.IsValid() {
					out.Addrs, shortest = append(out.Addrs, addr), min(shortest, head.Ttl)
				}
			}
		}
		if len(out.Addrs) > 0 || alias == "" {
			break
		}
		name = alias
	}
	out.TTL = time.Duration(shortest) * time.Second
	return out
}

func addrOf(record dns.RR) netip.Addr {
	var ip net.IP
	switch r := record.(type) {
	case *dns.A:
		ip = r.A
	case *dns.AAAA:
		ip = r.AAAA
	}
	addr, _ := netip.AddrFromSlice(ip)
	return addr.Unmap()
}
