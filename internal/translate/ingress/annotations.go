package ingress

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/translate/annotation"
)

// Prefix is the prefix of the names of all annotations of ingress-nginx.
const Prefix = "nginx.ingress.kubernetes.io/"

// Annotation is one annotation that ingress-nginx documents.
type Annotation struct {
	// Name has no prefix.
	Name  string
	Group string
	// Risk is the risk of letting tenants set it, as ingress-nginx rates it.
	Risk string
	// Apply reads the value into the settings of an Ingress; nil if it is not honoured.
	Apply func(*settings, string) error
	// Guard means that the annotation guards something. While it is not honoured, the
	// routes of its Ingress are closed.
	Guard bool
	// HostWide means that it guards the whole hosts of its Ingress, including the rules
	// that other Ingresses have for them.
	HostWide bool
	// Inert lists values with which it has no effect, besides the empty one.
	Inert []string
	// Doc says what Windrose does.
	Doc string

	// written is the annotation as an Ingress has it, without the prefix of
	// ingress-nginx; meant is the annotation that a misspelled one was probably meant to
	// be; foreign is the controller that it belongs to, if that is not ingress-nginx.
	written, meant, foreign string
}

// annotationRow is the short form of a row that is not honoured.
type annotationRow struct{ name, group, risk string }

// guards are annotations that guard something and are not honoured yet.
var guards = []Annotation{
	{Name: "allowlist-source-range", Group: "Allowlist", Risk: "Medium"},
	{Name: "whitelist-source-range", Group: "Allowlist", Risk: "Medium", Doc: "The old name of allowlist-source-range."},
	{Name: "denylist-source-range", Group: "Denylist", Risk: "Medium"},
	{Name: "auth-realm", Group: "BasicDigestAuth", Risk: "Medium"},
	{Name: "auth-secret", Group: "BasicDigestAuth", Risk: "Medium"},
	{Name: "auth-secret-type", Group: "BasicDigestAuth", Risk: "Low"},
	{Name: "auth-type", Group: "BasicDigestAuth", Risk: "Low"},
	{Name: "auth-tls-error-page", Group: "CertificateAuth", Risk: "High"},
	{Name: "auth-tls-match-cn", Group: "CertificateAuth", Risk: "High", HostWide: true},
	{Name: "auth-tls-pass-certificate-to-upstream", Group: "CertificateAuth", Risk: "Low", Inert: []string{"false"}},
	{Name: "auth-tls-secret", Group: "CertificateAuth", Risk: "Medium", HostWide: true},
	{Name: "auth-tls-verify-client", Group: "CertificateAuth", Risk: "Medium", HostWide: true, Inert: []string{"off"}},
	{Name: "auth-tls-verify-depth", Group: "CertificateAuth", Risk: "Low"},
	{Name: "enable-global-auth", Group: "EnableGlobalAuth", Risk: "Low", Inert: []string{"false"}},
	{Name: "auth-always-set-cookie", Group: "ExternalAuth", Risk: "Low", Inert: []string{"false"}},
	{Name: "auth-cache-duration", Group: "ExternalAuth", Risk: "Medium"},
	{Name: "auth-cache-key", Group: "ExternalAuth", Risk: "Medium"},
	{Name: "auth-keepalive", Group: "ExternalAuth", Risk: "Low"},
	{Name: "auth-keepalive-requests", Group: "ExternalAuth", Risk: "Low"},
	{Name: "auth-keepalive-share-vars", Group: "ExternalAuth", Risk: "Low", Inert: []string{"false"}},
	{Name: "auth-keepalive-timeout", Group: "ExternalAuth", Risk: "Low"},
	{Name: "auth-method", Group: "ExternalAuth", Risk: "Low"},
	{Name: "auth-proxy-set-headers", Group: "ExternalAuth", Risk: "Medium"},
	{Name: "auth-request-redirect", Group: "ExternalAuth", Risk: "Medium"},
	{Name: "auth-response-headers", Group: "ExternalAuth", Risk: "Medium"},
	{Name: "auth-signin", Group: "ExternalAuth", Risk: "High"},
	{Name: "auth-signin-redirect-param", Group: "ExternalAuth", Risk: "Medium"},
	{Name: "auth-snippet", Group: "ExternalAuth", Risk: "Critical"},
	{Name: "auth-url", Group: "ExternalAuth", Risk: "High"},
	{Name: "satisfy", Group: "Satisfy", Risk: "Low"},
	{Name: "enable-modsecurity", Group: "ModSecurity", Risk: "Low", Inert: []string{"false"}},
	{Name: "enable-owasp-core-rules", Group: "ModSecurity", Risk: "Low", Inert: []string{"false"}},
	{Name: "modsecurity-snippet", Group: "ModSecurity", Risk: "Critical"},
	{Name: "modsecurity-transaction-id", Group: "ModSecurity", Risk: "High"},
	{Name: "limit-allowlist", Group: "RateLimit", Risk: "Low"},
	{Name: "limit-whitelist", Group: "RateLimit", Risk: "Low", Doc: "The old name of limit-allowlist."},
	{Name: "limit-burst-multiplier", Group: "RateLimit", Risk: "Low"},
	{Name: "limit-connections", Group: "RateLimit", Risk: "Low", Inert: []string{"0"}},
	{Name: "limit-rate", Group: "RateLimit", Risk: "Low", Inert: []string{"0"}},
	{Name: "limit-rate-after", Group: "RateLimit", Risk: "Low", Inert: []string{"0"}},
	{Name: "limit-rpm", Group: "RateLimit", Risk: "Low", Inert: []string{"0"}},
	{Name: "limit-rps", Group: "RateLimit", Risk: "Low", Inert: []string{"0"}},
	{Name: "rate-limit", Group: "RateLimit", Risk: "Low", Inert: []string{"0"}, Doc: "A spelling that ingress-nginx does not know and people write."},
	{Name: "rate-limit-window", Group: "RateLimit", Risk: "Low", Doc: "A spelling that ingress-nginx does not know and people write."},
	{Name: "configuration-snippet", Group: "ConfigurationSnippet", Risk: "Critical", Doc: "Guards unless all its directives are known to be harmless, such as add_header or proxy_set_header."},
	{Name: "server-snippet", Group: "ServerSnippet", Risk: "Critical", HostWide: true, Doc: "Guards unless all its directives are known to be harmless, such as add_header or proxy_set_header."},
	{Name: "stream-snippet", Group: "StreamSnippet", Risk: "Critical", Doc: "Guards unless all its directives are known to be harmless."},
}

// unguarded are annotations that are not honoured yet, and that guard nothing.
var unguarded = []annotationRow{
	{"server-alias", "Aliases", "High"},
	{"canary-by-cookie", "Canary", "Medium"},
	{"canary-by-header", "Canary", "Medium"},
	{"canary-by-header-pattern", "Canary", "Medium"},
	{"canary-by-header-value", "Canary", "Medium"},
	{"canary-weight", "Canary", "Low"},
	{"canary-weight-total", "Canary", "Low"},
	{"client-body-buffer-size", "ClientBodyBufferSize", "Low"},
	{"connection-proxy-header", "Connection", "Low"},
	{"custom-http-errors", "CustomHTTPErrors", "Low"},
	{"custom-headers", "CustomHeaders", "Medium"},
	{"default-backend", "DefaultBackend", "Low"},
	{"disable-proxy-intercept-errors", "DisableProxyInterceptErrors", "Low"},
	{"fastcgi-index", "FastCGI", "Medium"},
	{"fastcgi-params-configmap", "FastCGI", "Medium"},
	{"http2-push-preload", "HTTP2PushPreload", "Low"},
	{"load-balance", "LoadBalancing", "Low"},
	{"enable-access-log", "Logs", "Low"},
	{"enable-rewrite-log", "Logs", "Low"},
	{"mirror-host", "Mirror", "High"},
	{"mirror-request-body", "Mirror", "Low"},
	{"mirror-target", "Mirror", "High"},
	{"enable-opentelemetry", "Opentelemetry", "Low"},
	{"opentelemetry-operation-name", "Opentelemetry", "Medium"},
	{"opentelemetry-trust-incoming-span", "Opentelemetry", "Low"},
	{"proxy-buffer-size", "Proxy", "Low"},
	{"proxy-buffering", "Proxy", "Low"},
	{"proxy-buffers-number", "Proxy", "Low"},
	{"proxy-busy-buffers-size", "Proxy", "Low"},
	{"proxy-cookie-domain", "Proxy", "Medium"},
	{"proxy-cookie-path", "Proxy", "Medium"},
	{"proxy-http-version", "Proxy", "Low"},
	{"proxy-max-temp-file-size", "Proxy", "Low"},
	{"proxy-next-upstream", "Proxy", "Medium"},
	{"proxy-next-upstream-timeout", "Proxy", "Low"},
	{"proxy-next-upstream-tries", "Proxy", "Low"},
	{"proxy-redirect-from", "Proxy", "Medium"},
	{"proxy-redirect-to", "Proxy", "Medium"},
	{"proxy-request-buffering", "Proxy", "Low"},
	{"from-to-www-redirect", "Redirect", "Low"},
	{"permanent-redirect", "Redirect", "Medium"},
	{"permanent-redirect-code", "Redirect", "Low"},
	{"relative-redirects", "Redirect", "Low"},
	{"temporal-redirect", "Redirect", "Medium"},
	{"temporal-redirect-code", "Redirect", "Low"},
	{"app-root", "Rewrite", "Medium"},
	{"preserve-trailing-slash", "Rewrite", "Medium"},
	{"service-upstream", "ServiceUpstream", "Low"},
	{"affinity", "SessionAffinity", "Low"},
	{"affinity-canary-behavior", "SessionAffinity", "Low"},
	{"affinity-mode", "SessionAffinity", "Medium"},
	{"session-cookie-change-on-failure", "SessionAffinity", "Low"},
	{"session-cookie-conditional-samesite-none", "SessionAffinity", "Low"},
	{"session-cookie-domain", "SessionAffinity", "Medium"},
	{"session-cookie-expires", "SessionAffinity", "Medium"},
	{"session-cookie-max-age", "SessionAffinity", "Medium"},
	{"session-cookie-name", "SessionAffinity", "Medium"},
	{"session-cookie-partitioned", "SessionAffinity", "Low"},
	{"session-cookie-path", "SessionAffinity", "Medium"},
	{"session-cookie-samesite", "SessionAffinity", "Low"},
	{"session-cookie-secure", "SessionAffinity", "Low"},
	{"upstream-hash-by", "UpstreamHashBy", "High"},
	{"upstream-hash-by-subset", "UpstreamHashBy", "Low"},
	{"upstream-hash-by-subset-size", "UpstreamHashBy", "Low"},
	{"upstream-vhost", "UpstreamVhost", "Low"},
	{"use-port-in-redirects", "UsePortInRedirects", "Low"},
	{"x-forwarded-prefix", "XForwardedPrefix", "Medium"},
}

// Annotations returns the table, by group and name.
func Annotations() []Annotation {
	all := slices.Concat(honoured, upstreamAnnotations, sslAnnotations)
	for _, row := range guards {
		row.Guard = true
		all = append(all, row)
	}
	for _, row := range unguarded {
		all = append(all, Annotation{Name: row.name, Group: row.group, Risk: row.risk})
	}
	slices.SortFunc(all, func(a, b Annotation) int {
		return strings.Compare(a.Group+" "+a.Name, b.Group+" "+b.Name)
	})
	return all
}

// byName indexes the table by name.
var byName = func() map[string]Annotation {
	index := map[string]Annotation{}
	for _, a := range Annotations() {
		index[a.Name] = a
	}
	return index
}()

// Guards reports whether the annotations of a resource guard something that Windrose does
// not honour yet. If so, a broken resource becomes a tombstone in the Set.
func Guards(kind string, annotations map[string]string) bool {
	if kind != "Ingress" {
		return false
	}
	for key, value := range annotations {
		if row, concerns := lookup(key); concerns && row.guards(value) {
			return true
		}
	}
	return false
}

// lookup returns the row for the key of an annotation; for an unknown name it makes a
// row. concerns is false for keys that belong to no controller.
func lookup(key string) (row Annotation, concerns bool) {
	name, owner := ownerOf(key)
	switch {
	case owner == nil:
		return Annotation{}, false
	case owner.name != "":
		return Annotation{Name: name, Guard: soundsLikeGuard(name), Inert: foreignInert, written: key, foreign: owner.name}, true
	}
	row, known := byName[name]
	if !known {
		row = unknownRow(name)
	}
	row.written = strings.TrimPrefix(key, Prefix)
	if known && key != Prefix+name {
		row.meant = Prefix + name
	}
	return row, true
}

// unknownRow makes a row for an unknown name. If the name is close to that of a guard, it
// counts as that guard.
func unknownRow(name string) Annotation {
	if guard := nearestName(name, guardNames); guard != "" {
		row := byName[guard]
		row.meant = guard
		return row
	}
	row := Annotation{Name: name, meant: nearestName(name, names)}
	for _, prefix := range guardPrefixes {
		row.Guard = row.Guard || strings.HasPrefix(strings.ToLower(name), prefix)
	}
	return row
}

func (a Annotation) inert(value string) bool {
	return strings.TrimSpace(value) == "" || slices.Contains(a.Inert, strings.TrimSpace(value))
}

// guards reports whether the annotation, with this value, guards something and is not
// honoured.
func (a Annotation) guards(value string) bool {
	if !a.Guard || a.honoured() || a.inert(value) {
		return false
	}
	if strings.Contains(a.Name, "-snippet") && a.Group != "ExternalAuth" && a.Group != "ModSecurity" {
		return snippetGuards(value)
	}
	return true
}

// harmless are the prefixes of nginx directives that neither refuse, limit nor check. All
// others may guard something.
var harmless = []string{
	"add_header", "more_set_headers", "more_set_input_headers", "proxy_set_header", "proxy_hide_header",
	"proxy_pass_header", "proxy_buffer", "proxy_busy", "proxy_read_timeout", "proxy_send_timeout",
	"proxy_connect_timeout", "proxy_http_version", "proxy_cookie", "proxy_redirect", "proxy_request_buffering",
	"proxy_max_temp", "client_body_buffer", "client_max_body", "gzip", "brotli", "expires", "charset", "etag",
	"access_log", "error_log", "log_not_found", "sub_filter", "keepalive", "send_timeout", "set",
	"underscores_in_headers", "large_client_header", "chunked_transfer_encoding", "tcp_nodelay", "default_type",
}

// snippetGuards reports whether any statement of a snippet may guard something.
func snippetGuards(text string) bool {
	for _, statement := range strings.FieldsFunc(text, func(c rune) bool { return strings.ContainsRune(";{}\n", c) }) {
		words := strings.Fields(statement)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if !slices.ContainsFunc(harmless, func(known string) bool {
			return words[0] == known || known != "set" && strings.HasPrefix(words[0], known)
		}) {
			return true
		}
	}
	return false
}

// read reads all annotations of an Ingress.
func read(object *source.Object[networkingv1.Ingress], opts Options) (settings, []reason.Report) {
	s := defaultSettings()
	var reports []reason.Report
	for _, key := range slices.Sorted(maps.Keys(object.Value.Annotations)) {
		row, concerns := lookup(key)
		if !concerns {
			continue
		}
		at := object.At("metadata.annotations[" + key + "]")
		if report := s.take(row, object.Value.Annotations[key], opts); report != nil {
			report.Origin = at
			reports = append(reports, *report)
		}
		for _, note := range s.notes {
			note.Origin = at
			reports = append(reports, note)
		}
		s.notes = nil
	}
	var err error
	if s.compress, err = annotation.Compress(object.Value.Annotations, opts.Compress); err != nil {
		at := object.At("metadata.annotations[" + annotation.CompressName + "]")
		reports = append(reports, annotation.Invalid(at, object.Value.Annotations[annotation.CompressName], err))
	}
	return s, reports
}

// take reads one annotation into s. It returns a Report, without origin, or nil.
func (s *settings) take(a Annotation, value string, opts Options) *reason.Report {
	report := func(code reason.Code, format string, args ...any) *reason.Report {
		r := reason.New(code, reason.Origin{}, fmt.Sprintf(format, args...))
		return &r
	}
	switch {
	case a.honoured():
		if err := a.Apply(s, strings.TrimSpace(value)); err != nil {
			s.corsInvalid = s.corsInvalid || a.Group == "CorsConfig"
			r := report(reason.AnnotationInvalid, "%q cannot be understood", value)
			r.Fix = "write " + err.Error()
			return r
		}
		return nil
	case a.inert(value) && a.meant == "":
		return nil
	case a.guards(value) && opts.IgnoreGuards:
		return report(reason.GuardIgnored, "%s guards its routes, is not honoured yet, and is ignored as --ignore-guards says", a.subject())
	case a.guards(value):
		s.closedBy = a.written
		s.closesHosts = s.closesHosts || a.HostWide
		return report(reason.GuardClosed, "%s guards its routes and is not honoured yet, so they answer 503", a.subject())
	case a.foreign != "":
		return report(reason.NotHonoured, "%s is not honoured; traffic flows without it", a.subject())
	case a.Group == "" || a.meant != "":
		return report(reason.NotHonoured, "%s is no annotation of ingress-nginx; it has no effect", a.subject())
	}
	return report(reason.NotHonoured, "%s is not honoured yet; traffic flows without it", a.Name)
}

// honoured reports whether the annotation is in force. A misspelled one is not, as with
// ingress-nginx.
func (a Annotation) honoured() bool { return a.Apply != nil && a.meant == "" }

// subject returns the name of the annotation for messages.
func (a Annotation) subject() string {
	switch {
	case a.foreign != "":
		return a.Name + " of " + a.foreign
	case a.meant != "":
		return fmt.Sprintf("%s (did you mean %s?)", a.written, a.meant)
	}
	return a.written
}
