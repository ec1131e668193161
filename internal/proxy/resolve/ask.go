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

// udpSize is the largest answer that servers may send in one datagram: one that
// no network splits (DNS flag day 2020).
const udpSize = 1232

// maxAliases bounds a chain of CNAMEs.
const maxAliases = 16

// ask asks the servers, one after the other, for the records of one type, until
// one knows.
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

// exchange asks one server, over UDP, and over TCP where the answer was cut
// (RFC 7766 §5). The error says why there is no answer to go by.
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

// cause leaves our own port out of an error of the network, which is another each
// time: one failure is to read the same.
func cause(err error) error {
	var broken *net.OpError
	if errors.As(err, &broken) {
		return broken.Err
	}
	return err
}

// converse sends a question over a connection of its own. It ends with ctx.
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

// answers reports whether a message is the answer to a question, which miekg/dns
// goes by the ID for.
func answers(reply, question *dns.Msg) bool {
	if !reply.Response || len(reply.Question) != 1 {
		return false
	}
	asked, said := question.Question[0], reply.Question[0]
	return strings.EqualFold(asked.Name, said.Name) && asked.Qtype == said.Qtype && asked.Qclass == said.Qclass
}

// read takes the addresses of a name from an answer, through its aliases. The
// shortest time to live of all that was needed counts.
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
