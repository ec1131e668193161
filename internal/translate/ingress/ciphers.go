package ingress

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"windrose.dev/windrose/internal/model"
)

// suites is a set of TLS 1.2 suites that may be chosen, by IANA name.
type suites map[string]bool

// chosen is the result of evaluating an OpenSSL cipher list.
type chosen struct {
	// suites are sorted; crypto/tls has its own order of preference.
	suites []string
	// unspoken are the entries that add nothing, because we support none of the suites
	// that they select.
	unspoken []string
}

// errCiphers is wrapped by the errors of readCiphers.
var errCiphers = errors.New("it is no cipher list")

// maxCiphers bounds a list, in bytes. A list of all names of OpenSSL is shorter.
const maxCiphers = 8192

// readCiphers evaluates a cipher list of OpenSSL (ciphers(1)) as a set of supported
// suites. The order of the list is ignored, and so are @STRENGTH and @SECLEVEL.
func readCiphers(list string) (chosen, error) {
	if len(list) > maxCiphers {
		return chosen{}, fmt.Errorf("%w: it has more than %d bytes", errCiphers, maxCiphers)
	}
	in, killed := suites{}, suites{}
	var out chosen
	if rest, found := strings.CutPrefix(list, "DEFAULT"); found { // a keyword only at the start
		in, list = keyword("ALL"), rest
	}
	for _, entry := range strings.FieldsFunc(splitOperators(list), isSeparator) {
		operator, names := entry[0], entry
		if strings.ContainsRune("!-+@", rune(operator)) {
			names = entry[1:]
		}
		if operator == '@' {
			if err := readCommand(names); err != nil {
				return chosen{}, err
			}
			continue
		}
		selected, err := selectAll(names)
		if err != nil {
			return chosen{}, err
		}
		switch operator {
		case '!':
			maps.Copy(killed, selected)
			remove(in, selected)
		case '-':
			remove(in, selected)
		case '+': // moved to the end
		default:
			if len(selected) == 0 && !model.Always(names) {
				out.unspoken = append(out.unspoken, names)
			}
			maps.Copy(in, selected)
			remove(in, killed)
		}
	}
	out.suites = slices.Sorted(maps.Keys(in))
	return out, nil
}

// isSeparator reports whether c separates entries: OpenSSL accepts semicolons, too.
func isSeparator(c rune) bool { return strings.ContainsRune(": ,;", c) }

// splitOperators inserts the separators that OpenSSL does not need: "DEFAULT@STRENGTH" is
// two entries, since no name contains an operator other than + and -.
func splitOperators(list string) string {
	return strings.NewReplacer("@", ":@", "!", ":!").Replace(list)
}

// commands are the entries that begin with @.
var commands = []string{"STRENGTH", "SECLEVEL=0", "SECLEVEL=1", "SECLEVEL=2", "SECLEVEL=3", "SECLEVEL=4", "SECLEVEL=5"}

func readCommand(text string) error {
	name, _, _ := strings.Cut(text, "+") // OpenSSL ignores the rest
	if !slices.Contains(commands, name) {
		return fmt.Errorf("%w: it has no command @%s", errCiphers, name)
	}
	return nil
}

// selectAll returns the suites that match all of some names, joined by +. An unknown name
// matches none.
func selectAll(names string) (suites, error) {
	out := keyword("ALL")
	for _, name := range strings.Split(names, "+") {
		if name == "" || strings.ContainsFunc(name, isNoName) {
			return nil, fmt.Errorf("%w: %q is no entry", errCiphers, names)
		}
		remove(out, without(keyword(name)))
	}
	return out, nil
}

func isNoName(c rune) bool {
	return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("-_.=", c))
}

// keyword returns the suites that one name selects: the name of a suite or of a group.
func keyword(name string) suites {
	out := suites{}
	has := keywords[name]
	for _, s := range model.CipherSuites() {
		if name == s.Name || name == s.OpenSSL || has != nil && has(s) {
			out[s.Name] = true
		}
	}
	return out
}

// keywords are the groups of ciphers(1) with at least one supported suite. The other
// groups, such as aNULL, MEDIUM, kRSA or 3DES, are empty here: RSA means kRSA, and SHA256
// and SHA384 are MACs, which AEAD suites do not have.
var keywords = map[string]func(model.CipherSuite) bool{
	"ALL": every, "HIGH": every,
	"ECDHE": every, "EECDH": every, "ECDH": every, "kECDHE": every, "kEECDH": every,
	"aRSA":   named("_RSA_"),
	"aECDSA": named("_ECDSA_"), "ECDSA": named("_ECDSA_"),
	"AES": named("_AES_"), "FIPS": named("_AES_"),
	"AES128": named("_AES_128_"), "AES256": named("_AES_256_"),
	"AESGCM": named("_GCM_"), "CHACHA20": named("_CHACHA20_"),
	"SHA": named("_CBC_SHA"), "SHA1": named("_CBC_SHA"),
	"TLSv1.2": func(s model.CipherSuite) bool { return s.AEAD },
	"TLSv1":   named("_CBC_SHA"), "TLSv1.0": named("_CBC_SHA"), // introduced with TLS 1.0
}

func every(model.CipherSuite) bool { return true }

// named selects suites by a part of the IANA name, which tells all their properties.
func named(part string) func(model.CipherSuite) bool {
	return func(s model.CipherSuite) bool { return strings.Contains(s.Name, part) }
}

func remove(from, these suites) {
	for name := range these {
		delete(from, name)
	}
}

// without returns all other suites.
func without(these suites) suites {
	out := keyword("ALL")
	remove(out, these)
	return out
}
