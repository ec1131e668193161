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

// Build builds commands of this module, such as windrose-gateway, as they are
// shipped, into the rig's directory. It must run within the module.
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

// Bin is the path of a command that Build has built.
func (r *Rig) Bin(command string) string { return filepath.Join(r.Dir, "bin", command) }

// DataPlane says how windrose-gateway or windrose-proxy serves a Snapshot.
type DataPlane struct {
	Command  string
	Snapshot *model.Snapshot
	// Plain and Secure publish ports 80 and 443.
	Plain, Secure string
	// Admin is the address of the admin API, which it must have.
	Admin string
	// Log is the format of the access log: off, compact or json.
	Log   string
	Flags []string
	CPUs  string
	Env   []string
	// Stdout is Spec's, and gets the access log.
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

// ForwardAll is the Snapshot that forwards everything, in plain text and over
// TLS, to one endpoint.
func ForwardAll(backend string, cert Certificate) *model.Snapshot {
	const service = "bench/backend:80"
	return model.Freeze(model.Parts{
		Config: model.Config{
			Listeners: []model.Listener{
				{ID: model.ListenerID{Port: 80}},
				{ID: model.ListenerID{Port: 443}, Protocol: model.HTTPS, Certificates: []model.Certificate{{Host: "*", Secret: "bench/tls"}}},
			},
			Hosts: []model.Host{{Name: "*", Listeners: []model.ListenerID{{Port: 80}, {Port: 443}}, Blocks: []model.Block{{
				Dialect: "ingress", Rules: []model.Rule{{
					ID: "ingress/bench/all/0/0", Path: model.PathMatch{Kind: model.PrefixPath, Value: "/"},
					Forward: &model.Forward{Backends: []model.Backend{{Service: service, Weight: 1}}},
				}},
			}}}},
			Services: []model.Service{{ID: service}},
		},
		Endpoints: []model.Endpoints{{
			Service: service, Endpoints: []model.Endpoint{{Addr: netip.MustParseAddrPort(backend), Pod: "bench/backend-0"}},
		}},
		Secrets: []model.Secret{{Name: "bench/tls", Chain: cert.Chain, Key: cert.Key}},
	})
}
