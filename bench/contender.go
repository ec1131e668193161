package main

import (
	"context"
	"path/filepath"
	"strings"

	"windrose.dev/windrose/bench/rig"
)

// contender is one proxy to measure.
type contender struct {
	name string
	// peer is the program that must be installed; empty for Windrose.
	peer    string
	process *rig.Process
	// plain, secure and tcp are its addresses.
	plain, secure, tcp string
}

// ours is the contender to whose ratio the budget applies.
const ours = "windrose"

// field holds the contenders of a run, and the backend behind them.
type field struct {
	all     []*contender
	backend rig.Backends
	cert    rig.Certificate
}

// newField starts the backend and every installed proxy, pinned to CPUs and with the
// given number of threads.
func (b *bench) newField(ctx context.Context, proxyCPUs, backendCPUs string, threads int) (f *field, err error) {
	f = &field{}
	if f.cert, err = b.rig.NewCertificate("bench.example.com"); err != nil {
		return nil, err
	}
	if f.backend, err = b.startBackend(ctx, backendCPUs); err != nil {
		return nil, err
	}
	for _, start := range []func(context.Context, *field, string, int) error{
		b.startNginx, b.startHaproxy, b.startGateway, b.startLogging,
	} {
		if err := start(ctx, f, proxyCPUs, threads); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// stop ends the proxies; the rig ends the backend.
func (f *field) stop() {
	for _, c := range f.all {
		c.process.Stop()
	}
}

// bulkBytes is the size of a large response body.
const bulkBytes = 1 << 20

// startBackend starts the nginx that responds with 512 bytes, or with a megabyte.
func (b *bench) startBackend(ctx context.Context, cpus string) (rig.Backends, error) {
	ports, err := rig.FreePorts(3)
	if err != nil {
		return rig.Backends{}, err
	}
	at := rig.Backends{HTTP1: rig.Loopback(ports[0]), HTTP2: rig.Loopback(ports[1]), Bulk: rig.Loopback(ports[2])}
	bulk, err := b.rig.File("bulk", make([]byte, bulkBytes))
	if err != nil {
		return at, err
	}
	_, err = b.rig.StartNginx(ctx, rig.Nginx{
		HTTP: rig.NginxAnswer(at, strings.Repeat("x", 512), filepath.Dir(bulk), filepath.Base(bulk)), CPUs: cpus,
		Listens: []string{at.HTTP1, at.HTTP2, at.Bulk},
	})
	return at, err
}

func (f *field) add(name, peer string) (*contender, []string, error) {
	ports, err := rig.FreePorts(4)
	if err != nil {
		return nil, nil, err
	}
	c := &contender{name: name, peer: peer, plain: rig.Loopback(ports[0]), secure: rig.Loopback(ports[1]), tcp: rig.Loopback(ports[3])}
	f.all = append(f.all, c)
	return c, []string{c.plain, c.secure, rig.Loopback(ports[2])}, nil
}

func (b *bench) startNginx(ctx context.Context, f *field, cpus string, threads int) error {
	c, addresses, err := f.add("nginx", "nginx")
	if err != nil {
		return err
	}
	c.process, err = b.rig.StartNginx(ctx, rig.Nginx{
		HTTP: rig.NginxProxy(f.backend, c.plain, c.secure, f.cert), Workers: threads, CPUs: cpus, Listens: addresses[:2],
	})
	return err
}

func (b *bench) startHaproxy(ctx context.Context, f *field, cpus string, threads int) error {
	if b.missing["haproxy"] {
		return nil
	}
	c, addresses, err := f.add("haproxy", "haproxy")
	if err != nil {
		return err
	}
	c.process, err = b.rig.StartHaproxy(ctx, rig.Haproxy{
		Sections: rig.HaproxyProxy(f.backend, c.plain, c.secure, c.tcp, f.cert), Threads: threads, CPUs: cpus, Listens: addresses[:2],
	})
	return err
}

func (b *bench) startGateway(ctx context.Context, f *field, cpus string, threads int) error {
	return b.startOurs(ctx, f, ours, "off", cpus, threads)
}

func (b *bench) startLogging(ctx context.Context, f *field, cpus string, threads int) error {
	return b.startOurs(ctx, f, ours+", log on", "compact", cpus, threads)
}

func (b *bench) startOurs(ctx context.Context, f *field, name, log, cpus string, threads int) error {
	c, addresses, err := f.add(name, "")
	if err != nil {
		return err
	}
	c.process, err = b.rig.StartDataPlane(ctx, rig.DataPlane{
		Command: "windrose-gateway", Snapshot: rig.ForwardAll(f.backend, f.cert),
		Plain: c.plain, Secure: c.secure, TCP: c.tcp, Admin: addresses[2],
		Log: log, CPUs: cpus, Env: []string{"GOMAXPROCS=" + itoa(threads)},
	})
	return err
}
