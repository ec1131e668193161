// Package serve is what the data-plane mains share: flags, loading a Snapshot from a
// file, the admin API, and signals. A main adds its table of filters.
package serve

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy"
	"windrose.dev/windrose/internal/proxy/admin"
	"windrose.dev/windrose/internal/proxy/exchange"
	"windrose.dev/windrose/internal/proxy/frontend"
	"windrose.dev/windrose/internal/proxy/settings"
	"windrose.dev/windrose/internal/reason"
)

// options are the flags of a data plane.
type options struct {
	snapshot          string
	bind              string
	publish           Publish
	admin, telemetry  string
	logFormat         string
	trusted           Prefixes
	proxyProtocolFrom Prefixes
	loopback          bool
	explainToken      string
	limits            settings.Limits
	grace, wait       time.Duration
	takeover          string
}

// Publish maps a listener's port to the address where it is opened. It is a
// flag value: PORT=ADDR:PORT, repeatable.
type Publish map[uint16]string

func (p Publish) String() string { return "" }

// Set reads one PORT=ADDR:PORT.
func (p Publish) Set(text string) error {
	port, address, found := strings.Cut(text, "=")
	n, err := strconv.ParseUint(port, 10, 16)
	if _, _, splitErr := net.SplitHostPort(address); !found || err != nil || splitErr != nil {
		return fmt.Errorf("%q is not PORT=ADDR:PORT, such as 80=127.0.0.1:8080", text)
	}
	p[uint16(n)] = address
	return nil
}

// Of returns the published address of a listener, or an empty string. Only ports that
// all Gateways share are published.
func (p Publish) Of(id model.ListenerID) string {
	if id.Gateway != "" {
		return ""
	}
	return p[id.Port]
}

// Type returns the name of the value in help texts.
func (p Publish) Type() string { return "PORT=ADDR:PORT" }

// Prefixes is a flag value: CIDRs or addresses, separated by commas.
type Prefixes []netip.Prefix

func (p *Prefixes) String() string { return "" }

// Set reads a list of CIDRs or addresses.
func (p *Prefixes) Set(text string) error {
	for _, word := range strings.Split(text, ",") {
		prefix, err := netip.ParsePrefix(word)
		if err != nil {
			addr, addrErr := netip.ParseAddr(word)
			if addrErr != nil {
				return fmt.Errorf("%q is neither a CIDR nor an address", word)
			}
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
		*p = append(*p, prefix.Masked())
	}
	return nil
}

// Type returns the name of the value in help texts.
func (p *Prefixes) Type() string { return "CIDR,…" }

// ProxyProtocolDoc is the help text of --proxy-protocol-from.
const ProxyProtocolDoc = "CIDRs of balancers whose TCP connections must begin with a PROXY header, v1 or v2, that says who the client is; without one they are closed. Whether that client's X-Forwarded-For is believed is for --trusted-proxies to say (default none are)"

// LoopbackDoc is the help text of --loopback-names.
const LoopbackDoc = "let host names of Services, such as ExternalName, lead to loopback addresses; link-local ones, and those of clouds' metadata, are always refused"

// Flags returns the flags of a data plane, for its page in docs/.
func Flags(name string) *flag.FlagSet {
	f, _ := newFlags(name)
	return f
}

// newFlags returns the flags, and the options that parsing them fills.
func newFlags(name string) (*flag.FlagSet, *options) {
	o := &options{publish: Publish{}, limits: settings.DefaultLimits()}
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.StringVar(&o.snapshot, "snapshot", "", "file with the Snapshot to serve, in text or wire form; SIGHUP reads it again (required)")
	f.StringVar(&o.bind, "bind", "", "address to listen on; empty is all")
	f.Var(o.publish, "publish", "open a listener's port elsewhere: PORT=ADDR:PORT, may be repeated")
	f.StringVar(&o.admin, "admin", DefaultAdmin, "address of the admin API; empty is none")
	f.StringVar(&o.telemetry, "telemetry", DefaultTelemetry, "address of /metrics, /ready and /live; empty is none")
	f.StringVar(&o.logFormat, "log", "compact", "access log on standard output: compact, json or off")
	f.StringVar(&o.explainToken, "explain-token", "", "requests that carry it in X-Windrose-Explain get their decision in X-Windrose-Explained (default none do)")
	f.Var(&o.trusted, "trusted-proxies", "CIDRs of peers that are believed when they say who their client is")
	f.Var(&o.proxyProtocolFrom, "proxy-protocol-from", ProxyProtocolDoc)
	f.BoolVar(&o.loopback, "loopback-names", false, LoopbackDoc)
	f.DurationVar(&o.grace, "drain-grace", 10*time.Second, "how long to keep accepting after SIGTERM")
	f.DurationVar(&o.wait, "drain-wait", 20*time.Second, "how long to wait for exchanges to end after that")
	f.StringVar(&o.takeover, "takeover", "", "Unix socket through which a successor takes the listening sockets over; empty is none")
	AddLimits(f, &o.limits)
	return f, o
}

func parse(name string, args []string, errOut io.Writer) (*options, error) {
	f, o := newFlags(name)
	f.SetOutput(errOut)
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if o.snapshot == "" || f.NArg() > 0 {
		return nil, fmt.Errorf("usage: %s --snapshot FILE; see --help", name)
	}
	return o, nil
}

// AddLimits adds a flag for each limit. The values in limits are the defaults.
func AddLimits(f *flag.FlagSet, limits *settings.Limits) {
	for _, s := range limits.Settings() {
		switch v := s.Value.(type) {
		case *int:
			f.IntVar(v, s.Flag, *v, s.Doc)
		case *int64:
			f.Int64Var(v, s.Flag, *v, s.Doc)
		case *bool:
			f.BoolVar(v, s.Flag, *v, s.Doc)
		case *time.Duration:
			f.DurationVar(v, s.Flag, *v, s.Doc)
		case flag.Value:
			f.Var(v, s.Flag, s.Doc)
		}
	}
}

// Parts are the parts of a data plane in which the mains differ.
type Parts struct {
	Filters []exchange.FilterSpec
	// HTTP3 serves HTTP/3; nil turns it off.
	HTTP3 frontend.HTTP3
}

// Main runs a data plane until a signal ends it. It returns the exit status.
func Main(name string, args []string, parts Parts) int {
	o, err := parse(name, args, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err == nil {
		err = run(name, o, parts)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return 1
	}
	return 0
}

// plane is one data plane.
type plane struct {
	name        string
	options     *options
	proxy       *proxy.Proxy
	metrics     *observe.Metrics
	log         *observe.Log
	sockets     *sockets
	predecessor *net.UnixConn // nil if there is none
	ledger      Ledger
	retry       *Retry
	freed       chan struct{} // signalled when a port that was taken is free
}

func run(name string, o *options, parts Parts) error {
	proxy.LimitMemory()
	format, err := observe.ParseLogFormat(o.logFormat)
	if err != nil {
		return err
	}
	d := &plane{name: name, options: o, metrics: observe.NewMetrics(0), freed: make(chan struct{}, 1)}
	d.log = observe.NewLog(os.Stdout, format, d.metrics.Dropped)
	if d.sockets, d.predecessor, err = inherit(o.takeover); err != nil {
		return err
	}
	d.proxy, err = proxy.New(proxy.Config{
		Filters: parts.Filters, HTTP3: parts.HTTP3, Metrics: d.metrics, Log: d.log, Limits: o.limits,
		Trusted: o.trusted, ProxyProtocolFrom: o.proxyProtocolFrom, ExplainToken: o.explainToken,
		LoopbackNames: o.loopback, Warn: func(text string) { fmt.Fprintf(os.Stderr, "%s: %s\n", name, text) },
		Address: o.address, Listen: d.sockets.Listen, HandedOver: d.sockets.handedOver.Load, ListenUDP: d.sockets.ListenUDP, DrainGrace: o.grace, DrainWait: o.wait,
	})
	if err != nil {
		return err
	}
	d.retry = NewRetry(func() []Address { return Closed(d.proxy, o.address) }, d.portFreed)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	return d.serve(ctx)
}

// serve runs until ctx ends or a successor is ready, and then drains. The access log is
// open until the end. The admin APIs are closed as soon as there is a successor, which
// then has them.
func (d *plane) serve(ctx context.Context) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	apis, endAPIs := context.WithCancel(context.WithoutCancel(ctx))
	logs, endLog := context.WithCancel(context.WithoutCancel(ctx))
	var helpers sync.WaitGroup
	defer helpers.Wait()
	defer endLog()
	defer endAPIs()
	if err := d.start(); err != nil {
		return err
	}
	helpers.Go(func() { d.log.Run(logs) })
	if err := d.listenAdmin(apis, &helpers, d.options.admin, admin.All(d.metrics, d.proxy)); err != nil {
		return err
	}
	if err := d.listenAdmin(apis, &helpers, d.options.telemetry, admin.Telemetry(d.metrics)); err != nil {
		return err
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	d.ready()
	helpers.Go(func() {
		if err := d.sockets.awaitSuccessor(ctx); err == nil {
			fmt.Fprintf(os.Stderr, "%s: a successor has taken over\n", d.name)
			endAPIs()
			end(proxy.ErrSucceeded)
		} else if ctx.Err() == nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", d.name, err)
		}
	})
	helpers.Go(func() { d.reload(ctx, hup) })
	helpers.Go(func() { d.retry.Run(ctx) })
	cut, err := d.proxy.Run(ctx)
	if cut > 0 {
		fmt.Fprintf(os.Stderr, "%s: cut %d connections that did not end in time\n", d.name, cut)
	}
	return err
}

// ready reports readiness: to the admin API, the predecessor and the log.
func (d *plane) ready() {
	d.metrics.SetState(func(s *observe.State) { s.Ready = true })
	d.sockets.closeUnused()
	if d.predecessor != nil {
		d.predecessor.Write([]byte{1})
		d.predecessor.Close()
	}
	fmt.Fprintf(os.Stderr, "%s: ready\n", d.name)
}

// reload reads the Snapshot from the file at each SIGHUP. When a port has become free
// that was taken, it applies the live Snapshot again. After that it returns the memory
// for reading and compiling to the system.
func (d *plane) reload(ctx context.Context, hup <-chan os.Signal) {
	for {
		debug.FreeOSMemory()
		select {
		case <-ctx.Done():
			return
		case <-hup:
			d.applied(d.applyFile())
		case <-d.freed:
			d.applied(d.proxy.Apply(d.proxy.Generation().Snapshot))
		}
	}
}

// portFreed makes reload apply the live Snapshot again.
func (d *plane) portFreed() {
	select {
	case d.freed <- struct{}{}:
	default: // a signal is pending already
	}
}

func (d *plane) listenAdmin(ctx context.Context, helpers *sync.WaitGroup, address string, handler http.Handler) error {
	if address == "" {
		return nil
	}
	l, err := d.sockets.Listen(address)
	if err != nil {
		return fmt.Errorf("%w; choose another address with --admin or --telemetry", err)
	}
	helpers.Go(func() { admin.Serve(ctx, l, handler) })
	return nil
}

// address returns the address for a listener: the published one for a shared port, and
// a Gateway's own address for its ports.
func (o *options) address(l model.Listener) string {
	if address := o.publish.Of(l.ID); address != "" {
		return address
	}
	return cmp.Or(l.Address, net.JoinHostPort(o.bind, strconv.Itoa(int(l.ID.Port))))
}

// start serves the file for the first time. It returns an error if a listener cannot be
// opened.
func (d *plane) start() error {
	reports, err := d.applyFile()
	if err != nil {
		return err
	}
	d.tell(reports)
	if slices.ContainsFunc(reports, func(r reason.Report) bool { return r.Code == reason.ListenFailed }) {
		return errors.New("a port cannot be opened")
	}
	return nil
}

func (d *plane) applyFile() ([]reason.Report, error) {
	data, err := os.ReadFile(d.options.snapshot)
	if err != nil {
		return nil, err
	}
	snapshot, err := model.Load(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.options.snapshot, err)
	}
	return d.proxy.Apply(snapshot)
}

// applied logs one reload. If the previous Snapshot stays live, its Reports stay
// current.
func (d *plane) applied(reports []reason.Report, err error) {
	kept := ""
	if err != nil {
		reports, kept = d.metrics.State().Reports, err.Error()
	}
	line := d.tell(reports)
	line.Kept = kept
	fmt.Fprintf(os.Stderr, "%s: %s\n", d.name, line)
	d.retry.Wake()
}

// tell prints the new Reports, and returns the counts of all.
func (d *plane) tell(reports []reason.Report) Reload {
	d.metrics.SetState(func(s *observe.State) { s.Reports = reports })
	fresh, line := d.ledger.Update(reports)
	for _, r := range fresh {
		fmt.Fprintf(os.Stderr, "%s: %s\n", d.name, r)
	}
	live := d.proxy.Generation()
	return line.Of(live.Number, live.Snapshot)
}
