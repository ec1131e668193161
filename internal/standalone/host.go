package standalone

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"windrose.dev/windrose/internal/source"
)

const (
	defaultGrace   = 5 * time.Second
	defaultMaxPods = 256
)

// Config is what a Host needs to know. The zero value is usable.
type Config struct {
	// Output takes the lines that programs print, each behind "[ns/pod] ". It
	// is written by one goroutine at a time. Nil drops them.
	Output io.Writer
	// Grace is how long a pod goes on serving after it left the endpoints, and
	// how long pods may take to end when the run ends; 0 is 5 s.
	Grace time.Duration
	// MaxPods bounds the pods that run at once; 0 is 256. Pods on their way
	// out come on top.
	MaxPods int
	// StateDir keeps the certificate authority over runs, in ca.crt and
	// ca.key; empty makes a new one for each run.
	StateDir string
	// Sentinel starts this program again, such that it calls Sentinel with its
	// standard input: the process that ends the programs, and all that they
	// started, when we are killed. Without it, on Linux, the programs alone end.
	Sentinel []string
}

// Host runs the pods of one directory. Reconcile may be called before and
// while Run runs; Run owns all that Reconcile starts.
type Host struct {
	config  Config
	changed chan struct{}
	output  *output
	guard   *sentinel
	free    *portPool
	// env is what programs inherit.
	env []string
	// broken is why there is no certificate authority; Run returns it.
	broken error
	// patience bounds every wait for a pod to end.
	patience     context.Context
	losePatience context.CancelFunc

	mu       sync.Mutex
	issuer   *issuer
	pods     map[podKey]*livePod
	left     []*livePod // the endpoints, in a Set that is not live yet
	closed   bool
	stopping sync.WaitGroup
}

// livePod is a pod that runs, or tries to.
type livePod struct {
	plan plannedPod
	application
	// leaving ends the pod that left the endpoints; nil before that.
	leaving *time.Timer
}

// application is what runs in a pod: an echoPod or a commandPod.
type application interface {
	// loopbackPorts leads from container ports to ports at 127.0.0.1. The map
	// is never changed, only replaced.
	loopbackPorts() map[int32]int32
	condition() condition
	// stop asks it to end, ends it by force when ctx is done, and returns when
	// it has ended.
	stop(ctx context.Context)
}

// New makes a Host that runs nothing yet. A certificate authority that cannot
// be loaded from Config.StateDir, or saved there, is what Run returns.
func New(config Config) *Host {
	config.Grace = cmp.Or(config.Grace, defaultGrace)
	config.MaxPods = cmp.Or(config.MaxPods, defaultMaxPods)
	if config.Output == nil {
		config.Output = io.Discard
	}
	h := &Host{
		config:  config,
		changed: make(chan struct{}, 1),
		output:  &output{w: config.Output},
		free:    newPortPool(),
		env:     os.Environ(),
		pods:    map[podKey]*livePod{},
	}
	h.guard = &sentinel{command: config.Sentinel, trouble: func(err error) {
		h.output.writeLine("", fmt.Appendf(nil, "windrose: if this run is killed, what its programs start lives on: %v", err))
	}}
	h.patience, h.losePatience = context.WithCancel(context.Background())
	ca, err := loadOrMakeAuthority(config.StateDir)
	if err != nil {
		h.broken = fmt.Errorf("standalone: %w", err)
	}
	h.issuer = &issuer{authority: ca}
	return h
}

func loadOrMakeAuthority(dir string) (*authority, error) {
	if dir == "" {
		return newAuthority()
	}
	return loadAuthority(dir)
}

// Run waits for ctx and then ends every pod, programs with SIGTERM and, after
// Config.Grace, SIGKILL. It returns when all have ended; Reconcile starts
// nothing from then on. Its error is that of the certificate authority.
func (h *Host) Run(ctx context.Context) error {
	if h.broken == nil {
		<-ctx.Done()
	}
	h.close()
	return h.broken
}

// Err is why there is no certificate authority, or nil. Run returns the same.
func (h *Host) Err() error { return h.broken }

// Changed receives a value after the readiness of a pod changed, once for
// several changes: the caller then reconciles again.
func (h *Host) Changed() <-chan struct{} { return h.changed }

// CAPEM is the certificate that signs the certificates made here, for clients
// to trust; nil if there is none.
func (h *Host) CAPEM() []byte {
	if h.issuer.authority == nil {
		return nil
	}
	return h.issuer.authority.certPEM
}

// Reconcile makes the pods match set, which must be as it was read and not a
// result of Reconcile. It returns set with Pods and their status, EndpointSlices
// for those that accept connections, TLS Secrets for Ingresses that name one
// that is absent, and the Reports about all this. A pod that does not accept
// connections yet is Pending and has no address.
func (h *Host) Reconcile(set *source.Set) *source.Set {
	h.mu.Lock()
	defer h.mu.Unlock()
	plan := makePlan(set, h.config.MaxPods)
	h.startPods(&plan)
	h.retirePods(plan.pods)
	h.reportConditions(&plan)
	out := publish(set, h.running(plan.pods))
	h.addSecrets(set, out, &plan)
	out.Reports = sortedReports(set.Reports, plan.reports)
	return out
}

func (h *Host) notify() {
	select {
	case h.changed <- struct{}{}:
	default: // a signal waits already
	}
}

// close ends every pod at once and waits for all.
func (h *Host) close() {
	h.mu.Lock()
	h.closed = true
	for _, pod := range h.pods {
		h.end(pod, h.config.Grace)
	}
	h.mu.Unlock()
	defer h.losePatience()
	defer time.AfterFunc(h.config.Grace, h.losePatience).Stop()
	h.stopping.Wait()
	h.guard.close()
}
