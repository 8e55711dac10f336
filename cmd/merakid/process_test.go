package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// envArgs makes the test binary be merakid itself, with these arguments.
const envArgs = "MERAKID_TEST_ARGS"

func TestMain(m *testing.M) {
	if args, ok := os.LookupEnv(envArgs); ok {
		os.Args = append(os.Args[:1], strings.Fields(args)...)
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// A process is a merakid of its own, with signals and an end.
type process struct {
	t       *testing.T
	command *exec.Cmd
	ended   chan error
	// Where it answers; rest is empty where it has no REST.
	listen, admin, rest string

	mu   sync.Mutex
	log  bytes.Buffer
	news chan struct{}
}

// Write takes what the process says.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case p.news <- struct{}{}:
	default:
	}
	return p.log.Write(b)
}

// await waits until the process has said something.
func (p *process) await(ctx context.Context, text string) {
	p.t.Helper()
	for !strings.Contains(p.said(), text) {
		select {
		case <-p.news:
		case <-ctx.Done():
			p.t.Fatalf("merakid does not say %q:\n%s", text, p.said())
		}
	}
}

func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// launch starts merakid with a configuration, on addresses that it chooses, and waits until
// it is ready.
func launch(t *testing.T, config string, environ ...string) *process {
	t.Helper()
	p := &process{t: t, ended: make(chan error, 1), news: make(chan struct{}, 1)}
	file := filepath.Join(t.TempDir(), "merakid.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	p.command = exec.Command(os.Args[0])
	p.command.Env = append(os.Environ(), append(environ,
		envArgs+"="+fmt.Sprintf("-config %s -listen 127.0.0.1:0 -admin 127.0.0.1:0 -rest 127.0.0.1:0", file),
		"MERAKI_DASHBOARD_API_KEY=0123456789012345678901234567890123456789")...)
	p.command.Stderr = p
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.command.Wait() }()
	t.Cleanup(func() {
		_ = p.command.Process.Kill()
		if t.Failed() {
			t.Logf("merakid said:\n%s", p.said())
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for !p.answers() || p.get(ctx, "/readyz") != http.StatusOK {
		select {
		case err := <-p.ended:
			t.Fatalf("merakid ended: %v\n%s", err, p.said())
		case <-ctx.Done():
			t.Fatalf("merakid is not ready:\n%s", p.said())
		default:
		}
	}
	return p
}

// answers takes from what the process has said where it answers.
func (p *process) answers() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ok bool
	after := func(before, end string) string {
		_, rest, _ := strings.Cut(p.log.String(), before)
		at, _, found := strings.Cut(rest, end)
		ok = found
		return at
	}
	p.listen = after(" as gRPC on ", ", from ")
	p.admin = after("in a browser: http://", "/\n")
	p.rest = after("as REST: curl http://", "/api/v1")
	return ok
}

// get asks the admin port; 0 when nobody answers.
func (p *process) get(ctx context.Context, path string) int {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.admin+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	answer, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return 0
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

// moment is when the process logged a message; it has to have done so.
func (p *process) moment(message string) time.Time {
	p.t.Helper()
	for line := range strings.Lines(p.said()) {
		var entry struct {
			Time time.Time `json:"time"`
			Msg  string    `json:"msg"`
		}
		if json.Unmarshal([]byte(line), &entry) == nil && strings.HasPrefix(entry.Msg, message) {
			return entry.Time
		}
	}
	p.t.Fatalf("merakid never said %q:\n%s", message, p.said())
	return time.Time{}
}
