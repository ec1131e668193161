package cli

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"windrose.dev/windrose/internal/model"
)

// maxEntryPoints bounds the table; a directory may have thousands of rules.
const maxEntryPoints = 50

// entryPoint says how to reach a rule: its URL, what responds there, and where the rule
// was written.
type entryPoint struct {
	URL        string `json:"url"`
	AnsweredBy string `json:"answeredBy"`
	WrittenAt  string `json:"writtenAt,omitempty"`
}

// entryPoints lists the entry points of a Snapshot. addr returns the address on which a
// listener listens.
func entryPoints(s *model.Snapshot, addr func(model.ListenerID) net.Addr) (out []entryPoint) {
	endpoints := map[model.ServiceID]int{}
	for _, e := range s.Endpoints {
		endpoints[e.Service] = len(e.Endpoints) + len(e.Names)
	}
	secure := map[model.ListenerID]bool{}
	for _, l := range s.Config.Listeners {
		secure[l.ID] = l.Protocol == model.HTTPS
	}
	for _, h := range s.Config.Hosts {
		for _, b := range h.Blocks {
			for i := range b.Rules {
				r := &b.Rules[i]
				out = append(out, entryPoint{urlOf(h, r, secure, addr), answerOf(r, endpoints), s.Origins[r.ID].Place()})
			}
		}
	}
	for i := range s.Config.L4Routes {
		r := &s.Config.L4Routes[i]
		out = append(out, entryPoint{l4RouteURL(r, addr), l4RouteAnswer(r, endpoints), s.Origins[r.ID].Place()})
	}
	return out
}

// l4RouteURL returns the address at which connections reach an L4 route.
func l4RouteURL(r *model.L4Route, addr func(model.ListenerID) net.Addr) string {
	scheme, host, port := "tcp", r.Name, strconv.Itoa(int(r.Listener.Port))
	switch {
	case r.Listener.UDP:
		scheme = "udp"
	case r.Name != "":
		scheme = "tls"
	}
	if a := addr(r.Listener); a != nil {
		ip, number, _ := net.SplitHostPort(a.String())
		port = number
		if host == "" {
			host = ip
		}
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

func l4RouteAnswer(r *model.L4Route, endpoints map[model.ServiceID]int) string {
	if r.Respond != nil {
		return fmt.Sprintf("refused, %s: %s", r.Respond.Outcome, r.Respond.Why)
	}
	var parts []string
	for _, b := range r.Backends {
		if b.Respond != nil {
			parts = append(parts, fmt.Sprintf("refused, %s: %s", b.Respond.Outcome, b.Respond.Why))
			continue
		}
		parts = append(parts, b.Service.String()+", "+quantity(endpoints[b.Service], "endpoint"))
	}
	return strings.Join(parts, "; ")
}

// writeEntryPoints prints the table.
func writeEntryPoints(out io.Writer, points []entryPoint) {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "ENTRY POINT\tANSWERED BY\tWRITTEN AT")
	shown := min(len(points), maxEntryPoints)
	for _, p := range points[:shown] {
		fmt.Fprintf(w, "%s\t%s\t%s\n", p.URL, p.AnsweredBy, p.WrittenAt)
	}
	w.Flush()
	if more := len(points) - shown; more > 0 {
		fmt.Fprintf(out, "… and %d more; windrose translate --to model lists them all\n", more)
	}
}

// urlOf returns the URL of a rule on the first listener that does not redirect it.
func urlOf(h model.Host, r *model.Rule, secure map[model.ListenerID]bool, addr func(model.ListenerID) net.Addr) string {
	listener := h.Listeners[0]
	if model.FilterOf[*model.TLSRedirect](r.Filters) != nil {
		if i := slices.IndexFunc(h.Listeners, func(id model.ListenerID) bool { return secure[id] }); i >= 0 {
			listener = h.Listeners[i]
		}
	}
	scheme, defaultPort := "http", "80"
	if secure[listener] {
		scheme, defaultPort = "https", "443"
	}
	host, shown := h.Name, strconv.Itoa(int(listener.Port))
	if a, ok := addr(listener).(*net.TCPAddr); ok {
		shown = strconv.Itoa(a.Port)
		if host == "*" {
			host = a.IP.String()
		}
	}
	if shown != defaultPort {
		host = net.JoinHostPort(host, shown)
	}
	return scheme + "://" + host + pathOf(r.Path)
}

func pathOf(p model.PathMatch) string {
	switch p.Kind {
	case model.ExactPath:
		return p.Value
	case model.RegexPath:
		return " " + p.Value
	}
	return strings.TrimSuffix(p.Value, "/") + "/…"
}

func answerOf(r *model.Rule, endpoints map[model.ServiceID]int) string {
	if r.Respond != nil {
		return fmt.Sprintf("%d %s: %s", r.Respond.Status, r.Respond.Outcome, r.Respond.Why)
	}
	if r.Redirect != nil {
		return fmt.Sprintf("%d redirect", r.Redirect.Status)
	}
	var parts []string
	for _, b := range r.Forward.Backends {
		if b.Respond != nil {
			parts = append(parts, fmt.Sprintf("%d %s: %s", b.Respond.Status, b.Respond.Outcome, b.Respond.Why))
			continue
		}
		parts = append(parts, b.Service.String()+", "+quantity(endpoints[b.Service], "endpoint"))
	}
	return strings.Join(parts, "; ")
}

// quantity returns a number and a noun: 1 endpoint, 2 endpoints.
func quantity(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return strconv.Itoa(n) + " " + thing
}
