package cli

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"windrose.dev/windrose/internal/model"
)

// routeLine is one line of the routing table: a rule at a host of a listener.
type routeLine struct {
	Listener string `json:"listener"`
	Host     string `json:"host"`
	Match    string `json:"match"`
	Does     string `json:"does"`
	Rule     string `json:"rule"`
	// At is where the rule was written.
	At string `json:"at,omitempty"`
}

// routesOf lists the rules of a Snapshot in the order in which they are matched: by
// listener, the most specific host first, and then in the order of the blocks.
func routesOf(s *model.Snapshot) []routeLine {
	type place struct {
		listener model.ListenerID
		host     *model.Host
	}
	var places []place
	for i := range s.Config.Hosts {
		for _, id := range s.Config.Hosts[i].Listeners {
			places = append(places, place{id, &s.Config.Hosts[i]})
		}
	}
	slices.SortStableFunc(places, func(a, b place) int {
		return cmp.Or(a.listener.Compare(b.listener), compareHosts(a.host.Name, b.host.Name))
	})
	out := []routeLine{}
	for _, p := range places {
		for _, b := range p.host.Blocks {
			for i := range b.Rules {
				r := &b.Rules[i]
				out = append(out, routeLine{p.listener.String(), p.host.Name, matchOf(r), r.Does(), r.ID, s.Origins[r.ID].Place()})
			}
		}
	}
	return append(out, l4RoutesOf(s)...)
}

// l4RoutesOf lists the L4 routes, by listener, the most specific server name first.
func l4RoutesOf(s *model.Snapshot) []routeLine {
	l4Routes := slices.Clone(s.Config.L4Routes)
	slices.SortStableFunc(l4Routes, func(a, b model.L4Route) int {
		return cmp.Or(a.Listener.Compare(b.Listener), compareHosts(a.Name, b.Name))
	})
	out := make([]routeLine, 0, len(l4Routes))
	for i := range l4Routes {
		r := &l4Routes[i]
		out = append(out, routeLine{r.Listener.String(), r.Name, "(connection)", r.Does(), r.ID, s.Origins[r.ID].Place()})
	}
	return out
}

// compareHosts orders exact names before wildcards, and longer wildcards before shorter
// ones.
func compareHosts(a, b string) int {
	wildA, wildB := strings.Count(a, "*"), strings.Count(b, "*")
	if (wildA > 0) != (wildB > 0) {
		return cmp.Compare(wildA, wildB)
	}
	if wildA > 0 {
		return cmp.Or(cmp.Compare(len(strings.TrimLeft(b, "*")), len(strings.TrimLeft(a, "*"))), cmp.Compare(wildA, wildB))
	}
	return cmp.Compare(a, b)
}

// matchOf returns what a rule matches.
func matchOf(r *model.Rule) string {
	if r.When == nil {
		return pathOf(r.Path)
	}
	return pathOf(r.Path) + " " + r.When.String()
}

func writeRoutes(out io.Writer, lines []routeLine) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "LISTENER\tHOST\tMATCH\tDOES\tRULE\tWRITTEN AT")
	for _, l := range lines {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", l.Listener, l.Host, l.Match, l.Does, l.Rule, l.At)
	}
	return w.Flush()
}

// change is one difference between two routing tables.
type change struct {
	// Sign is + for a new rule, - for a removed one, and ~ for one that does something
	// else.
	Sign     string `json:"sign"`
	Listener string `json:"listener"`
	Host     string `json:"host"`
	Match    string `json:"match"`
	Was      string `json:"was,omitempty"`
	Is       string `json:"is,omitempty"`
	At       string `json:"at,omitempty"`
}

// trafficOf lists everything whose change affects traffic: the listeners, their
// certificates, and the rules.
func trafficOf(s *model.Snapshot) []routeLine {
	digests := map[string]string{}
	for _, secret := range s.Secrets {
		digests[secret.Name] = secret.Digest
	}
	var out []routeLine
	for _, l := range s.Config.Listeners {
		protocol, _ := l.Protocol.MarshalText()
		out = append(out, routeLine{Listener: l.ID.String(), Match: "(listener)", Does: strings.TrimSpace(string(protocol) + " " + l.Address)})
		for _, c := range l.Certificates {
			does := c.Secret + " " + digests[c.Secret]
			out = append(out, routeLine{Listener: l.ID.String(), Host: c.Host, Match: "(certificate)", Does: strings.TrimSpace(does)})
		}
	}
	return append(out, routesOf(s)...)
}

// changesOf compares two Snapshots, match by match. If several rules at a host have the
// same match, only the first is ever reached.
func changesOf(was, is *model.Snapshot) []change {
	type key struct{ listener, host, match string }
	keyOf := func(l routeLine) key { return key{l.Listener, l.Host, l.Match} }
	old, before := trafficOf(was), map[key]routeLine{}
	for _, l := range old {
		if _, taken := before[keyOf(l)]; !taken {
			before[keyOf(l)] = l
		}
	}
	out := []change{}
	seen := map[key]bool{}
	for _, l := range trafficOf(is) {
		if seen[keyOf(l)] {
			continue
		}
		seen[keyOf(l)] = true
		switch was, existed := before[keyOf(l)]; {
		case !existed:
			out = append(out, change{"+", l.Listener, l.Host, l.Match, "", l.Does, l.At})
		case was.Does != l.Does:
			out = append(out, change{"~", l.Listener, l.Host, l.Match, was.Does, l.Does, l.At})
		}
	}
	for _, l := range old {
		if !seen[keyOf(l)] {
			seen[keyOf(l)] = true
			out = append(out, change{"-", l.Listener, l.Host, l.Match, l.Does, "", l.At})
		}
	}
	return out
}

func writeDiff(out io.Writer, output string, was, is *model.Snapshot) error {
	changes := changesOf(was, is)
	if output == "json" {
		return writeJSON(out, changes)
	}
	if len(changes) == 0 {
		_, err := fmt.Fprintln(out, "nothing changes for traffic")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	for _, c := range changes {
		does := c.Is
		switch c.Sign {
		case "-":
			does = c.Was
		case "~":
			does = c.Was + " → " + c.Is
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", c.Sign, c.Listener, c.Host, c.Match, does, c.At)
	}
	return w.Flush()
}
