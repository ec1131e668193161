package standalone

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"windrose.dev/windrose/internal/source"
)

func TestWords(t *testing.T) {
	tests := []struct {
		line string
		want []string
		err  error
	}{
		{`serve -p 80`, []string{"serve", "-p", "80"}, nil},
		{"  serve\t-v \n", []string{"serve", "-v"}, nil},
		{`sh -c 'exec "$0" $PORT'`, []string{"sh", "-c", `exec "$0" $PORT`}, nil},
		{`a "b c" d`, []string{"a", "b c", "d"}, nil},
		{`a"b"'c'd`, []string{"abcd"}, nil},
		{`a '' ""`, []string{"a", "", ""}, nil},
		{`a\ b \"c`, []string{"a b", `"c`}, nil},
		{`"a\"b\\c\n"`, []string{`a"b\c\n`}, nil},
		{`'a\b'`, []string{`a\b`}, nil},
		{`größe 'ü'`, []string{"größe", "ü"}, nil},
		{``, nil, errNoWords},
		{"  ", nil, errNoWords},
		{`a 'b`, nil, errUnterminated},
		{`a "b`, nil, errUnterminated},
		{`a \`, nil, errTrailing},
	}
	for _, tt := range tests {
		got, err := words(tt.line)
		if !slices.Equal(got, tt.want) || err != tt.err {
			t.Errorf("words(%q) = %q, %v, want %q, %v", tt.line, got, err, tt.want, tt.err)
		}
	}
}

func TestBackoff(t *testing.T) {
	ms := time.Millisecond
	tests := []struct {
		name  string
		lives []time.Duration
		want  []time.Duration
	}{
		{
			"doubles up to ten seconds", make([]time.Duration, 9),
			[]time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 6400 * ms, 10 * time.Second, 10 * time.Second},
		},
		{
			"a long life starts over",
			[]time.Duration{0, 0, 10 * time.Second, 9 * time.Second},
			[]time.Duration{100 * ms, 200 * ms, 100 * ms, 200 * ms},
		},
	}
	for _, tt := range tests {
		var b backoff
		var got []time.Duration
		for _, alive := range tt.lives {
			b = b.after(alive)
			got = append(got, b.delay())
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestStaying(t *testing.T) {
	web, db := workloadKey{kind: "Deployment", name: source.Name{Name: "web"}}, workloadKey{kind: "StatefulSet", name: source.Name{Name: "db"}}
	pod := func(w workloadKey, name, revision string, ready bool) candidate {
		return candidate{podKey{source.Name{Name: name}, revision}, w, ready}
	}
	const ready, unready = true, false
	tests := []struct {
		name         string
		desired, old []candidate
		want         string
	}{
		{"new ones are ready", []candidate{pod(web, "n1", "2", ready)}, []candidate{pod(web, "o1", "1", ready)}, ""},
		{"new ones are not", []candidate{pod(web, "n1", "2", unready)}, []candidate{pod(web, "o1", "1", ready)}, "o1/1"},
		{
			"one by one",
			[]candidate{pod(web, "n1", "2", ready), pod(web, "n2", "2", unready)},
			[]candidate{pod(web, "o1", "1", ready), pod(web, "o2", "1", ready)},
			"o1/1",
		},
		{
			"an old one that is not ready is of no use",
			[]candidate{pod(web, "n1", "2", unready)},
			[]candidate{pod(web, "o1", "1", unready), pod(web, "o2", "1", ready)},
			"o2/1",
		},
		{"the workload is gone", nil, []candidate{pod(web, "o1", "1", ready)}, ""},
		{"another workload waits", []candidate{pod(db, "db-0", "1", unready)}, []candidate{pod(web, "o1", "1", ready)}, ""},
		{
			"the same name, ready",
			[]candidate{pod(db, "db-0", "2", ready), pod(db, "db-1", "2", unready)},
			[]candidate{pod(db, "db-0", "1", ready), pod(db, "db-1", "1", ready)},
			"db-1/1",
		},
		{
			"one name stands once",
			[]candidate{pod(db, "db-0", "3", unready), pod(db, "db-1", "3", unready)},
			[]candidate{pod(db, "db-0", "2", ready), pod(db, "db-0", "1", ready)},
			"db-0/1",
		},
	}
	for _, tt := range tests {
		var got []string
		for key := range staying(tt.desired, tt.old) {
			got = append(got, key.name.Name+"/"+key.revision)
		}
		slices.Sort(got)
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: %v stay, want %s", tt.name, got, tt.want)
		}
	}
}

func TestLineWriter(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	tests := []struct {
		name   string
		writes []string
		want   string
	}{
		{"lines", []string{"a\nb\n"}, "[p] a\n[p] b\n"},
		{"pieces", []string{"a", "b\nc", "\n"}, "[p] ab\n[p] c\n"},
		{"no line end", []string{"a\nb"}, "[p] a\n[p] b\n"},
		{"empty lines", []string{"\n\n"}, "[p] \n[p] \n"},
		{"carriage returns", []string{"a\r\n"}, "[p] a\n"},
		{"a long line", []string{long, "y\nz\n"}, "[p] " + long + "\n[p] y\n[p] z\n"},
		{"a whole long line", []string{long + "\n"}, "[p] " + long + "\n"},
	}
	for _, tt := range tests {
		var out bytes.Buffer
		w := &lineWriter{out: &output{w: &out}, prefix: "[p] "}
		for _, s := range tt.writes {
			w.Write([]byte(s))
		}
		w.flush()
		if out.String() != tt.want {
			t.Errorf("%s: got %.80q, want %.80q", tt.name, out.String(), tt.want)
		}
	}
}

func TestSentinelReadsGroups(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", "map[]"},
		{"+12\n+13\n", "map[12:true 13:true]"},
		{"+12\n+13\n-12\n", "map[13:true]"},
		{"+12\n-99\n+13", "map[12:true 13:true]"},
		{"+1\n+0\n+-5\n+\n\n12\n+x\n", "map[]"},
	}
	for _, tt := range tests {
		if got := fmt.Sprint(watched(strings.NewReader(tt.in))); got != tt.want {
			t.Errorf("%q: %s, want %s", tt.in, got, tt.want)
		}
	}
}

// If the sentinel cannot start, this is said once, and the programs run.
func TestSentinelThatCannotStart(t *testing.T) {
	var troubles []error
	s := &sentinel{command: []string{"/no/such/program"}, trouble: func(err error) { troubles = append(troubles, err) }}
	s.watch(12)
	s.watch(13)
	s.close()
	if len(troubles) != 1 {
		t.Errorf("told of %v", troubles)
	}
}

func TestPodSuffixesAreDistinct(t *testing.T) {
	suffixes := podSuffixes("abc", 5000)
	slices.Sort(suffixes)
	if n := len(slices.Compact(suffixes)); n != 5000 {
		t.Errorf("%d of 5000 are distinct", n)
	}
}

func TestPortPool(t *testing.T) {
	pool := newPortPool()
	first, err := pool.take([]int32{80, 81})
	if err != nil || len(first) != 2 || first[80] == first[81] {
		t.Fatalf("took %v, %v", first, err)
	}
	pool.next = first[80] - firstProgramPort
	second, err := pool.take([]int32{80})
	if err != nil || second[80] == first[80] || second[80] == first[81] {
		t.Errorf("took %v after %v, %v", second, first, err)
	}
	pool.give(first)
	pool.next = first[80] - firstProgramPort
	if third, err := pool.take([]int32{80}); err != nil || third[80] != first[80] {
		t.Errorf("took %v, %v, but %v was given back", third, err, first)
	}
}
