package gateway

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
)

// TLSOption is one of our keys in tls.options of listeners and in spec.options of
// BackendTLSPolicies: a row of docs/annotations.md.
type TLSOption struct {
	Name, Values, Doc string

	read func(*model.TLSPolicy, string) error
}

// optionPrefix is the prefix of all their names.
const optionPrefix = "windrose.dev/"

var tlsOptions = []TLSOption{
	{
		Name: optionPrefix + "tls-min-version", Values: "1.2 or 1.3",
		Doc: "The lowest version of TLS that clients of the listener may speak, or that is spoken to the backend. For listeners `--tls-min-version` holds where it is higher.",
		read: func(p *model.TLSPolicy, v string) (err error) {
			p.MinVersion, err = model.ParseTLSVersion(v)
			return err
		},
	},
	{
		Name: optionPrefix + "tls-cipher-suites", Values: "cipher suites such as ECDHE-RSA-AES128-GCM-SHA256, separated by commas",
		Doc:  "The cipher suites of TLS 1.2, by IANA's or OpenSSL's names, in place of those of `--tls-cipher-suites`. Those of TLS 1.3 are always on.",
		read: func(p *model.TLSPolicy, v string) (err error) { p.Suites, err = model.ParseSuites(v); return err },
	},
}

// TLSOptions returns the table of options.
func TLSOptions() []TLSOption { return slices.Clone(tlsOptions) }

// errOption is the error for unknown keys with our prefix. An unknown option may be meant
// to restrict something, so its listener or policy stays closed.
var errOption = errors.New("no option has this name")

// readOption reads one option; ours is false for keys without our prefix.
func readOption(to *model.TLSPolicy, key, value string) (ours bool, err error) {
	i := slices.IndexFunc(tlsOptions, func(o TLSOption) bool { return o.Name == key })
	if i < 0 {
		if strings.HasPrefix(key, optionPrefix) {
			return true, errOption
		}
		return false, nil
	}
	return true, tlsOptions[i].read(to, strings.TrimSpace(value))
}

// readOptions reads the TLS options in a field. The policy is nil if they set nothing. If
// one of our options is invalid, why is not empty, and their listener or policy is
// closed.
func (t *translation) readOptions(options map[gatewayv1.AnnotationKey]gatewayv1.AnnotationValue, at func(field string) reason.Origin, field string, code reason.Code) (policy *model.TLSPolicy, why string) {
	out := model.TLSPolicy{}
	for _, key := range slices.Sorted(maps.Keys(options)) {
		origin := at(field + "[" + string(key) + "]")
		switch ours, err := readOption(&out, string(key), string(options[key])); {
		case !ours:
			t.report(reason.NotHonoured, origin, "no TLS option of this name is known")
		case err != nil:
			why = fmt.Sprintf("option %s: %v", key, err)
			t.out.Reports = append(t.out.Reports, reason.New(code, origin, why).WithFix("write "+optionForms(string(key))))
		}
	}
	if why != "" || out.MinVersion == model.TLSUnset && len(out.Suites) == 0 {
		return nil, why
	}
	return &out, ""
}

// optionForms returns the values that an option takes, or for an unknown key the names of
// all options.
func optionForms(key string) string {
	var names []string
	for _, o := range tlsOptions {
		if o.Name == key {
			return o.Values
		}
		names = append(names, o.Name)
	}
	return strings.Join(names, " or ")
}

// speaks sets the TLS policy of a listener to that of its options.
func (t *translation) speaks(l *listener) {
	if l.spec.TLS == nil || len(l.spec.TLS.Options) == 0 {
		return
	}
	if !l.terminates() {
		t.report(reason.NotHonoured, l.origin("tls.options"), "TLS does not end at this listener, so its options say nothing")
		return
	}
	policy, why := t.readOptions(l.spec.TLS.Options, l.origin, "tls.options", reason.ListenerInvalid)
	l.policy = policy
	if why != "" && !l.accepted.no {
		l.accepted = no(gatewayv1.ListenerReasonUnsupportedValue, why)
	}
}
