package ingress

import (
	"fmt"
	"slices"
	"strings"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/translate/fragment"
)

// sslAnnotations are the annotations for TLS with clients.
var sslAnnotations = []Annotation{
	{
		Name: "ssl-ciphers", Group: "SSLCipher", Risk: "Low", Guard: true, HostWide: true,
		Apply: (*settings).setCiphers,
		Doc:   "The cipher suites of TLS 1.2 for the hosts of the Ingress, as an OpenSSL cipher list; those of TLS 1.3 are always on. Of two Ingresses for one host the older decides. What Go does not have, such as suites of DHE, 3DES or RSA key exchange, is left out and reported; where nothing is left the hosts are closed. With a suite of CBC a client speaks HTTP/1.1.",
	},
	{
		Name: "ssl-prefer-server-ciphers", Group: "SSLCipher", Risk: "Low",
		Apply: (*settings).setPreference,
		Doc:   "true holds always: Go orders suites itself, by what is safe and then by what is fast on both sides. false is reported.",
	},
}

// note adds a Report about the annotation that is being read.
func (s *settings) note(code reason.Code, fix, format string, args ...any) {
	s.notes = append(s.notes, reason.New(code, reason.Origin{}, fmt.Sprintf(format, args...)).WithFix(fix))
}

// ciphersFix says what to write instead of an invalid cipher list.
const ciphersFix = "write suites such as ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256, or HIGH"

// ciphers reads a cipher list, or returns why it selects nothing.
func (s *settings) ciphers(list string) (names []string, why string) {
	read, err := readCiphers(list)
	switch {
	case err != nil:
		return nil, err.Error()
	case len(read.suites) == 0:
		return nil, "none of its suites is spoken"
	case len(read.unspoken) > 0:
		s.note(reason.TLSDiffers, "leave them out, unless others than Windrose read this", "no suite of %s is spoken", strings.Join(read.unspoken, ", "))
	}
	return read.suites, ""
}

// setCiphers reads ssl-ciphers. nginx does not start with a list that selects nothing.
func (s *settings) setCiphers(value string) error {
	if value == "" {
		return nil
	}
	names, why := s.ciphers(value)
	if why != "" {
		s.closedBy, s.closesHosts = "ssl-ciphers", true
		s.note(reason.GuardClosed, ciphersFix, "%s, so the hosts answer 503", why)
	}
	s.suites = names
	return nil
}

// setPreference reads ssl-prefer-server-ciphers.
func (s *settings) setPreference(value string) error {
	on := true
	if value == "on" || value == "off" {
		on = value == "on"
	} else if err := setBool(&on, value); err != nil {
		return err
	}
	if !on {
		s.note(reason.TLSDiffers, "nothing to do: all suites that are spoken are good ones", "suites go by the server's order, whatever clients prefer")
	}
	return nil
}

// setUpstreamCiphers reads proxy-ssl-ciphers.
func (s *settings) setUpstreamCiphers(value string) error {
	if value == "" {
		return nil
	}
	names, why := s.ciphers(value)
	if why != "" {
		s.upstream.unspeakable = unspeakable{"proxy-ssl-ciphers", why}
		return nil
	}
	s.upstream.speak().Suites = names
	return nil
}

// sslProtocols are the words of nginx's proxy_ssl_protocols, lowest first. Those without
// a version are not supported (RFC 8996).
var sslProtocols = []struct {
	word    string
	version model.TLSVersion
}{{"SSLv2", 0}, {"SSLv3", 0}, {"TLSv1", 0}, {"TLSv1.1", 0}, {"TLSv1.2", model.TLS12}, {"TLSv1.3", model.TLS13}}

// setUpstreamProtocols reads proxy-ssl-protocols. The lowest supported version becomes
// the minimum; there is no maximum.
func (s *settings) setUpstreamProtocols(value string) error {
	words := strings.Fields(value)
	var least model.TLSVersion
	var old []string
	for _, p := range sslProtocols {
		switch {
		case !slices.Contains(words, p.word):
			continue
		case p.version == model.TLSUnset:
			old = append(old, p.word)
		case least == model.TLSUnset:
			least = p.version
		}
		words = slices.DeleteFunc(words, func(word string) bool { return word == p.word })
	}
	switch {
	case len(words) > 0:
		s.upstream.unspeakable = unspeakable{"proxy-ssl-protocols", fmt.Sprintf("%q is no version of TLS", words[0])}
	case least == model.TLSUnset && len(old) > 0:
		s.upstream.unspeakable = unspeakable{"proxy-ssl-protocols", strings.Join(old, " and ") + " are not spoken, and it names no other"}
	case least != model.TLSUnset:
		s.upstream.speak().MinVersion = least
		if len(old) > 0 {
			s.note(reason.TLSDiffers, "write TLSv1.2 TLSv1.3", "%s left out: RFC 8996 forbids what is older than TLSv1.2", strings.Join(old, " and "))
		}
	}
	return nil
}

// speak returns the TLS policy towards backends, and makes it if it is nil.
func (up *upstream) speak() *model.TLSPolicy {
	if up.policy == nil {
		up.policy = &model.TLSPolicy{}
	}
	return up.policy
}

// ciphersOf sets the cipher suites of a host to those of an Ingress that names it. The
// oldest Ingress that sets any decides.
func (t *translation) ciphersOf(name string, in *ingress) {
	if len(in.suites) == 0 {
		return
	}
	at := in.object.At("metadata.annotations[" + Prefix + "ssl-ciphers]")
	first, taken := t.ciphers[name]
	switch {
	case !t.owns(in, name):
		t.report(reason.NotHonoured, at, "host %s is served by rules of another namespace alone, so its cipher suites stay as they are", name)
		t.fix("name the hosts of this namespace's own rules")
	case !taken:
		t.ciphers[name] = fragment.Policy{Listener: httpsID, Host: name, TLS: &model.TLSPolicy{Suites: in.suites}, Origin: at}
	case !slices.Equal(first.TLS.Suites, in.suites):
		t.report(reason.PolicyConflict, at, "host %s has its cipher suites from %s, %s", name, first.Origin.Object(), first.Origin.Place())
	}
}
