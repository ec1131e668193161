package ingress

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"windrose.dev/windrose/internal/model"
)

// suites are those of TLS 1.2 that may be chosen, by IANA's names.
type suites map[string]bool

// chosen is what an OpenSSL cipher list comes to.
type chosen struct {
	// suites are in order; crypto/tls has an order of preference of its own.
	suites []string
	// unspoken are the entries that add nothing, since no suite that they select
	// is spoken.
	unspoken []string
}

// errCiphers is wrapped by the errors of readCiphers.
var errCiphers = errors.New("it is no cipher list")

// maxCiphers bounds a list, in bytes: all that OpenSSL has are fewer.
const maxCiphers = 8192

// readCiphers evaluates a cipher list of OpenSSL (ciphers(1)) as a set over the
// suites that are spoken. The order of a list says nothing here, and neither do
// @STRENGTH and @SECLEVEL.
func readCiphers(list string) (chosen, error) {
	if len(list) > maxCiphers {
		return chosen{}, fmt.Errorf("%w: it has more than %d bytes", errCiphers, maxCiphers)
	}
	in, killed := suites{}, suites{}
	var out chosen
	if rest, found := strings.CutPrefix(list, "DEFAULT"); found { // it is a keyword at the start alone
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

// isSeparator: OpenSSL takes semicolons, too.
func isSeparator(c rune) bool { return strings.ContainsRune(": ,;", c) }

// splitOperators sets apart what OpenSSL reads without a separator: "DEFAULT@STRENGTH"
// is two entries, since no name holds an operator but for + and -.
func splitOperators(list string) string {
	return strings.NewReplacer("@", ":@", "!", ":!").Replace(list)
}

// commands are those of entries that begin with @.
var commands = []string{"STRENGTH", "SECLEVEL=0", "SECLEVEL=1", "SECLEVEL=2", "SECLEVEL=3", "SECLEVEL=4", "SECLEVEL=5"}

func readCommand(text string) error {
	name, _, _ := strings.Cut(text, "+") // OpenSSL throws the rest away
	if !slices.Contains(commands, name) {
		return fmt.Errorf("%w: it has no command @%s", errCiphers, name)
	}
	return nil
}

// selectAll are the suites that have all of some names, with a + between them. A
// name that is not known selects none.
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

// keyword are the suites that one name selects: a suite's, or one for a group.
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

// keywords are the groups of ciphers(1) that have a suite that is spoken. Of the
// others, such as aNULL, MEDIUM, kRSA or 3DES, every one is empty here: RSA means
// kRSA, and SHA256 and SHA384 are MACs, which suites with AEAD have none of.
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
	"TLSv1":   named("_CBC_SHA"), "TLSv1.0": named("_CBC_SHA"), // the version that they came with
}

func every(model.CipherSuite) bool { return true }

// named selects by a part of IANA's names, which say all that there is to say.
func named(part string) func(model.CipherSuite) bool {
	return func(s model.CipherSuite) bool { return strings.Contains(s.Name, part) }
}

func remove(from, these suites) {
	for name := range these {
		delete(from, name)
	}
}

// without are all the others.
func without(these suites) suites {
	out := keyword("ALL")
	remove(out, these)
	return out
}
