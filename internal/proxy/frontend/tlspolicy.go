package frontend

import (
	"crypto/tls"
	"slices"
	"strings"

	"windrose.dev/windrose/internal/model"
)

// tlsVersions are crypto/tls's numbers. What is not set is the lowest.
var tlsVersions = map[model.TLSVersion]uint16{
	model.TLSUnset: tls.VersionTLS12, model.TLS12: tls.VersionTLS12, model.TLS13: tls.VersionTLS13,
}

// agreed is what a policy comes to: the proxy's own fills in what it leaves
// open, and is the least that it can ask for.
func agreed(defaults model.TLSPolicy, own *model.TLSPolicy) model.TLSPolicy {
	out := model.TLSPolicy{MinVersion: max(defaults.MinVersion, model.TLS12), Suites: defaults.Suites}
	if own != nil {
		out.MinVersion = max(out.MinVersion, own.MinVersion)
		if len(own.Suites) > 0 {
			out.Suites = own.Suites
		}
	}
	switch {
	case out.MinVersion == model.TLS13:
		out.Suites = nil // they are those of TLS 1.2
	case len(out.Suites) == 0:
		out.Suites = model.AEADSuites()
	}
	return out
}

// spokenTLS is the TLS that is spoken under one policy.
type spokenTLS struct {
	config *tls.Config
	// http1 is for clients that would speak HTTP/2 with a suite that is none for
	// it; nil where the policy has no such suite.
	http1 *tls.Config
	// fit are the suites of TLS 1.2 that are some for HTTP/2.
	fit    []uint16
	policy string
}

// newSpoken has config speak as a policy says.
func newSpoken(config *tls.Config, policy model.TLSPolicy) *spokenTLS {
	t := &spokenTLS{config: config, policy: policy.String()}
	config.MinVersion, config.CipherSuites = tlsVersions[policy.MinVersion], model.SuiteIDs(policy.Suites)
	for _, name := range policy.Suites {
		if s := model.SuiteNamed(name); s != nil && s.AEAD {
			t.fit = append(t.fit, s.ID)
		}
	}
	if len(t.fit) < len(config.CipherSuites) && slices.Contains(config.NextProtos, "h2") {
		t.http1 = config.Clone()
		t.http1.NextProtos = []string{"http/1.1"}
	}
	return t
}

// users are the configs with what their session tickets derive from: a session
// is resumed under the policy only that it was made under.
func (t *spokenTLS) users(sessions string) []ticketUser {
	out := []ticketUser{{t.config, sessions + t.policy}}
	if t.http1 != nil {
		out = append(out, ticketUser{t.http1, sessions + t.policy + " http/1.1"})
	}
	return out
}

// forClient is the config for one client, of which cert is for its server name.
func (t *spokenTLS) forClient(hello *tls.ClientHelloInfo, cert *tls.Certificate) *tls.Config {
	if t.http1 == nil || cert == nil {
		return t.config
	}
	// crypto/tls takes a suite that is fit, if the client has one that goes with
	// the certificate.
	probe := *hello
	probe.ServerName = ""
	probe.CipherSuites = slices.DeleteFunc(slices.Clone(hello.CipherSuites), func(id uint16) bool { return !slices.Contains(t.fit, id) })
	if probe.SupportsCertificate(cert) == nil {
		return t.config
	}
	return t.http1
}

// agree has config speak with the client of each server name as the policy of
// its certificate says. It returns what needs ticket keys, which derive from
// sessions, too.
func (t *ListenerTLS) agree(config *tls.Config, defaults model.TLSPolicy, certificates []model.Certificate, sessions string) []ticketUser {
	own := agreed(defaults, nil)
	ownText := own.String()
	spoken := map[string]*spokenTLS{}
	byName := make(map[string]*spokenTLS, len(certificates))
	for _, c := range certificates {
		if c.Policy == nil {
			byName[c.Host] = nil // others has them
			continue
		}
		policy := agreed(defaults, c.Policy)
		text := policy.String()
		if spoken[text] == nil && text != ownText {
			spoken[text] = newSpoken(config.Clone(), policy)
		}
		byName[c.Host] = spoken[text]
	}
	others := newSpoken(config, own)
	users := others.users(sessions)
	for _, one := range spoken {
		users = append(users, one.users(sessions)...)
	}
	if len(spoken) == 0 && others.http1 == nil || config.GetConfigForClient != nil {
		return users // one for all, or one that refuses all
	}
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		one := forName(byName, hello.ServerName)
		if one == nil {
			one = others
		}
		return one.forClient(hello, forName(t.byName, hello.ServerName)), nil
	}
	return users
}

// forName finds what is most specific for a server name (RFC 6066 §3): that of
// the name itself, of the wildcard of its parent, of the longest wildcard for
// several labels, of any name. A nil that is found counts.
func forName[T any](byName map[string]*T, serverName string) *T {
	name := strings.ToLower(strings.TrimSuffix(serverName, "."))
	if found, known := byName[name]; known {
		return found
	}
	if _, parent, found := strings.Cut(name, "."); found {
		if found, known := byName["*."+parent]; known {
			return found
		}
	}
	for suffix := name; ; {
		_, parent, more := strings.Cut(suffix, ".")
		if !more {
			return byName["*"]
		}
		if found, known := byName["**."+parent]; known {
			return found
		}
		suffix = parent
	}
}
