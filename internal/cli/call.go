package cli

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"windrose.dev/windrose/internal/call"
)

// maxCallBody bounds the size of the -d body, in bytes.
const maxCallBody = 64 << 20

const callLong = `Send requests and print how they ended: by status, by the pod that answered,
and by error.

Each request is sent once: one that meets a dead connection, or gets half an
answer, is an error. Redirects are not followed. Names under localhost are
127.0.0.1. The exit status is 0 when every request got an answer, whatever its
status, and 1 otherwise.`

const callExample = `  windrose call http://shop.localhost:8080/
  windrose call -n 100 -c 4 -o json -H 'Host: shop.example' http://127.0.0.1:8080/
  windrose call --resolve shop.example:443:127.0.0.1:8443 --cacert ca.crt https://shop.example/`

// callFlags are the flags as given.
type callFlags struct {
	method, data, output, caFile string
	headers, resolve             []string
	requests, concurrency        int
	rate                         float64
	timeout                      time.Duration
	insecure, include            bool
}

func callCommand() *cobra.Command {
	var flags callFlags
	cmd := &cobra.Command{
		Use: "call URL", Short: "send requests and print their distribution",
		Long: callLong, Example: callExample,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cmd.SilenceUsage = true
			return runCall(cmd, args[0], flags)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&flags.method, "request", "X", "", "method (default GET, or POST with -d)")
	f.StringArrayVarP(&flags.headers, "header", "H", nil, "header field 'Name: value', may be repeated; Host replaces the URL's")
	f.StringVarP(&flags.data, "data", "d", "", "request body, @FILE to read it from a file, @- from standard input")
	f.StringArrayVar(&flags.resolve, "resolve", nil, "HOST:PORT:ADDR[:PORT], connect there for that host and port, may be repeated")
	f.IntVarP(&flags.requests, "requests", "n", 1, "number of requests")
	f.IntVarP(&flags.concurrency, "concurrency", "c", 1, "requests under way at once, each on its own connection")
	f.Float64Var(&flags.rate, "rate", 0, "requests begun in a second at most (default no bound)")
	f.DurationVar(&flags.timeout, "timeout", 10*time.Second, "time for one request, connecting included")
	f.BoolVarP(&flags.insecure, "insecure", "k", false, "accept any certificate")
	f.StringVar(&flags.caFile, "cacert", "", "PEM file of the authorities to trust (default the system's)")
	f.BoolVarP(&flags.include, "include", "i", false, "print the answer's header fields (with one request)")
	f.StringVarP(&flags.output, "output", "o", "text", "text or json")
	return cmd
}

func runCall(cmd *cobra.Command, url string, flags callFlags) error {
	if flags.output != "text" && flags.output != "json" {
		return fmt.Errorf("-o %s: write text or json", flags.output)
	}
	config, err := callConfig(cmd.InOrStdin(), url, flags)
	if err != nil {
		return err
	}
	result, err := call.Run(cmd.Context(), config)
	if err != nil {
		return err
	}
	if err := printCall(cmd.OutOrStdout(), result, flags); err != nil {
		return err
	}
	switch {
	case result.Errors > 0:
		return fmt.Errorf("%d of %d requests got no answer", result.Errors, result.Requests)
	case result.Requests < flags.requests:
		return fmt.Errorf("interrupted after %d of %d requests", result.Requests, flags.requests)
	}
	return nil
}

func printCall(w io.Writer, result call.Result, flags callFlags) error {
	if flags.output == "json" {
		return json.NewEncoder(w).Encode(result.Summary)
	}
	headers := call.WithoutHeaders
	if flags.include {
		headers = call.WithHeaders
	}
	return call.WriteText(w, result, headers)
}

func callConfig(stdin io.Reader, url string, flags callFlags) (call.Config, error) {
	header, headerErr := callHeader(flags.headers)
	resolve, resolveErr := callResolve(flags.resolve)
	roots, rootsErr := callRoots(flags.caFile)
	body, bodyErr := callBody(stdin, flags.data)
	if len(body) > 0 && header.Get("Content-Type") == "" {
		header.Set("Content-Type", "application/x-www-form-urlencoded") // as curl does
	}
	err := errors.Join(headerErr, resolveErr, rootsErr, bodyErr)
	if flags.requests < 1 || flags.concurrency < 1 {
		err = errors.Join(err, errors.New("-n and -c must be 1 or more"))
	}
	return call.Config{
		URL: url, Method: flags.method, Header: header, Body: body, Resolve: resolve,
		Requests: flags.requests, Concurrency: flags.concurrency,
		Rate: flags.rate, Timeout: flags.timeout,
		Insecure: flags.insecure, Roots: roots,
	}, err
}

func callHeader(lines []string) (http.Header, error) {
	header := http.Header{}
	for _, line := range lines {
		name, value, found := strings.Cut(line, ":")
		if !found || strings.TrimSpace(name) == "" {
			return header, fmt.Errorf("-H %q is not of the form 'Name: value'", line)
		}
		header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	return header, nil
}

func callResolve(values []string) ([]call.Override, error) {
	var out []call.Override
	for _, value := range values {
		override, err := call.ParseOverride(value)
		if err != nil {
			return nil, fmt.Errorf("--resolve: %w", err)
		}
		out = append(out, override)
	}
	return out, nil
}

func callRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("--cacert: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("--cacert: %s holds no certificate in PEM", file)
	}
	return roots, nil
}

func callBody(stdin io.Reader, data string) ([]byte, error) {
	name, fromFile := strings.CutPrefix(data, "@")
	switch {
	case !fromFile:
		return []byte(data), nil
	case name == "-":
		return readCallBody(stdin)
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("-d: %w", err)
	}
	defer file.Close()
	return readCallBody(file)
}

func readCallBody(r io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, maxCallBody+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("-d: %w", err)
	case len(body) > maxCallBody:
		return nil, fmt.Errorf("-d: the body is larger than %d MiB", maxCallBody>>20)
	}
	return body, nil
}
