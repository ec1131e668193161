package rig

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"windrose.dev/windrose/internal/model"
)

// Build builds commands of this module, such as windrose-gateway, as they are released,
// into the rig's directory. It must run within the module.
func (r *Rig) Build(ctx context.Context, commands ...string) error {
	packages := make([]string, len(commands))
	for i, command := range commands {
		packages[i] = "windrose.dev/windrose/cmd/" + command
	}
	return r.build(ctx, packages...)
}

func (r *Rig) build(ctx context.Context, packages ...string) error {
	args := []string{"build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(r.Dir, "bin") + string(os.PathSeparator)}
	args = append(args, packages...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", strings.Join(packages, ", "), err, out)
	}
	return nil
}

// Bin returns the path of a command that Build has built.
func (r *Rig) Bin(command string) string { return filepath.Join(r.Dir, "bin", command) }

// DataPlane describes a windrose-gateway or windrose-proxy that serves a Snapshot.
type DataPlane struct {
	Command  string
	Snapshot *model.Snapshot
	// Plain and Secure are the addresses that publish ports 80 and 443. TCP, if set,
	// publishes port TCPPort.
	Plain, Secure, TCP string
	// Admin is the address of the admin API. It is required.
	Admin string
	// Log is the format of the access log: off, compact or json.
	Log   string
	Flags []string
	CPUs  string
	Env   []string
	// Stdout is as in Spec; it receives the access log.
	Stdout *os.File
}

// StartDataPlane starts a data plane and waits until it serves.
func (r *Rig) StartDataPlane(ctx context.Context, d DataPlane) (*Process, error) {
	wire, err := model.Encode(d.Snapshot)
	if err != nil {
		return nil, err
	}
	file, err := r.File(r.unique("snapshot"), wire)
	if err != nil {
		return nil, err
	}
	args := append([]string{
		"--snapshot", file, "--log", d.Log, "--telemetry", "", "--admin", d.Admin,
		"--publish", "80=" + d.Plain, "--publish", "443=" + d.Secure,
		"--drain-grace", "0s", "--drain-wait", "1s",
	}, d.Flags...)
	if d.TCP != "" {
		args = append(args, "--publish", fmt.Sprintf("%d=%s", TCPPort, d.TCP))
	}
	spec := Spec{Name: r.Bin(d.Command), Args: args, CPUs: d.CPUs, Env: d.Env}
	if d.Stdout != nil {
		spec.Stdout = d.Stdout
	}
	p, err := r.Start(spec)
	if err != nil {
		return nil, err
	}
	return p, p.Await(ctx, func() bool { return strings.Contains(p.Stderr(), ": ready\n") })
}

// TCPPort is the port of a Snapshot whose connections go to the bulk backend.
const TCPPort = 9000

// Backends are the addresses of the backends: one with HTTP/1.1, one with HTTP/2 in plain
// text for requests below /grpc, and one that responds with a megabyte. The last two may
// be empty.
type Backends struct{ HTTP1, HTTP2, Bulk string }

// ForwardAll returns a Snapshot that forwards everything, in plain text and over TLS, to
// one endpoint of each kind.
func ForwardAll(to Backends, cert Certificate) *model.Snapshot {
	service := model.ServiceID{Namespace: "bench", Name: "backend", Port: "80"}
	parts := model.Parts{
		Config: model.Config{
			Listeners: []model.Listener{
				{ID: model.ListenerID{Port: 80}},
				{ID: model.ListenerID{Port: 443}, Protocol: model.HTTPS, Certificates: []model.Certificate{{Host: "*", Secret: "bench/tls"}}},
			},
			Hosts: []model.Host{{Name: "*", Listeners: []model.ListenerID{{Port: 80}, {Port: 443}}, Blocks: []model.Block{{
				Dialect: "ingress", Rules: []model.Rule{forwardRule("all", "/", service)},
			}}}},
			Services: []model.Service{{ID: service}},
		},
		Endpoints: []model.Endpoints{endpointOf(service, to.HTTP1)},
		Secrets:   []model.Secret{{Name: "bench/tls", Chain: cert.Chain, Key: cert.Key}},
	}
	if to.HTTP2 != "" {
		calls := model.ServiceID{Namespace: "bench", Name: "calls", Port: "80"}
		block := &parts.Config.Hosts[0].Blocks[0]
		block.Rules = append(block.Rules, forwardRule("calls", "/grpc", calls))
		parts.Config.Services = append(parts.Config.Services, model.Service{ID: calls, Protocol: model.HTTP2})
		parts.Endpoints = append(parts.Endpoints, endpointOf(calls, to.HTTP2))
	}
	if to.Bulk != "" {
		bulk := model.ServiceID{Namespace: "bench", Name: "bulk", Port: "80"}
		parts.Config.Listeners = append(parts.Config.Listeners, model.Listener{ID: model.ListenerID{Port: TCPPort}, Protocol: model.TCP})
		parts.Config.L4Routes = []model.L4Route{{
			ID: "tcproute/bench/bulk/0", Listener: model.ListenerID{Port: TCPPort}, Backends: []model.Backend{{Service: bulk, Weight: 1}},
		}}
		parts.Config.Services = append(parts.Config.Services, model.Service{ID: bulk})
		parts.Endpoints = append(parts.Endpoints, endpointOf(bulk, to.Bulk))
	}
	return model.Freeze(parts)
}

func forwardRule(name, prefix string, service model.ServiceID) model.Rule {
	return model.Rule{
		ID: "ingress/bench/" + name + "/0/0", Path: model.PathMatch{Kind: model.PrefixPath, Value: prefix},
		Forward: &model.Forward{Backends: []model.Backend{{Service: service, Weight: 1}}},
	}
}

func endpointOf(service model.ServiceID, address string) model.Endpoints {
	return model.Endpoints{
		Service: service, Endpoints: []model.Endpoint{{Addr: netip.MustParseAddrPort(address), Pod: service.Namespace + "/" + service.Name + "-0"}},
	}
}
