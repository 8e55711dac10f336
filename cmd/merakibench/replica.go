package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// A replica is the daemon as a process of its own, and a connection to it.
type replica struct {
	child *child
	conn  *grpc.ClientConn
	// address is where it serves gRPC, admin where it has its metrics.
	address, admin string
	// rest is the base address of REST; empty where it is off.
	rest string
}

// A fleet says which replicas are wanted.
type fleet struct {
	count int
	store *store // nil: each has the budget to itself
	// rules is the policy in YAML; everyParty when empty.
	rules string
	// more stands in the configuration beside what the bench writes itself.
	more string
	// rest serves REST, too; callers are told apart there by their path.
	rest bool
}

// everyParty lets every caller do everything, with equal weights.
const everyParty = `
policy:
  - name: everyone
    callers: ["*"]
    operations: [{section: "*", verbs: [read, write]}, {rpc: "*"}]
    organizations: ["*"]
    priority: critical
`

// replicas starts daemons in front of a site, and returns when all of them serve.
func (r *run) replicas(ctx context.Context, s *site, f fleet) ([]*replica, error) {
	r.progress.says("building the daemon")
	program, err := r.bench.daemon(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := r.bench.directory()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, r.scenario+".yaml")
	if err := os.WriteFile(file, []byte(f.config(s)), 0o600); err != nil {
		return nil, err
	}
	r.progress.says("starting %d of the daemon", f.count)
	var all []*replica
	for range f.count {
		p, err := r.replica(ctx, program, file, f.rest)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	if f.store != nil {
		// Each has said that it is there when it serves, but knows only of those
		// that came before: until its next heartbeat, 3 s later.
		if err := pause(ctx, 4*time.Second); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// config is the daemon's configuration. Callers are told apart by the header that
// a mesh's sidecar sets: the bench stands in its place, on loopback.
func (f fleet) config(s *site) string {
	c := fmt.Sprintf(`listen: 127.0.0.1:0
admin: 127.0.0.1:0
upstream: %s
simulated: true
log: {level: warn, format: text}
drain: {settle: 0s, timeout: 2s}
identity:
  forwarded_client_cert: {trusted: [127.0.0.1]}
`, s.url)
	if f.rest {
		c += "  path: {trusted: [127.0.0.1]}\nrest: 127.0.0.1:0\n"
	}
	if s.authority != "" {
		c += fmt.Sprintf("upstream_ca_file: %q\n", s.authority)
	}
	if f.store != nil {
		c += fmt.Sprintf("store: {addresses: [%q], replicas: %d}\n", f.store.address, f.count)
	}
	rules := f.rules
	if rules == "" {
		rules = everyParty
	}
	return c + strings.TrimPrefix(rules, "\n") + f.more
}

// replica starts one daemon; it ends with the scenario.
func (r *run) replica(ctx context.Context, program, config string, rest bool) (*replica, error) {
	p := new(replica)
	ready := make(chan struct{})
	var err error
	p.child, err = spawn("merakid", []string{"MERAKI_DASHBOARD_API_KEY=the-sandbox-takes-any"}, func(line string) bool {
		if _, rest, ok := strings.Cut(line, " as gRPC on "); ok {
			p.address, _, _ = strings.Cut(rest, ",")
		}
		if _, rest, ok := strings.Cut(line, "in a browser: "); ok {
			p.admin = strings.TrimSuffix(rest, "/")
		}
		if _, at, ok := strings.Cut(line, "as REST: curl "); ok {
			p.rest = strings.TrimSuffix(at, "/api/v1/organizations")
		}
		if p.admin == "" || rest && p.rest == "" {
			return false
		}
		close(ready)
		return true
	}, program, "-config", config)
	if err != nil {
		return nil, err
	}
	r.closing(p.child.end)
	if err := p.child.await(ctx, ready, 30*time.Second); err != nil {
		return nil, err
	}
	p.conn, err = grpc.NewClient(p.address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry())
	if err != nil {
		return nil, err
	}
	r.closing(func() { _ = p.conn.Close() })
	p.conn.Connect()
	return p, nil
}
