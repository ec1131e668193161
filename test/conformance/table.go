package conformance

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/gateway-api/conformance/tests"
	"sigs.k8s.io/gateway-api/conformance/utils/suite"
	"sigs.k8s.io/gateway-api/pkg/features"
)

// verdict is the result of a test.
type verdict string

const (
	passed      verdict = "passed"
	failed      verdict = "FAILED"
	notPossible verdict = "not possible"
)

// reasons say why tests that need a feature cannot pass here; the first one that applies
// is used. A feature that the GatewayClass claims has no reason.
var reasons = []struct {
	feature features.FeatureName
	why     string
}{
	{features.SupportMesh, "its requests are commands run inside pods (exec); and there is no mesh yet"},
	{features.SupportGatewayInfrastructure, "nothing is deployed for a Gateway that could carry its labels"},
}

// whyNot returns why a test cannot pass with the claimed features; empty if it should
// pass.
func whyNot(test suite.ConformanceTest, claimed suite.FeaturesSet) string {
	if claimed.HasAll(test.Features...) {
		return ""
	}
	for _, r := range reasons {
		if slices.Contains(test.Features, r.feature) && !claimed.Has(r.feature) {
			return r.why
		}
	}
	var missing []string
	for _, f := range test.Features {
		if !claimed.Has(f) {
			missing = append(missing, string(f))
		}
	}
	return "the GatewayClass does not claim " + strings.Join(missing, ", ")
}

// table collects the results of the tests. Its methods may be called concurrently.
type table struct {
	// file is kept up to date, so that a run that does not end leaves a table, too; empty
	// means no file.
	file string

	mu   sync.Mutex
	rows []row
}

type row struct {
	test    string
	verdict verdict
	took    time.Duration
	why     string
}

func (t *table) add(r row) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows = append(t.rows, r)
	if t.file != "" {
		os.WriteFile(t.file, []byte(t.text()), 0o644) // the table is also printed
	}
}

// String returns one line for each test, failed tests last, and the counts.
func (t *table) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text()
}

func (t *table) text() string {
	order := []verdict{notPossible, passed, failed}
	slices.SortFunc(t.rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.verdict), slices.Index(order, b.verdict)), cmp.Compare(a.test, b.test))
	})
	counts := map[verdict]int{}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "TEST\tVERDICT\tSECONDS\tWHY")
	for _, r := range t.rows {
		counts[r.verdict]++
		seconds := ""
		if r.took > 0 {
			seconds = fmt.Sprintf("%.1f", r.took.Seconds())
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.test, r.verdict, seconds, r.why)
	}
	w.Flush()
	fmt.Fprintf(&b, "%d passed, %d failed, %d not possible here\n", counts[passed], counts[failed], counts[notPossible])
	if len(t.rows) >= len(tests.ConformanceTests) {
		for _, p := range []suite.ConformanceProfile{
			suite.GatewayHTTPConformanceProfile, suite.GatewayTLSConformanceProfile,
			suite.GatewayTCPConformanceProfile, suite.GatewayUDPConformanceProfile,
		} {
			b.WriteString(t.profile(p))
		}
	}
	return b.String()
}

// profile returns how much of a profile has passed, as the suite counts: a test belongs
// to a profile if all its features do, and is extended if any of them is.
func (t *table) profile(p suite.ConformanceProfile) string {
	all, done := [2]int{}, [2]int{} // core, extended
	for _, test := range tests.ConformanceTests {
		has := sets.New(test.Features...)
		if !p.CoreFeatures.Union(p.ExtendedFeatures).IsSuperset(has) {
			continue
		}
		level := 0
		if !p.CoreFeatures.IsSuperset(has) {
			level = 1
		}
		all[level]++
		if slices.ContainsFunc(t.rows, func(r row) bool { return r.test == test.ShortName && r.verdict == passed }) {
			done[level]++
		}
	}
	return fmt.Sprintf("%s: %d of %d core tests, %d of %d extended ones\n", p.Name, done[0], all[0], done[1], all[1])
}
