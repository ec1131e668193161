package cli

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"windrose.dev/windrose/internal/control"
	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy"
	"windrose.dev/windrose/internal/proxy/admin"
	"windrose.dev/windrose/internal/proxy/filter/edge"
	"windrose.dev/windrose/internal/proxy/http3"
	"windrose.dev/windrose/internal/proxy/serve"
	"windrose.dev/windrose/internal/proxy/settings"
	"windrose.dev/windrose/internal/reason"
	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/source/dir"
	"windrose.dev/windrose/internal/standalone"
	"windrose.dev/windrose/internal/translate"
)

const runLong = `Serve a directory of resources on this machine: no cluster, no root.

Every Pod, Deployment and StatefulSet in it becomes loopback pods, which run the
built-in echo application or the program in annotation windrose.dev/command.
Port 80 is published at 127.0.0.1:8080, 443 at 127.0.0.1:8443, others as they
are. Changes of files are live as soon as they are saved.

Standard output has the table of entry points, the line ready, the access log
and what programs print; standard error has the Reports and a line for each
reload. With --log json programs print to standard error, so that each line of
the log parses. With -o json all of standard output is an object a line: the
access log (--log json, unless it is off), and with the member event what else
is said: report, ready, reload.`

// runFlags are the flags as given.
type runFlags struct {
	self              string // the path of this program, or ""
	publish           serve.Publish
	admin             string
	log, output       string
	trusted           serve.Prefixes
	proxyProtocolFrom serve.Prefixes
	explainToken      string
	stateDir          string
	loopback          bool
	limits            settings.Limits
	grace, wait       time.Duration
	translationFlags
}

func runCommand(self string) *cobra.Command {
	flags := runFlags{self: self, publish: serve.Publish{}, limits: settings.DefaultLimits()}
	cmd := &cobra.Command{
		Use: "run DIR...", Short: "serve a directory of resources on this machine",
		Long: runLong, Example: "  windrose run examples/shop",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if flags.output == "json" && !cmd.Flags().Changed("log") {
				flags.log = "json"
			}
			return runDirectories(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), args, &flags)
		},
	}
	f := cmd.Flags()
	f.Var(flags.publish, "publish", "open a listener's port elsewhere: PORT=ADDR:PORT, may be repeated")
	f.StringVar(&flags.admin, "admin", serve.DefaultAdmin, "address of the admin API, with /metrics, /config, /explain and /flows")
	f.StringVar(&flags.log, "log", "compact", "access log on standard output: compact, json or off")
	f.StringVarP(&flags.output, "output", "o", "text", "text or json, which makes --log json the default")
	f.StringVar(&flags.explainToken, "explain-token", "", "requests that carry it in X-Windrose-Explain get their decision in X-Windrose-Explained (default none do)")
	f.Var(&flags.trusted, "trusted-proxies", "CIDRs of peers that are believed when they say who their client is")
	f.Var(&flags.proxyProtocolFrom, "proxy-protocol-from", serve.ProxyProtocolDoc)
	f.StringVar(&flags.stateDir, "state-dir", "", "directory that keeps the certificate authority over runs (default none)")
	f.DurationVar(&flags.grace, "drain-grace", 0, "how long to keep accepting after the first interrupt")
	f.DurationVar(&flags.wait, "drain-wait", 10*time.Second, "how long to wait for exchanges to end after that")
	f.BoolVar(&flags.loopback, "loopback-names", true, serve.LoopbackDoc)
	flags.translationFlags.add(cmd)
	limits := flag.NewFlagSet("limits", flag.ContinueOnError)
	serve.AddLimits(limits, &flags.limits)
	f.AddGoFlagSet(limits)
	return cmd
}

// address returns where a listener is published: as --publish says, else at the
// listener's own address, else at 127.0.0.1.
func (f *runFlags) address(l model.Listener) string {
	if address := cmp.Or(f.publish.Of(l.ID), l.Address); address != "" {
		return address
	}
	published := map[uint16]uint16{80: 8080, 443: 8443}[l.ID.Port]
	if published == 0 {
		published = l.ID.Port
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(int(published)))
}

// runner is one `windrose run`.
type runner struct {
	flags   *runFlags
	errOut  io.Writer
	journal journal
	loader  *dir.Loader
	host    *standalone.Host
	proxy   *proxy.Proxy
	metrics *observe.Metrics
	log     *observe.Log
	loop    *control.Loop
	retry   *serve.Retry
	ledger  serve.Ledger
	live    uint64 // the Generation after the last build
}

func runDirectories(ctx context.Context, out, errOut io.Writer, dirs []string, flags *runFlags) error {
	proxy.LimitMemory()
	r, err := newRunner(out, errOut, dirs, flags)
	if err != nil {
		return err
	}
	adminAPI, err := net.Listen("tcp", flags.admin)
	if err != nil {
		return fmt.Errorf("%w; choose another address with --admin", err)
	}
	defer adminAPI.Close()
	return r.run(ctx, adminAPI)
}

func newRunner(out, errOut io.Writer, dirs []string, flags *runFlags) (*runner, error) {
	format, err := observe.ParseLogFormat(flags.log)
	if err != nil {
		return nil, err
	}
	if flags.output == "json" && format == observe.LogCompact {
		return nil, errors.New("-o json goes with --log json or off: standard output is JSON then")
	}
	out, errOut = &sharedWriter{w: out}, &sharedWriter{w: errOut}
	r := &runner{flags: flags, errOut: errOut, metrics: observe.NewMetrics(0)}
	if r.journal, err = newJournal(flags.output, out, errOut); err != nil {
		return nil, err
	}
	r.loader = dir.NewLoader(dir.Config{Dirs: dirs, Guards: translate.Guards})
	if err := r.loader.Check(); err != nil {
		return nil, err
	}
	to := streamsOf(flags, out, errOut)
	r.log = observe.NewLog(to.log, format, r.metrics.Dropped)
	r.host = standalone.New(standalone.Config{
		Output: to.programs, StateDir: flags.stateDir, Sentinel: sentinelOf(flags.self),
	})
	r.proxy, err = proxy.New(proxy.Config{
		Filters: edge.Table(), Metrics: r.metrics, Log: r.log, Limits: flags.limits, Trusted: flags.trusted, ProxyProtocolFrom: flags.proxyProtocolFrom, ExplainToken: flags.explainToken,
		LoopbackNames: flags.loopback, Warn: func(text string) { fmt.Fprintf(errOut, "windrose: %s\n", text) },
		Address: flags.address, DrainGrace: flags.grace, DrainWait: flags.wait, HTTP3: http3.New,
	})
	if err != nil {
		return nil, err
	}
	r.loop = control.New(control.Config{
		Read:    func() *source.Set { return r.host.Reconcile(r.loader.Load()) },
		Options: flags.options(),
		Apply:   r.proxy.Apply,
		Built:   r.built,
	})
	r.retry = serve.NewRetry(func() []serve.Address { return serve.Closed(r.proxy, flags.address) }, r.loop.Dirty)
	return r, nil
}

// run serves until ctx ends and everything has drained: first the proxy, then the pods
// behind it, then the log.
func (r *runner) run(ctx context.Context, adminAPI net.Listener) error {
	pods, endPods := context.WithCancel(context.WithoutCancel(ctx))
	rest, endRest := context.WithCancel(context.WithoutCancel(ctx))
	var behind, helpers sync.WaitGroup
	var hostErr error
	behind.Go(func() { hostErr = r.host.Run(pods) })
	helpers.Go(func() { r.log.Run(rest) })
	helpers.Go(func() { admin.Serve(rest, adminAPI, admin.All(r.metrics, r.proxy)) })
	err := r.serve(ctx, adminAPI.Addr())
	endPods()
	behind.Wait()
	endRest()
	helpers.Wait()
	return errors.Join(err, hostErr)
}

func (r *runner) serve(ctx context.Context, adminAPI net.Addr) error {
	if err := r.host.Err(); err != nil {
		return err
	}
	first := r.loop.Build()
	if err := r.startError(first); err != nil {
		return err
	}
	r.metrics.SetState(func(s *observe.State) { s.Ready = true })
	r.journal.ready(r.started(first, adminAPI))
	inner, cancel := context.WithCancel(ctx)
	var helpers sync.WaitGroup
	helpers.Go(func() { r.loop.Run(inner) })
	helpers.Go(func() { r.watchPods(inner) })
	helpers.Go(func() { r.retry.Run(inner) })
	helpers.Go(func() {
		if err := r.loader.Watch(inner, r.loop.Dirty); err != nil {
			fmt.Fprintf(r.errOut, "windrose: changes of files are not seen any more: %v\n", err)
		}
	})
	cut, err := r.proxy.Run(ctx)
	cancel()
	helpers.Wait()
	if cut > 0 {
		fmt.Fprintf(r.errOut, "windrose: cut %d connections that did not end in time\n", cut)
	}
	return err
}

func (r *runner) started(first control.Result, adminAPI net.Addr) started {
	_, counts := new(serve.Ledger).Update(first.Reports)
	s := started{
		Reload: counts.Of(r.live, first.Snapshot), Admin: adminAPI.String(),
		EntryPoints: entryPoints(first.Snapshot, r.proxy.Addr),
	}
	if r.flags.stateDir != "" && r.host.CAPEM() != nil {
		s.CA = filepath.Join(r.flags.stateDir, "ca.crt")
	}
	return s
}

// startError returns why the run cannot start.
func (r *runner) startError(first control.Result) error {
	if first.Err != nil {
		return first.Err
	}
	for _, report := range first.Reports {
		if report.Code == reason.ListenFailed {
			return errors.New(report.Message + "; " + report.Fix)
		}
	}
	if len(first.Snapshot.Config.Listeners) == 0 {
		return r.nothingToServe(first.Reports)
	}
	return nil
}

// nothingToServe returns the error for a directory with nothing to serve. It says if
// --class is the reason.
func (r *runner) nothingToServe(reports []reason.Report) error {
	others := 0
	for _, report := range reports {
		if report.Code == reason.ClassNotServed {
			others++
		}
	}
	if others == 0 {
		return fmt.Errorf("nothing to serve: %s", reason.NothingToServe.Row().Fix)
	}
	return fmt.Errorf("nothing to serve: --class %s leaves out %s of other classes or of none; name another class, or leave --class out",
		r.flags.class, quantity(others, "resource"))
}

func (r *runner) watchPods(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.host.Changed():
			r.loop.Dirty()
		}
	}
}

// built is called after each build. It prints the new Reports and, except after the first
// build, what is live now.
func (r *runner) built(result control.Result) {
	fresh, line := r.ledger.Update(result.Reports)
	for _, report := range fresh {
		r.journal.report(report)
	}
	live := r.proxy.Generation()
	if result.Err == nil {
		r.host.Applied()
	} else {
		line.Kept = result.Err.Error()
	}
	moved := live.Number != r.live
	if r.live > 0 && (moved || len(fresh) > 0 || line.Resolved > 0 || line.Kept != "") {
		r.journal.reload(line.Of(live.Number, live.Snapshot))
	}
	if moved && !result.Since.IsZero() {
		r.metrics.SaveToLive.Observe(0, time.Since(result.Since))
	}
	r.live = live.Number
	r.metrics.SetState(func(s *observe.State) { s.Reports = result.Reports })
	r.retry.Wake()
}
