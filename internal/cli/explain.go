package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/filter/edge"
	"windrose.dev/windrose/internal/proxy/serve"
	"windrose.dev/windrose/internal/proxy/sock"
	"windrose.dev/windrose/internal/proxy/upstream"
)

const explainLong = `Walk one request through the routing and say why it goes where it goes: the
rule that wins, each rule that loses and the first condition that it fails,
what filters do to the request, and which backends and endpoints can get it.

A URL of tls://, tcp:// or udp:// asks for a connection on layer 4: the L4 route
that takes it, by server name or by port.

With -f it asks what a directory would do; pods are not started for that, so
that only endpoints that stand in the directory are known. Without it, it asks
the running process at --admin. Nothing is sent to any backend.

The exit status is 0 when a rule takes the request, and 1 when none does.`

const explainExample = `  windrose explain -f examples/shop https://shop.localhost/cart
  windrose explain -f examples/l4 tls://raw.localhost
  windrose explain -X POST -H 'x-env: canary' http://shop.localhost:8080/`

type explainFlags struct {
	files           []string
	admin           string
	method, gateway string
	client, output  string
	headers         []string
	translationFlags
}

func explainCommand() *cobra.Command {
	var flags explainFlags
	cmd := &cobra.Command{
		Use: "explain URL", Short: "say where a request goes, and why",
		Long: explainLong, Example: explainExample,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runExplain(cmd.OutOrStdout(), args[0], flags)
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&flags.files, "filename", "f", nil, "directory or file with resources, may be repeated (default: ask the running process)")
	f.StringVar(&flags.admin, "admin", serve.DefaultAdmin, "address of the admin API of the running process")
	f.StringVarP(&flags.method, "request", "X", "GET", "method")
	f.StringArrayVarP(&flags.headers, "header", "H", nil, "header field 'Name: value', may be repeated; Host replaces the URL's")
	f.StringVar(&flags.gateway, "gateway", "", "NAMESPACE/NAME of the Gateway, where each has ports of its own")
	f.StringVar(&flags.client, "client", "127.0.0.1", "address of the client")
	f.StringVarP(&flags.output, "output", "o", "text", "text or json")
	flags.translationFlags.add(cmd)
	return cmd
}

// Errors of explanations in which no rule matches the request or connection.
var (
	errNoRule    = errors.New("no rule takes this request")
	errNoL4Route = errors.New("no rule takes this connection")
)

func runExplain(out io.Writer, to string, flags explainFlags) error {
	if flags.output != "text" && flags.output != "json" {
		return fmt.Errorf("-o %s: write text or json", flags.output)
	}
	question, err := questionOf(to, flags)
	if err != nil {
		return err
	}
	var answer *exchange.Explanation
	if len(flags.files) > 0 {
		answer, err = explainFiles(question, flags)
	} else {
		answer, err = explainLive(question, flags.admin)
	}
	if err != nil {
		return err
	}
	if flags.output == "json" {
		err = writeJSON(out, answer)
	} else {
		err = writeExplanation(out, answer, paintFor(out))
	}
	switch {
	case err != nil || answer.Matched():
		return err
	case answer.Layer4:
		return errNoL4Route
	}
	return errNoRule
}

func questionOf(to string, flags explainFlags) (exchange.Question, error) {
	if !strings.Contains(to, "://") {
		to = "http://" + to
	}
	client, err := netip.ParseAddr(flags.client)
	if err != nil {
		return exchange.Question{}, fmt.Errorf("--client: %w", err)
	}
	q := exchange.Question{Method: flags.method, URL: to, Gateway: flags.gateway, Client: client}
	for _, h := range flags.headers {
		name, value, found := strings.Cut(h, ":")
		if !found {
			return q, fmt.Errorf("-H %q is not 'Name: value'", h)
		}
		q.Headers = append(q.Headers, model.Header{Name: strings.TrimSpace(name), Value: strings.TrimSpace(value)})
	}
	return q, nil
}

// explainFiles compiles the resources of a directory, as a proxy would.
func explainFiles(q exchange.Question, flags explainFlags) (*exchange.Explanation, error) {
	result, err := translateFiles(translateFlags{translationFlags: flags.translationFlags}, flags.files)
	if err != nil {
		return nil, err
	}
	compiler := exchange.Compiler{
		Filters: edge.Table(), Metrics: observe.NewMetrics(1),
		Registry: upstream.NewRegistry(upstream.Config{Shards: 1, Clock: sock.NewClock()}),
	}
	generation, _, err := compiler.Compile(result.Snapshot, nil)
	if err != nil {
		return nil, err
	}
	return exchange.Explain(generation, q)
}

// explainLive asks a running process.
func explainLive(q exchange.Question, admin string) (*exchange.Explanation, error) {
	ask := url.Values{"url": {q.URL}, "method": {q.Method}, "gateway": {q.Gateway}, "client": {q.Client.String()}}
	for _, h := range q.Headers {
		ask.Add("header", h.Name+": "+h.Value)
	}
	client := http.Client{Timeout: 10 * time.Second}
	response, err := client.Get("http://" + admin + "/explain?" + ask.Encode())
	if err != nil {
		return nil, fmt.Errorf("asking the running process: %w; start one with windrose run, name its --admin address, or explain a directory with -f", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<20))
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, errors.New(strings.TrimSpace(string(body)))
	}
	var answer exchange.Explanation
	return &answer, json.Unmarshal(body, &answer)
}
