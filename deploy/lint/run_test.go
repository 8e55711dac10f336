package lint

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/util/teststorage"
)

// step is how far apart the samples of a run are, by the clock that the engine knows. How
// long a run takes does not matter, so that rates are exact.
const step = time.Minute

// A run is a merakid in front of a simulated Dashboard, and what was scraped from it.
// MERAKID, MERAKISIM and MERAKICTL name the programs; deploy/check gives them.
type run struct {
	t       *testing.T
	dir     string
	daemon  *exec.Cmd
	sim     string // base address of merakisim
	grpc    string
	rest    string
	admin   string
	token   string // a file with an operator's token
	client  *http.Client
	storage *teststorage.TestStorage
	engine  *promql.Engine
	now     time.Time // of the latest samples

	mu sync.Mutex
	// damage is what stands for what in an answer of the Dashboard; nil for nothing.
	damage [2]string
	// last and before are the latest samples and those before, by series.
	last, before map[string]sample
}

type sample struct {
	labels  labels.Labels
	value   float64
	counter bool
}

const dashboardKey = "0123456789abcdef0123456789abcdef01234567"

// newRun starts both. The configuration is added to what every run has, and DIR in it
// stands for a directory of the run's own.
func newRun(t *testing.T, configuration string) *run {
	t.Helper()
	r := &run{t: t, dir: t.TempDir(), client: &http.Client{Timeout: time.Minute}, now: time.Unix(0, 0).Add(-step)}
	r.storage = promqltest.LoadedStorage(t, "")
	t.Cleanup(func() { _ = r.storage.Close() })
	r.engine = promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery)
	t.Cleanup(r.client.CloseIdleConnections)

	sim := r.start("MERAKISIM", nil, "-listen", "127.0.0.1:0", "-limits=false", "-batch-time", "20ms", "-networks", "60", "-devices", "1")
	r.sim = sim.find(`Serving (http://[^/]+)/api/v1`)
	target, err := url.Parse(r.sim)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite:        func(p *httputil.ProxyRequest) { p.SetURL(target) },
		Transport:      &http.Transport{DisableKeepAlives: true}, // on a kept connection it asks again by itself
		ModifyResponse: r.damaged,
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) {
			panic(http.ErrAbortHandler) // what is reset there is reset here
		},
	}
	dashboard := httptest.NewServer(proxy)
	t.Cleanup(dashboard.Close)

	made := exec.Command(program(t, "MERAKID"), "-new-token", "alice")
	text, err := made.CombinedOutput()
	found := regexp.MustCompile(`(?s)\b([0-9a-f]{40})\b.*?\b(alice: \S+)`).FindSubmatch(text)
	if err != nil || found == nil {
		t.Fatalf("merakid -new-token: %v: %s", err, text)
	}
	r.token = r.file("token", string(found[1]))
	configuration = strings.ReplaceAll(`
listen: 127.0.0.1:0
admin: 127.0.0.1:0
rest: 127.0.0.1:0
upstream: `+dashboard.URL+`/api/v1
simulated: true
budget: {rate: 1000, burst: 100, address_rate: 10000, cautious_rate: 1000}
credentials: {keys: [{name: main, file: `+r.file("key", dashboardKey)+`}]}
operators_file: `+r.file("operators", string(found[2]))+`
drain: {settle: 0s, timeout: 0s}
policy:
  - {name: eve, callers: ["as:eve"], organizations: ["*"], operations: [{section: "*", verbs: [read]}], priority: bulk, defaults: {priority: bulk}}
  - {name: hasty, callers: ["as:hasty"], organizations: ["*"], operations: [{section: "*", verbs: [read]}], defaults: {deadline: 5s}}
  - {name: all, callers: ["*"], organizations: ["*"], operations: [{section: "*", verbs: [read, write]}, {rpc: "*"}, {rpc: Call, verbs: [read, write]}]}
`+configuration, "DIR", r.dir)
	if !strings.Contains(configuration, "\nidentity:") {
		configuration += "\nidentity: {path: {trusted: [127.0.0.1]}}\n"
	}
	r.file("jwks", keySet(t))
	daemon := r.start("MERAKID", nil, "-config", r.file("merakid.yaml", configuration))
	r.daemon = daemon.Cmd
	r.grpc = daemon.find(`gRPC on ([^ ,]+)`)
	r.admin = daemon.find(`in a browser: (http://[^/]+)/`)
	r.rest = daemon.find(`curl (http://[^/]+)/api/v1`)
	return r
}

func program(t *testing.T, name string) string {
	t.Helper()
	path := os.Getenv(name)
	if path == "" {
		t.Fatalf("%s names no program: make manifests does", name)
	}
	return path
}

func (r *run) file(name, text string) string {
	r.t.Helper()
	name = filepath.Join(r.dir, name)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
	return name
}

// A started program says where it is.
type started struct {
	*exec.Cmd
	t     *testing.T
	lines chan string
	said  string
}

func (r *run) start(name string, in io.Reader, args ...string) *started {
	r.t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		r.t.Fatal(err)
	}
	s := &started{Cmd: exec.Command(program(r.t, name), args...), t: r.t, lines: make(chan string, 10000)}
	s.Stdout, s.Stderr, s.Stdin = write, write, in
	if err := s.Start(); err != nil {
		r.t.Fatal(err)
	}
	_ = write.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(s.lines)
		for lines := bufio.NewScanner(read); lines.Scan(); {
			select {
			case s.lines <- lines.Text():
			default: // nobody looks at that many
			}
		}
	}()
	r.t.Cleanup(func() {
		_ = s.Process.Kill()
		_ = s.Wait()
		<-done
		if r.t.Failed() && name == "MERAKID" {
			for line := range s.lines {
				r.t.Log(line)
			}
		}
		_ = read.Close()
	})
	return s
}

// find waits for a line of that form.
func (s *started) find(form string) string {
	s.t.Helper()
	re := regexp.MustCompile(form)
	if m := re.FindStringSubmatch(s.said); m != nil {
		return m[1]
	}
	for line := range s.lines {
		s.said += line + "\n"
		if m := re.FindStringSubmatch(line); m != nil {
			return m[1]
		}
	}
	s.t.Fatalf("%s does not say %s:\n%s", s.Path, form, s.said)
	return ""
}

// damages has every answer of the Dashboard say otherwise from here on.
func (r *run) damages(what, by string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.damage = [2]string{what, by}
}

// damaged puts damage into an answer.
func (r *run) damaged(answer *http.Response) error {
	r.mu.Lock()
	damage := r.damage
	r.mu.Unlock()
	if damage[0] == "" {
		return nil
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	body = bytes.ReplaceAll(body, []byte(damage[0]), []byte(damage[1]))
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	answer.Header.Del("Content-Length")
	return nil
}

// ask makes a request and gives status and body.
func (r *run) ask(method, address, body string) (int, string) {
	request, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		r.t.Error(err)
		return 0, ""
	}
	answer, err := r.client.Do(request)
	if err != nil {
		r.t.Error(err)
		return 0, ""
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		r.t.Error(err)
	}
	return answer.StatusCode, string(text)
}

// call makes a call over REST; status is what it is answered with, 0 for whatever.
func (r *run) call(caller, path string, status int) {
	r.t.Helper()
	if got, body := r.ask(http.MethodGet, r.rest+"/as/"+caller+"/api/v1"+path, ""); status != 0 && got != status {
		r.t.Errorf("%s asks for %s: %d, want %d: %s", caller, path, got, status, body[:min(len(body), 300)])
	}
}

// calls makes n calls at once, each for something else.
func (r *run) calls(n int, caller, path string, status int) {
	r.t.Helper()
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { r.call(caller, fmt.Sprintf("%s?perPage=%d&t0=%d", path, 3+i, r.now.Unix()), status) })
	}
	all.Wait()
}

// tell tells the simulated Dashboard something.
func (r *run) tell(method, page, body string) {
	r.t.Helper()
	if status, text := r.ask(method, r.sim+"/_sim/"+page, body); status != 200 {
		r.t.Errorf("%s: %d %s", body, status, text)
	}
}

// ctl runs merakictl; in is its standard input.
func (r *run) ctl(in string, exit int, args ...string) {
	r.t.Helper()
	at := r.grpc
	switch args[0] {
	case "hold", "release":
		at, _ = strings.CutPrefix(r.admin, "http://")
		args = append(args, "--token-file", r.token)
	}
	c := exec.Command(program(r.t, "MERAKICTL"), append(args, "--address", at)...)
	c.Stdin = strings.NewReader(in)
	out, err := c.CombinedOutput()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		r.t.Fatal(err)
	}
	if got := c.ProcessState.ExitCode(); got != exit {
		r.t.Errorf("merakictl %v: exit %d, want %d: %s", args, got, exit, out)
	}
}

// renames is a list of writes, one for each network.
func renames(networks []string) string {
	var out strings.Builder
	for i, id := range networks {
		fmt.Fprintf(&out, `{"id":"%d","operation":"updateNetwork","request":{"networkId":%q,"name":"renamed %d"}}`+"\n", i, id, i)
	}
	return out.String()
}

// arrived is how many requests the simulated Dashboard has had.
func (r *run) arrived() float64 {
	r.t.Helper()
	_, text := r.ask(http.MethodGet, r.sim+"/_sim/stats", "")
	var stats struct{ Total struct{ Arrived float64 } }
	if err := json.Unmarshal([]byte(text), &stats); err != nil {
		r.t.Fatal(err)
	}
	return stats.Total.Arrived
}

// world are ids to ask for: organizations with their networks.
func (r *run) world() (organizations []string, networks [][]string) {
	r.t.Helper()
	_, text := r.ask(http.MethodGet, r.sim+"/_sim/world?limit=60", "")
	var world []struct {
		ID       string
		Networks []struct{ ID string }
	}
	if err := json.Unmarshal([]byte(text), &world); err != nil {
		r.t.Fatal(err)
	}
	for _, o := range world {
		organizations = append(organizations, o.ID)
		var ids []string
		for _, n := range o.Networks {
			ids = append(ids, n.ID)
		}
		networks = append(networks, ids)
	}
	return organizations, networks
}

// near tells numbers that are the same but for a share.
func near(want, share float64) func(float64) bool {
	return func(got float64) bool { return math.Abs(got-want) <= share*want }
}

// newStore starts a Redis, and gives its address and what ends it.
func newStore(t *testing.T) (string, func()) {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	_ = free.Close()
	_, port, _ := net.SplitHostPort(address)
	server := exec.Command("redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", t.TempDir())
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	end := sync.OnceFunc(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	t.Cleanup(end)
	for wait := time.Now().Add(time.Minute); ; {
		if c, err := net.Dial("tcp", address); err == nil {
			_ = c.Close()
			return address, end
		}
		if time.Now().After(wait) {
			t.Fatal("the Redis does not come up")
		}
	}
}
