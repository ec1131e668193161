package ingress

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
)

// settings are the values of the annotations of one Ingress.
type settings struct {
	rewriteTarget string
	useRegex      bool
	sslRedirect   bool
	forceSSL      bool
	maxBody       int64
	connect       time.Duration
	read          time.Duration
	send          time.Duration
	enableCORS    bool
	cors          model.CORS
	// corsInvalid means that a cors-* annotation is invalid. There is no CORS at all
	// then, because the defaults are the most permissive ones.
	corsInvalid bool
	canary      bool
	passthrough bool
	compress    *model.Compress // nil means no compression
	upstream    upstream
	suites      []string // of TLS 1.2, for the hosts; empty leaves them to the proxy
	// notes are Reports, without origin, about the annotation that was read last.
	notes []reason.Report
	// closedBy names the annotation that closes the routes, if one does.
	closedBy string
	// closesHosts means that it closes everything that the hosts of the Ingress serve.
	closesHosts bool
}

// defaultSettings returns the defaults of ingress-nginx.
func defaultSettings() settings {
	return settings{
		sslRedirect: true,
		maxBody:     1 << 20,
		upstream:    defaultUpstream,
		cors: model.CORS{
			AllowOrigins: []string{"*"},
			AllowMethods: "GET, PUT, POST, DELETE, PATCH, OPTIONS",
			AllowHeaders: "DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,Authorization",
			Credentials:  true,
			MaxAge:       1728000,
		},
	}
}

// honoured are the annotations that Windrose honours.
var honoured = []Annotation{
	{
		Name: "rewrite-target", Group: "Rewrite", Risk: "Medium",
		Apply: func(s *settings, v string) error { return setText(&s.rewriteTarget, v, rewriteTarget) },
		Doc:   "Replaces the path; $1 to $9 stand for the groups of the path, read as a case-insensitive RE2 expression. It makes all paths of the host expressions, as in ingress-nginx; a path that is its own target is left alone. Groups match the percent-encoded path.",
	},
	{
		Name: "use-regex", Group: "Rewrite", Risk: "Low",
		Apply: func(s *settings, v string) error { return setBool(&s.useRegex, v) },
		Doc:   "Makes all paths of the host case-insensitive RE2 expressions that match by their beginning, longest first.",
	},
	{
		Name: "ssl-redirect", Group: "Rewrite", Risk: "Low",
		Apply: func(s *settings, v string) error { return setGuard(&s.sslRedirect, v) },
		Doc:   "Default true where the host has TLS: plain-text requests are redirected with 308, but for /.well-known/acme-challenge.",
	},
	{
		Name: "force-ssl-redirect", Group: "Rewrite", Risk: "Medium",
		Apply: func(s *settings, v string) error { return setGuard(&s.forceSSL, v) },
		Doc:   "Redirects plain-text requests even where the host has no TLS here. X-Forwarded-Proto counts from trusted proxies. A value that cannot be understood counts as true.",
	},
	{
		Name: "proxy-body-size", Group: "Proxy", Risk: "Medium",
		Apply: func(s *settings, v string) error { return setSize(&s.maxBody, v) },
		Doc:   "Largest request body; default 1m, 0 is unbounded. More answers 413.",
	},
	{
		Name: "proxy-connect-timeout", Group: "Proxy", Risk: "Low",
		Apply: func(s *settings, v string) error { return setSeconds(&s.connect, v) },
		Doc:   "Seconds to make a connection to an endpoint; default 5.",
	},
	{
		Name: "proxy-read-timeout", Group: "Proxy", Risk: "Low",
		Apply: func(s *settings, v string) error { return setSeconds(&s.read, v) },
		Doc:   "Seconds between two reads of the answer; default 60. It also bounds the silence of WebSockets, which without it is an hour.",
	},
	{
		Name: "proxy-send-timeout", Group: "Proxy", Risk: "Low",
		Apply: func(s *settings, v string) error { return setSeconds(&s.send, v) },
		Doc:   "Seconds between two writes of the request; default 60.",
	},
	{
		Name: "enable-cors", Group: "CorsConfig", Risk: "Low",
		Apply: func(s *settings, v string) error { return setBool(&s.enableCORS, v) },
		Doc:   "Answers preflight requests with 204 and adds the CORS headers to answers.",
	},
	{
		Name: "cors-allow-origin", Group: "CorsConfig", Risk: "Medium",
		Apply: func(s *settings, v string) error { return setOrigins(&s.cors.AllowOrigins, v) },
		Doc:   "Origins, separated by commas, each with one wildcard label at most; default *. Vary: Origin is added for others than *.",
	},
	{
		Name: "cors-allow-methods", Group: "CorsConfig", Risk: "Medium",
		Apply: func(s *settings, v string) error { return setText(&s.cors.AllowMethods, v, corsMethods) },
		Doc:   "Default GET, PUT, POST, DELETE, PATCH, OPTIONS.",
	},
	{
		Name: "cors-allow-headers", Group: "CorsConfig", Risk: "Medium",
		Apply: func(s *settings, v string) error { return setText(&s.cors.AllowHeaders, v, corsHeaders) },
		Doc:   "Default DNT, Keep-Alive, User-Agent, X-Requested-With, If-Modified-Since, Cache-Control, Content-Type, Range, Authorization.",
	},
	{
		Name: "cors-expose-headers", Group: "CorsConfig", Risk: "Medium",
		Apply: func(s *settings, v string) error { return setText(&s.cors.ExposeHeaders, v, corsExpose) },
		Doc:   "Response headers that scripts may read; default none.",
	},
	{
		Name: "cors-allow-credentials", Group: "CorsConfig", Risk: "Low",
		Apply: func(s *settings, v string) error { return setBool(&s.cors.Credentials, v) },
		Doc:   "Default true.",
	},
	{
		Name: "cors-max-age", Group: "CorsConfig", Risk: "Low",
		Apply: func(s *settings, v string) error { return setInt(&s.cors.MaxAge, v) },
		Doc:   "Seconds that a preflight answer may be kept; default 1728000.",
	},
	{
		Name: "ssl-passthrough", Group: "SSLPassthrough", Risk: "Low", Guard: true, HostWide: true, Inert: []string{"false"},
		Apply: func(s *settings, v string) error { return setGuard(&s.passthrough, v) },
		Doc:   "On port 443 the backend of the host's root path gets the client's own TLS, by server name, whatever the paths; where none is the root, that of its first rule does, while ingress-nginx hands on to the default backend. proxy-connect-timeout counts, and nothing else. Port 80 stays as it is. The oldest Ingress that names the host decides; another that asks for it is closed.",
	},
	{
		Name: "canary", Group: "Canary", Risk: "Low",
		Apply: func(s *settings, v string) error { return setBool(&s.canary, v) },
		Doc:   "Not honoured yet: an Ingress with true is set aside as a whole, so that it takes no traffic from the one that it would share with.",
	},
}

// form is the pattern of a textual value, with a description for messages.
type form struct {
	pattern *regexp.Regexp
	hint    string
}

var (
	rewriteTarget = form{regexp.MustCompile(`^[/$][-._~a-zA-Z0-9/:@!$&'()*+,;=%?{}]*$`), "a path such as /$2, without white space"}
	corsMethods   = form{regexp.MustCompile(`^[A-Za-z]+(\s*,\s*[A-Za-z]+)*$`), "methods separated by commas, such as GET, POST"}
	corsHeaders   = form{regexp.MustCompile(`^[A-Za-z0-9_-]+(\s*,\s*[A-Za-z0-9_-]+)*$`), "header names separated by commas"}
	corsExpose    = form{regexp.MustCompile(`^(\*|[A-Za-z0-9_-]+(\s*,\s*[A-Za-z0-9_-]+)*)$`), "header names separated by commas, or *"}
	corsOrigin    = form{regexp.MustCompile(`^(?i)[a-z][a-z0-9+.-]*://(\*\.)?[a-z0-9.-]+(:[0-9]+)?$`), "origins such as https://*.example.com, separated by commas, or *"}
	size          = form{regexp.MustCompile(`^(?i)[0-9]+[bkmgt]?$`), "a size in bytes, with k, m, g or t: 8m"}
)

func setText(to *string, value string, f form) error {
	if !f.pattern.MatchString(value) {
		return errors.New(f.hint)
	}
	*to = value
	return nil
}

func setBool(to *bool, value string) error {
	b, err := strconv.ParseBool(value)
	if err != nil {
		return errors.New(`"true" or "false"`)
	}
	*to = b
	return nil
}

// setGuard reads a boolean of an annotation that guards something: invalid values count
// as on.
func setGuard(to *bool, value string) error {
	*to = true
	return setBool(to, value)
}

func setInt(to *int, value string) error {
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 {
		return errors.New(`a whole number in quotes, such as "600"`)
	}
	*to = n
	return nil
}

// maxSeconds bounds timeouts; nginx has a similar limit.
const maxSeconds = 30 * 24 * 3600

func setSeconds(to *time.Duration, value string) error {
	n, err := strconv.Atoi(strings.TrimSuffix(value, "s"))
	if err != nil || n <= 0 || n > maxSeconds {
		return errors.New(`whole seconds in quotes, from "1" to "2592000"`)
	}
	*to = time.Duration(n) * time.Second
	return nil
}

func setSize(to *int64, value string) error {
	if !size.pattern.MatchString(value) {
		return errors.New(size.hint)
	}
	unit := int64(1)
	switch value[len(value)-1] | 0x20 {
	case 'k':
		unit = 1 << 10
	case 'm':
		unit = 1 << 20
	case 'g':
		unit = 1 << 30
	case 't':
		unit = 1 << 40
	}
	n, err := strconv.ParseInt(strings.TrimRight(value, "bkmgtBKMGT"), 10, 64)
	if err != nil || n > (1<<60)/unit {
		return errors.New(size.hint)
	}
	*to = n * unit
	return nil
}

func setOrigins(to *[]string, value string) error {
	var origins []string
	for _, o := range strings.Split(value, ",") {
		o = strings.TrimSpace(o)
		if o == "" {
			continue
		}
		if o != "*" && !corsOrigin.pattern.MatchString(o) {
			return errors.New(corsOrigin.hint)
		}
		origins = append(origins, o)
	}
	if len(origins) == 0 {
		return errors.New(corsOrigin.hint)
	}
	if len(origins) > 1 {
		for _, o := range origins {
			if o == "*" {
				origins = []string{"*"}
				break
			}
		}
	}
	*to = origins
	return nil
}
