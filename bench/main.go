package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"windrose.dev/windrose/bench/rig"
)

// options are the flags.
type options struct {
	rounds       int
	duration     time.Duration
	warmUp       time.Duration
	quick        bool
	allowMissing bool
	output       string
	only, loads  string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		stop()
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.IntVar(&o.rounds, "rounds", 7, "interleaved rounds, of which the best counts")
	f.DurationVar(&o.duration, "duration", 4*time.Second, "length of one run, in whole seconds")
	f.DurationVar(&o.warmUp, "warm-up", time.Second, "length of the run before it, in whole seconds")
	f.BoolVar(&o.quick, "quick", false, "one round of 2 s and the main rows only")
	f.BoolVar(&o.allowMissing, "allow-missing", false, "leave out what needs a program that is not installed")
	f.StringVar(&o.output, "o", "table", "table or json")
	f.StringVar(&o.only, "only", "", "run the sections whose names hold this word")
	f.StringVar(&o.loads, "loads", "", "of side by side, put on the loads whose names hold this word")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if o.quick {
		o.rounds, o.duration = 1, 2*time.Second
	}
	if o.output != "table" && o.output != "json" || f.NArg() > 0 || o.rounds < 1 {
		return o, fmt.Errorf("-o is table or json, -rounds is at least 1, and there are no arguments")
	}
	return o, nil
}

// bench is one run of the program.
type bench struct {
	options
	rig      *rig.Rig
	missing  map[string]bool
	result   Result
	progress io.Writer
}

// section is one kind of measurement.
type section struct {
	name string
	// needs are the programs that it requires.
	needs []string
	// quick sections also run with -quick.
	quick bool
	run   func(*bench, context.Context) error
}

// sections are measured in this order.
var sections = []section{
	{"side by side", []string{"nginx", "wrk", "h2load", "taskset"}, true, (*bench).sideBySide},
	{"http/3", []string{"nginx", "taskset"}, true, (*bench).http3},
	{"handshakes", []string{"nginx", "taskset"}, false, (*bench).handshakes},
	{"footprint", []string{"nginx", "wrk"}, true, (*bench).footprint},
	{"idle connections", []string{"nginx"}, false, (*bench).idleConnections},
	{"streams", nil, false, (*bench).concurrentStreams},
	{"save to live", nil, true, (*bench).saveToLive},
	{"build", nil, true, (*bench).build},
	{"match", nil, true, (*bench).match},
	{"allocations", []string{"nginx", "wrk"}, true, (*bench).allocations},
}

// peers are the programs to compare with, and the load generators and tools.
var peers = []string{"nginx", "haproxy", "wrk", "h2load", "taskset"}

func run(ctx context.Context, args []string, out, progress io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	b := &bench{options: o, missing: map[string]bool{}, progress: progress}
	b.result = newResult(o)
	for _, name := range rig.Missing(peers...) {
		b.missing[name] = true
		b.result.Missing = append(b.result.Missing, name)
	}
	if err := b.measure(ctx); err != nil {
		return err
	}
	if err := b.result.write(out, o.output); err != nil {
		return err
	}
	if len(b.missing) > 0 && !o.allowMissing {
		return fmt.Errorf("not installed: %s; install them, or say -allow-missing", strings.Join(b.result.Missing, ", "))
	}
	return nil
}

func (b *bench) measure(ctx context.Context) (err error) {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("the measurements read /proc: they need Linux")
	}
	raiseFileLimit()
	if b.rig, err = rig.New(); err != nil {
		return err
	}
	defer b.rig.Close()
	b.say("building")
	if err := b.rig.Build(ctx, "windrose", "windrose-gateway", "windrose-proxy"); err != nil {
		return err
	}
	for _, s := range sections {
		if !strings.Contains(s.name, b.only) || b.quick && !s.quick || b.lacks(s) {
			continue
		}
		b.say("%s", s.name)
		if err := s.run(b, ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// lacks reports whether a section is left out because a program is not installed, and
// records that.
func (b *bench) lacks(s section) bool {
	for _, name := range s.needs {
		if b.missing[name] {
			b.result.LeftOut = append(b.result.LeftOut, fmt.Sprintf("%s: needs %s", s.name, name))
			return true
		}
	}
	return false
}

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.progress, "bench: "+format+"\n", args...)
}
