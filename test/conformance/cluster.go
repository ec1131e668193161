package conformance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"

	"windrose.dev/windrose/internal/control"
	"windrose.dev/windrose/internal/model"
	"windrose.dev/windrose/internal/observe"
	"windrose.dev/windrose/internal/proxy"
	"windrose.dev/windrose/internal/proxy/filter"
	"windrose.dev/windrose/internal/proxy/settings"
	"windrose.dev/windrose/internal/source"
	"windrose.dev/windrose/internal/standalone"
	"windrose.dev/windrose/internal/translate"
	"windrose.dev/windrose/internal/translate/gateway"
)

// Config configures a Cluster.
type Config struct {
	// Cache is the directory in which the suite's echo-basic is built.
	Cache string
	// Dir receives the files that pods mount.
	Dir string
	// Failed is called with errors of builds that did not become live, and of listeners
	// that could not be opened. It may be called from any goroutine.
	Failed func(error)
}

// Cluster stands in for a real cluster: it has an API, the pods, and Windrose.
type Cluster struct {
	cfg       Config
	echo      string // the path of echo-basic
	store     *Store
	logs      *podLogs
	addresses *addresses
	reader    reader
	host      *standalone.Host
	proxy     *proxy.Proxy
	loop      *control.Loop
	api       *http.Server
	rest      *rest.Config
	// set is the Set to build; only the loop uses it.
	set *source.Set
	// network maps the addresses of pods to those at which their programs listen.
	network atomic.Pointer[map[podPort]netip.AddrPort]
}

// NewCluster makes a Cluster. It serves nothing before Run.
func NewCluster(cfg Config) (*Cluster, error) {
	c := &Cluster{cfg: cfg, logs: newPodLogs()}
	var err error
	if c.addresses, err = newAddresses(); err != nil {
		return nil, err
	}
	if c.echo, err = buildEcho(cfg.Cache); err != nil {
		return nil, err
	}
	c.store = NewStore(func() { c.loop.Dirty() })
	c.reader = reader{store: c.store, seen: map[key]decoded{}}
	c.host = standalone.New(standalone.Config{Output: c.logs, Grace: time.Second})
	c.proxy, err = proxy.New(proxy.Config{
		Filters: filter.Table(), Metrics: observe.NewMetrics(0), Limits: settings.DefaultLimits(), Dial: c.dial, DialUDP: c.dialUDP,
		Address:   func(l model.Listener) string { return l.Address },
		DrainWait: time.Second,
	})
	if err != nil {
		return nil, err
	}
	c.loop = control.New(control.Config{
		Read:    c.read,
		Options: translate.Options{Gateway: gateway.Options{Addresses: c.addresses.of}},
		Apply:   c.proxy.Apply,
		Built:   c.built,
	})
	return c, c.openAPI()
}

func (c *Cluster) openAPI() error {
	l, err := net.Listen("tcp", net.JoinHostPort(c.addresses.api(), "0"))
	if err != nil {
		return err
	}
	c.api = &http.Server{Handler: &server{c.store, c.logs}, ReadHeaderTimeout: time.Minute}
	go c.api.Serve(l)
	c.rest = &rest.Config{
		Host: "http://" + l.Addr().String(), QPS: -1,
		ContentConfig: rest.ContentConfig{ContentType: "application/json"},
	}
	return nil
}

// RESTConfig returns the configuration for clients of the API.
func (c *Cluster) RESTConfig() *rest.Config { return c.rest }

// Run runs the Cluster until ctx ends and everything in it has ended.
func (c *Cluster) Run(ctx context.Context) error {
	defer c.addresses.close()
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	var parts sync.WaitGroup
	var hostErr error
	parts.Go(func() { hostErr = c.host.Run(inner); cancel() })
	parts.Go(func() { c.loop.Run(inner) })
	parts.Go(func() { c.watchPods(inner) })
	_, err := c.proxy.Run(inner)
	parts.Wait()
	return errors.Join(err, hostErr, c.api.Close())
}

func (c *Cluster) watchPods(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.host.Changed():
			c.loop.Dirty()
		}
	}
}

// read returns the Set of the objects in the store and the running pods.
func (c *Cluster) read() *source.Set {
	set := c.reader.set()
	set.Deployments = c.workloads(set)
	out := *c.host.Reconcile(set)
	out.Secrets = set.Secrets // missing Secrets stay missing: no certificates of `run`
	c.set = &out
	c.connect(c.set)
	return c.set
}

// built writes the results of a build into the store, once it is live.
func (c *Cluster) built(result control.Result) {
	if errors.Is(result.Err, proxy.ErrClosed) {
		return // the build was in progress when the Cluster stopped
	}
	if result.Err != nil {
		c.cfg.Failed(fmt.Errorf("the build is not live: %w", result.Err))
		return
	}
	for _, l := range result.Snapshot.Config.Listeners {
		if c.proxy.Addr(l.ID) == nil {
			c.cfg.Failed(fmt.Errorf("listener %s is not open at %s", l.ID, l.Address))
		}
	}
	c.host.Applied()
	c.writePods(c.set)
	c.writeStatus(gateway.Typed(result.Status))
}
