//go:build page || screenshots

package page

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	organizationsv1 "github.com/merakibroker/merakibroker/gen/meraki/organizations/v1"
	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/identity"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

const (
	dashboardKey = "0123456789012345678901234567890123456789"
	// markup is what a stranger would like a browser to read as such.
	markup = `<img src=x onerror="window.attacked=1">`
	// quotes is a caller's name, after jwt:.
	quotes = `spiffe://"quoted"/'caller'<b>&lt;`
)

// A stand is a daemon in front of a simulated Dashboard.
type stand struct {
	sandbox      *sandbox.Sandbox
	organization string
	admin        string // base address of the operator's port
	token        string // an operator's
	broker       brokerv1.BrokerServiceClient
	// organizations has typed RPCs, whose answers are held against the contract.
	organizations organizationsv1.OrganizationsServiceClient
	merakid       *exec.Cmd
	key           *ecdsa.PrivateKey
}

func newStand(t *testing.T) *stand {
	t.Helper()
	s := new(stand)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	contracts, err := contract.Load()
	must(err)
	s.sandbox, err = sandbox.New(contracts, sandbox.Options{})
	must(err)
	s.organization = s.sandbox.OrganizationID(0)
	times := s.sandbox.Times()
	times.Latency = sandbox.Duration(200 * time.Millisecond) // so that something is on its way
	s.sandbox.SetTimes(times)
	next := s.sandbox.Handler()
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		recorded := httptest.NewRecorder()
		next.ServeHTTP(recorded, r)
		body := recorded.Body.Bytes()
		if strings.HasSuffix(r.URL.Path, "/organizations/"+s.organization) { // a property that is nobody's friend
			body = bytes.Replace(body, []byte("{"), []byte(`{"<img src=x onerror=\"window.attacked=1\">":1,`), 1)
		}
		for name, values := range recorded.Header() {
			if name != "Content-Length" {
				w.Header()[name] = values
			}
		}
		w.WriteHeader(recorded.Code)
		_, _ = w.Write(body)
	}))
	t.Cleanup(upstream.Close)

	dir := t.TempDir()
	file := func(name, text string) string {
		name = filepath.Join(dir, name)
		must(os.WriteFile(name, []byte(text), 0o600))
		return name
	}
	var line string
	s.token, line, err = identity.NewToken("alice")
	must(err)
	s.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	public, err := x509.MarshalPKIXPublicKey(&s.key.PublicKey)
	must(err)
	configuration := file("merakid.yaml", fmt.Sprintf(`
listen: 127.0.0.1:0
admin: 127.0.0.1:0
upstream: %s/api/v1
operators_file: %s
drain: {settle: 0s, timeout: 10s}
identity: {token: {keys_file: %s, issuer: test, audiences: [broker], prefix: "jwt:"}}
policy: [{name: all, callers: ["*"], organizations: ["*"], operations: [{section: "*", verbs: [read, write]}, {rpc: "*"}, {rpc: Call, verbs: [read, write]}]}]
`, upstream.URL, file("operators", line), file("issuer.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})))))
	s.merakid = exec.Command(os.Getenv("MERAKID"), "-config", configuration)
	s.merakid.Env = append(os.Environ(), "MERAKI_DASHBOARD_API_KEY="+dashboardKey)
	out, err := s.merakid.StderrPipe()
	must(err)
	must(s.merakid.Start())
	t.Cleanup(func() {
		_ = s.merakid.Process.Kill()
		_ = s.merakid.Wait()
	})
	listen := ""
	lines := bufio.NewScanner(out)
	for s.admin == "" && lines.Scan() {
		if _, at, ok := strings.Cut(lines.Text(), "as gRPC on "); ok {
			listen, _, _ = strings.Cut(at, ",")
		}
		if _, at, ok := strings.Cut(lines.Text(), "in a browser: "); ok {
			s.admin = strings.TrimSuffix(at, "/")
		}
	}
	if s.admin == "" || listen == "" {
		t.Fatal("merakid has not said where it listens")
	}
	go func() { _, _ = io.Copy(io.Discard, out) }() // so that it is never held up by its log
	conn, err := grpc.NewClient(listen, grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(err)
	t.Cleanup(func() { _ = conn.Close() })
	s.broker, s.organizations = brokerv1.NewBrokerServiceClient(conn), organizationsv1.NewOrganizationsServiceClient(conn)
	return s
}

// as is the context of a caller's call at a priority.
func (s *stand) as(ctx context.Context, t *testing.T, caller, priority string) context.Context {
	t.Helper()
	token, err := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"iss": "test", "aud": "broker", "sub": caller, "exp": time.Now().Add(time.Hour).Unix(),
	}).SignedString(s.key)
	if err != nil {
		t.Fatal(err)
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token, "meraki-priority", priority)
}

func (s *stand) get(ctx context.Context, path string, query ...*brokerv1.QueryParameter) error {
	_, err := s.broker.Call(ctx, &brokerv1.CallRequest{Method: "GET", Path: path, Query: query})
	return err
}

// load keeps two callers busy until the function that it returns has been called: the
// one with the priorities normal and bulk, the other in bulk with more than the budget
// has for it.
func (s *stand) load(t *testing.T, one, other string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for i, priority := range []string{"normal", "bulk", "bulk", "bulk", "bulk", "bulk", "bulk", "bulk", "bulk", "bulk", "bulk", "bulk"} {
		caller := other
		if i%6 == 0 {
			caller = one
		}
		ctx := s.as(ctx, t, caller, priority)
		all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				_ = s.get(ctx, "/organizations/"+s.organization+"/devices", &brokerv1.QueryParameter{Name: "perPage", Value: fmt.Sprint(3 + (i*50+n)%900)})
			}
		})
	}
	return func() { cancel(); all.Wait() }
}

// browser starts a Chromium, and gives the context of one tab.
func browser(t *testing.T) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.DisableGPU)
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// do does things in the browser.
func do(ctx context.Context, t *testing.T, actions ...chromedp.Action) {
	t.Helper()
	if err := chromedp.Run(ctx, actions...); err != nil {
		t.Fatal(err)
	}
}

// promised waits for what an expression promises.
func promised(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }

// is waits until an expression is true in the page, also while the browser goes from one
// page to another.
func is(expression string) chromedp.Action {
	return chromedp.ActionFunc(func(ctx context.Context) error {
		late := time.After(20 * time.Second)
		look := time.NewTicker(50 * time.Millisecond)
		defer look.Stop()
		for {
			var yes bool
			err := chromedp.Evaluate("Promise.resolve("+expression+").then(Boolean)", &yes, promised).Do(ctx)
			if err == nil && yes {
				return nil
			}
			select {
			case <-look.C:
			case <-ctx.Done():
				return ctx.Err()
			case <-late:
				var page string
				_ = chromedp.Evaluate("document.body.innerText", &page).Do(ctx)
				return fmt.Errorf("%s does not become true (%v) in\n%s", expression, err, page)
			}
		}
	})
}
