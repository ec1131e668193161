package call

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	defaultTimeout = 10 * time.Second
	// maxRequests and maxConcurrency bound the memory of a run.
	maxRequests    = 10_000_000
	maxConcurrency = 10_000
)

// Config says what to send. Only URL is required.
type Config struct {
	// URL has the scheme http or https; without a scheme it is http.
	URL string
	// Method defaults to GET, or to POST if there is a Body.
	Method string
	// Header is sent as it is. Its Host field replaces the URL's host in the request, but
	// not in TLS.
	Header http.Header
	// Body is sent with each request.
	Body []byte
	// Resolve replaces the addresses of hosts; the first Override that matches is used.
	Resolve []Override
	// Requests is the number of requests to send; 0 is 1.
	Requests int
	// Concurrency is the number of requests in progress at once, each on its own
	// connection, which is reused for as long as the server keeps it open; 0 is 1.
	Concurrency int
	// Rate bounds the requests started per second; 0 is no bound.
	Rate float64
	// Timeout bounds one request, from its start (connecting included) to the last byte
	// of its response; 0 is 10 s.
	Timeout time.Duration
	// Insecure accepts any certificate.
	Insecure bool
	// Roots are the certificate authorities to trust; nil means those of the system.
	Roots *x509.CertPool
}

// target is a validated Config: what each request needs.
type target struct {
	url     *url.URL
	method  string
	host    string
	header  http.Header
	body    []byte
	address string
	// tls is nil for http.
	tls     *tls.Config
	timeout time.Duration
}

func newTarget(c Config) (target, error) {
	u, err := parseURL(c.URL)
	if err != nil {
		return target{}, err
	}
	if err := checkCounts(c); err != nil {
		return target{}, err
	}
	header := c.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	t := target{
		url: u, method: c.Method, header: header, body: c.Body,
		host:    cmp.Or(header.Get("Host"), u.Host),
		address: dialAddress(u, c.Resolve),
		timeout: cmp.Or(c.Timeout, defaultTimeout),
	}
	if t.method == "" {
		t.method = http.MethodGet
		if len(c.Body) > 0 {
			t.method = http.MethodPost
		}
	}
	if u.Scheme == "https" {
		t.tls = &tls.Config{
			ServerName: u.Hostname(), RootCAs: c.Roots, InsecureSkipVerify: c.Insecure,
			NextProtos: []string{"http/1.1"},
		}
	}
	// Fail before any request is sent if the request cannot be built.
	_, err = t.request()
	return t, err
}

func checkCounts(c Config) error {
	switch {
	case c.Requests < 0 || c.Requests > maxRequests:
		return fmt.Errorf("the number of requests must be between 1 and %d", maxRequests)
	case c.Concurrency < 0 || c.Concurrency > maxConcurrency:
		return fmt.Errorf("the concurrency must be between 1 and %d", maxConcurrency)
	case c.Rate < 0:
		return errors.New("the rate must not be negative")
	case c.Timeout < 0:
		return errors.New("the timeout must not be negative")
	}
	return nil
}

func parseURL(s string) (*url.URL, error) {
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	if err != nil {
		return nil, fmt.Errorf("read the URL: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("read the URL: scheme %q is neither http nor https", u.Scheme)
	}
	if u.Hostname() == "" {
		return nil, fmt.Errorf("read the URL: %q names no host", s)
	}
	return u, nil
}
