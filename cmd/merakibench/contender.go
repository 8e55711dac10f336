package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/raw"
)

// A contender is one way from a caller to the mirror, measured beside others.
type contender struct {
	name  string
	child *child // nil: nobody stands between
	admin string // where the broker has its profiles; empty for others
	way   raw.Way
	rpc   bool // takes messages, not HTTP
	// prefix stands before the path of HTTP.
	prefix string
	said   string
}

// body is what is sent to it.
func (c *contender) body(p prepared) []byte {
	if c.rpc {
		return p.message
	}
	if c.prefix != "" {
		return bytes.Replace(p.request, []byte(p.path), []byte(c.prefix+p.path), 1)
	}
	return p.request
}

// lanes of the load: connections that carry many calls each. Enough for both of a
// proxy's workers to get some.
const rpcConnections = 8

// broker starts the daemon in front of a mirror.
func (r *run) broker(ctx context.Context, m *mirror, budget string) (*contender, *replica, error) {
	replicas, err := r.replicas(ctx, m.site(), fleet{count: 1, more: budget})
	if err != nil {
		return nil, nil, err
	}
	way, err := raw.DialGRPC(replicas[0].address, m.method, rpcConnections, "x-forwarded-client-cert", "URI=spiffe://bench.example/load")
	if err != nil {
		return nil, nil, err
	}
	r.closing(way.Close)
	return &contender{name: "broker", child: replicas[0].child, admin: replicas[0].admin, way: way, rpc: true}, replicas[0], nil
}

// face starts the daemon in front of a mirror, and goes by REST.
func (r *run) face(ctx context.Context, m *mirror, budget string) (*contender, error) {
	replicas, err := r.replicas(ctx, m.site(), fleet{count: 1, more: budget, rest: true})
	if err != nil {
		return nil, err
	}
	way := raw.NewHTTP(strings.TrimPrefix(replicas[0].rest, "http://"), nil)
	r.closing(way.Close)
	return &contender{name: "REST", child: replicas[0].child, way: way, prefix: "/as/load"}, nil
}

// transcoder starts Envoy in front of a mirror.
func (r *run) transcoder(ctx context.Context, m *mirror) (*contender, error) {
	e, err := r.envoy(ctx, m)
	if err != nil {
		return nil, err
	}
	way, err := raw.DialGRPC(e.address, m.method, rpcConnections)
	if err != nil {
		return nil, err
	}
	r.closing(way.Close)
	return &contender{name: "Envoy", child: e.child, way: way, rpc: true, said: "Envoy " + e.version}, nil
}

// plain starts the reverse proxy that does nothing in front of a mirror.
func (r *run) plain(ctx context.Context, m *mirror) (*contender, error) {
	dir, err := r.bench.directory()
	if err != nil {
		return nil, err
	}
	program := filepath.Join(dir, "plainproxy")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "github.com/merakibroker/merakibroker/cmd/merakibench/internal/plainproxy")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the plain proxy: %w: %s", err, lastLines(string(out), 3))
	}
	ready, address := make(chan struct{}), ""
	c, err := spawn("plainproxy", nil, func(line string) bool {
		if rest, ok := strings.CutPrefix(line, "serving on "); ok {
			address = rest
			close(ready)
			return true
		}
		return false
	}, program, m.server.URL, m.authority)
	if err != nil {
		return nil, err
	}
	r.closing(c.end)
	if err := c.await(ctx, ready, 10*time.Second); err != nil {
		return nil, err
	}
	way := raw.NewHTTP(address, nil)
	r.closing(way.Close)
	return &contender{name: "plain proxy", child: c, way: way}, nil
}

// direct is nobody in between.
func (r *run) direct(m *mirror) *contender {
	way := raw.NewHTTP(m.address, m.trust())
	r.closing(way.Close)
	return &contender{name: "direct", way: way}
}

// usage of a contender; of nobody it is nothing.
func (c *contender) usage() (usage, error) {
	if c.child == nil {
		return usage{}, nil
	}
	return c.child.usage()
}
