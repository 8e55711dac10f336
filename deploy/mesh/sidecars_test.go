//go:build mesh

package mesh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/sandbox"
	"github.com/merakibroker/merakibroker/service/store/storetest"
)

// Where the shipped bootstraps read certificates.
const tlsFolder = "/etc/envoy/tls"

// tools are the programs that the tests start: make mesh says where they are.
func tool(t *testing.T, variable string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		t.Fatalf("%s names no program; run the tests with `make mesh`", variable)
	}
	if _, err := exec.LookPath(path); err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return path
}

// shipped reads one of the files that users get.
func shipped(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "envoy", file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// replace changes what a user would change, and fails when it is not there.
func replace(t *testing.T, text, old, now string, times int) string {
	t.Helper()
	if n := strings.Count(text, old); n == 0 || times > 0 && n != times {
		t.Fatalf("%q stands %d times in the file", old, n)
	}
	return strings.ReplaceAll(text, old, now)
}

func at(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// A process is a program that runs until the test ends or stop is called.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error
	out  *output
}

type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(name, args...), done: make(chan struct{}), out: new(output)}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.stop(t)
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(name), last(p.out.String(), 3000))
		}
	})
	return p
}

// stop ends it as Kubernetes does, and waits.
func (p *process) stop(t *testing.T) {
	t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		t.Errorf("%s did not stop", p.cmd.Path)
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

func last(s string, n int) string { return s[max(0, len(s)-n):] }

// eventually asks again and again until ok says yes.
func eventually(t *testing.T, what string, p *process, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-p.done:
			t.Fatalf("%s: the process ended: %v\n%s", what, p.err, last(p.out.String(), 3000))
		case <-limit:
			t.Fatalf("%s: not within 30 s\n%s", what, last(p.out.String(), 3000))
		}
	}
}

func ready(url string) func() bool {
	return func() bool {
		r, err := http.Get(url)
		if err != nil {
			return false
		}
		defer func() { _ = r.Body.Close() }()
		_, _ = io.Copy(io.Discard, r.Body)
		return r.StatusCode == http.StatusOK
	}
}

// envoy starts a sidecar with the configuration, after asking Envoy what it
// thinks of it.
func envoy(t *testing.T, config string, admin int) {
	t.Helper()
	program := tool(t, "ENVOY")
	file := filepath.Join(t.TempDir(), "envoy.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(program, "--mode", "validate", "-c", file, "--log-level", "error").CombinedOutput(); err != nil {
		t.Fatalf("envoy refuses the configuration: %v\n%s", err, out)
	}
	p := start(t, program, "-c", file, "--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warn")
	eventually(t, "envoy", p, ready("http://"+at(admin)+"/ready"))
}

// dashboard is the simulated Dashboard, in the test's own process, so that the
// truth can be asked without detours.
func dashboard(t *testing.T, options sandbox.Options) (*sandbox.Sandbox, string) {
	t.Helper()
	c, err := contract.Load()
	if err != nil {
		t.Fatal(err)
	}
	s, err := sandbox.New(c, options)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Handler())
	t.Cleanup(server.Close)
	return s, server.URL + "/api/v1"
}

// A replica is a broker and the sidecar in front of it.
type replica struct {
	config  string
	admin   int
	inbound int
	program string
	broker  *process
}

const policy = `
policy:
  - name: orders
    callers: ["spiffe://mesh.example/ns/shop/sa/orders"]
    operations:
      - {section: "*", verbs: [read, write]}
      - {rpc: "*"}
    organizations: ["*"]
  - name: the one that strangers would like to be
    callers: ["spiffe://mesh.example/ns/netops/sa/admin"]
    operations: [{section: "*", verbs: [read, write]}]
    organizations: ["*"]
`

func newReplica(t *testing.T, upstream string, self *workload) *replica {
	t.Helper()
	listen := storetest.FreePort(t)
	r := &replica{admin: storetest.FreePort(t), inbound: storetest.FreePort(t), program: tool(t, "MERAKID"), config: filepath.Join(t.TempDir(), "merakid.yaml")}
	config := fmt.Sprintf("listen: %s\nadmin: %s\nupstream: %s\ndrain: {settle: 3s, timeout: 20s}\n"+
		"identity: {forwarded_client_cert: {trusted: [127.0.0.1/32]}, trust_domains: [mesh.example]}\n"+
		"credentials: {keys: [{name: default, env: MERAKI_DASHBOARD_API_KEY}]}\n", at(listen), at(r.admin), upstream) + policy
	if err := os.WriteFile(r.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	r.start(t)

	envoyAdmin := storetest.FreePort(t)
	text := shipped(t, "inbound.yaml")
	text = replace(t, text, "{address: 0.0.0.0, port_value: 8443}", "{address: 127.0.0.1, port_value: "+strconv.Itoa(r.inbound)+"}", 1)
	text = replace(t, text, "{address: 127.0.0.1, port_value: 50051}", "{address: 127.0.0.1, port_value: "+strconv.Itoa(listen)+"}", 1)
	text = replace(t, text, "port_value: 9901", "port_value: "+strconv.Itoa(envoyAdmin), 1)
	text = replace(t, text, tlsFolder, self.folder, -1)
	envoy(t, text, envoyAdmin)
	return r
}

func (r *replica) start(t *testing.T) {
	t.Helper()
	r.broker = start(t, r.program, "-config", r.config)
	eventually(t, "merakid", r.broker, ready("http://"+at(r.admin)+"/readyz"))
}

// A sidecar is a caller's way to the broker.
type sidecar struct {
	*grpc.ClientConn
	admin int
}

// outbound starts the sidecar of a caller and dials it as the caller does. edit
// changes its configuration further; nil leaves it as shipped.
func outbound(t *testing.T, self *workload, ports []int, edit func(string) string) *sidecar {
	t.Helper()
	listen, admin := storetest.FreePort(t), storetest.FreePort(t)
	text := shipped(t, "outbound.yaml")
	text = replace(t, text, "{address: 127.0.0.1, port_value: 15051}", "{address: 127.0.0.1, port_value: "+strconv.Itoa(listen)+"}", 1)
	text = replace(t, text, "port_value: 9902", "port_value: "+strconv.Itoa(admin), 1)
	text = replace(t, text, tlsFolder, self.folder, -1)
	const endpoint = "              - endpoint: {address: {socket_address: {address: merakibroker.internal, port_value: 8443}}}"
	var endpoints []string
	for _, p := range ports {
		endpoints = append(endpoints, strings.NewReplacer("merakibroker.internal", "127.0.0.1", "8443", strconv.Itoa(p)).Replace(endpoint))
	}
	text = replace(t, text, endpoint, strings.Join(endpoints, "\n"), 1)
	if edit != nil {
		text = edit(text)
	}
	envoy(t, text, admin)
	conn, err := grpc.NewClient(at(listen), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &sidecar{ClientConn: conn, admin: admin}
}

// count reads one of Envoy's counters.
func (s *sidecar) count(t *testing.T, name string) int {
	t.Helper()
	r, err := http.Get("http://" + at(s.admin) + "/stats?filter=" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if n, ok := strings.CutPrefix(line, name+": "); ok {
			v, err := strconv.Atoi(strings.TrimSpace(n))
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("envoy does not count %s", name)
	return 0
}

// within bounds one call.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), d, errors.New("the test's patience"))
	t.Cleanup(cancel)
	return ctx
}
