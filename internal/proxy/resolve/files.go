package resolve

import (
	"bufio"
	"cmp"
	"io"
	"net/netip"
	"os"
	"strings"

	"github.com/miekg/dns"
)

// maxFile bounds what is read of a file, in bytes.
const maxFile = 1 << 20

// config is the content of resolv.conf.
type config struct{ *dns.ClientConfig }

// config reads resolv.conf. If there is none, the server is on this machine
// (resolv.conf(5)).
func (r *Resolver) config() (*config, error) {
	file, err := os.Open(cmp.Or(r.Config, "/etc/resolv.conf"))
	var text io.Reader = strings.NewReader("")
	switch {
	case err == nil:
		defer file.Close()
		text = io.LimitReader(file, maxFile)
	case !os.IsNotExist(err):
		return nil, err
	}
	conf, err := dns.ClientConfigFromReader(text)
	if err != nil {
		return nil, err
	}
	if len(conf.Servers) == 0 {
		conf.Servers = []string{"127.0.0.1"}
	}
	conf.Port = cmp.Or(r.Port, conf.Port)
	return &config{conf}, nil
}

// inHosts looks a name up in hosts(5). A file that cannot be read has no names.
func (r *Resolver) inHosts(host string) (addrs []netip.Addr) {
	file, err := os.Open(cmp.Or(r.Hosts, "/etc/hosts"))
	if err != nil {
		return nil
	}
	defer file.Close()
	host = strings.TrimSuffix(host, ".")
	for lines := bufio.NewScanner(io.LimitReader(file, maxFile)); lines.Scan(); {
		line, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		addr, err := netip.ParseAddr(words[0])
		if err != nil {
			continue
		}
		for _, name := range words[1:] {
			if strings.EqualFold(strings.TrimSuffix(name, "."), host) {
				addrs = append(addrs, addr.Unmap().WithZone(""))
			}
		}
	}
	return addrs
}
