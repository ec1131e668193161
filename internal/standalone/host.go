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

// Config configures a Host. The zero value is usable.
type Config struct {
	// Output receives the lines that programs print, each prefixed with "[ns/pod] ". It
	// is written by one goroutine at a time. Nil drops them.
	Output io.Writer
	// Grace is how long a pod keeps serving after it left the endpoints, and how long
	// pods may take to end when the run ends; 0 is 5 s.
	Grace time.Duration
	// MaxPods bounds the pods that run at once; 0 is 256. Pods that are ending are not
	// counted.
	MaxPods int
	// StateDir keeps the certificate authority from run to run, in ca.crt and ca.key; if
	// it is empty, each run makes a new authority.
	StateDir string
	// Sentinel is the command line that starts this program again so that it calls the
	// function Sentinel with its standard input. That process kills the programs and all
	// that they started if this process is killed. Without it, only the programs
	// themselves are killed, and only on Linux.
	Sentinel []string
}

// Host runs the pods of one directory. Reconcile may be called before and during Run; Run
// owns all that Reconcile starts.
type Host struct {
	config  Config
	changed chan struct{}
	output  *output
	guard   *sentinel
	free    *portPool
	// env is the environment that programs inherit.
	env []string
	// broken is the error of the certificate authority; Run returns it.
	broken error
	// patience bounds every wait for a pod to end.
	patience     context.Context
	losePatience context.CancelFunc

	mu       sync.Mutex
	issuer   *issuer
	pods     map[podKey]*livePod
	left     []*livePod // pods that left the endpoints with a Set that is not live yet
	closed   bool
	stopping sync.WaitGroup
}

// livePod is a pod that runs, or is being started.
type livePod struct {
	plan plannedPod
	application
	// leaving is the timer that ends a pod after it left the endpoints; nil before that.
	leaving *time.Timer
}

// application is the program of a pod: an echoPod or a commandPod.
type application interface {
	// loopbackPorts maps container ports to ports at 127.0.0.1. The map is never changed,
	// only replaced.
	loopbackPorts() map[int32]int32
	condition() condition
	// stop asks the application to end, ends it by force when ctx is done, and returns
	// when it has ended.
	stop(ctx context.Context)
}

// New returns a Host without pods. If the certificate authority cannot be loaded from
// Config.StateDir, or saved there, Run returns that error.
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

// Run waits for ctx and then ends every pod: programs get SIGTERM and, after
// Config.Grace, SIGKILL. It returns when all have ended; from then on Reconcile starts
// nothing. Its error is that of the certificate authority.
func (h *Host) Run(ctx context.Context) error {
	if h.broken == nil {
		<-ctx.Done()
	}
	h.close()
	return h.broken
}

// Err returns the error of the certificate authority, or nil. Run returns the same.
func (h *Host) Err() error { return h.broken }

// Changed receives a value after the readiness of pods changed, one for several changes.
// The caller should then call Reconcile again.
func (h *Host) Changed() <-chan struct{} { return h.changed }

// CAPEM returns the certificate of the authority, as PEM, for clients to trust; nil if
// there is none.
func (h *Host) CAPEM() []byte {
	if h.issuer.authority == nil {
		return nil
	}
	return h.issuer.authority.certPEM
}

// Reconcile makes the pods match set, which must be as it was read and not a result of
// Reconcile. It returns set with Pods and their status, EndpointSlices for the pods that
// accept connections, TLS Secrets for Ingresses and listeners that name an absent one,
// and Reports about all this. A pod that does not accept connections yet is Pending and
// has no address.
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
	default: // a signal is waiting already
	}
}

// close ends all pods at the same time and waits for them.
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
