package rig

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

const wrkOutput = `Running 4s test @ http://127.0.0.1:8080/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     0.94ms  210.00us   9.00ms   91.00%
  Latency Distribution
     50%  820.00us
     99%    1.31s 
  269071 requests in 4.00s, 150.10MB read
  Socket errors: connect 1, read 2, write 3, timeout 4
  Non-2xx or 3xx responses: 5
Requests/sec:  67265.51
`

func TestReadsWhatWrkPrints(t *testing.T) {
	got, err := parseWrk(wrkOutput)
	want := Load{Requests: 269071, PerSecond: 67265.51, P50: 820 * time.Microsecond, P99: 1310 * time.Millisecond, Failed: 11, Late: 4}
	if err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if _, err := parseWrk("unable to connect"); err == nil {
		t.Error("an output without requests is no error")
	}
}

func TestReadsCPUTimes(t *testing.T) {
	const stat = "77 (a name) of 3 words) S 1 77 77 0 -1 4194560 500 0 0 0 150 25 7 8 20 0 6 0 100 1 2"
	got, err := cpuOf([]byte(stat))
	if want := 1750 * time.Millisecond; err != nil || got != want {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if _, err := cpuOf([]byte("77 (x) S")); err == nil {
		t.Error("a short line is no error")
	}
}

func TestReadsMemory(t *testing.T) {
	const status = "Name:\tx\nVmRSS:\t    7900 kB\nRssAnon:\t    1200 kB\n"
	if got := kilobytes([]byte(status), "VmRSS:"); got != 7900<<10 {
		t.Errorf("got %d", got)
	}
	if got := kilobytes([]byte(status), "VmSwap:"); got != 0 {
		t.Errorf("a field that is not there is %d", got)
	}
}

func TestMissingToolNamesItsPackage(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := Tool("h2load")
	if !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "apt-get install nghttp2-client") {
		t.Errorf("the error is %v", err)
	}
	if got := Missing("wrk", "h2load"); len(got) != 2 || got[0] != "h2load" || got[1] != "wrk" {
		t.Errorf("missing are %v", got)
	}
}

// TestCloseEndsEverything starts a program that starts another one, and checks that Close
// ends both.
func TestCloseEndsEverything(t *testing.T) {
	r, err := New()
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.Start(Spec{Name: "/bin/sh", Args: []string{"-c", "sleep 60 & wait"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Await(t.Context(), func() bool { return len(p.Children()) == 1 }); err != nil {
		t.Fatal(err)
	}
	child := p.Children()[0]
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(r.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is still there: %v", err)
	}
	if _, err := usageOf(p.Pid); err == nil {
		t.Error("the program still runs")
	}
	ended := func() bool { // it has ended, but need not be reaped yet
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(child) + "/stat")
		return err != nil || strings.Contains(string(stat), ") Z ")
	}
	for end := time.Now().Add(5 * time.Second); !ended(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the program that it started still runs")
		}
	}
}
