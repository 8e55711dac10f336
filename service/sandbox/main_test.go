package sandbox

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/sandbox/document"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// loaded is the whole contract, read once for all tests: it does not change.
var loaded = sync.OnceValues(contract.Load)

// newSandbox starts a sandbox without a port; limits are off unless the test says.
func newSandbox(t testing.TB, opts Options) *Sandbox {
	t.Helper()
	c, err := loaded()
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(c, opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func open() Options { return Options{LimitsOff: true} }

// got is an answer as a test looks at it.
type got struct {
	status int
	header http.Header
	body   string
}

// ask sends a request without a connection.
func ask(t testing.TB, s *Sandbox, method, path, body string) got {
	t.Helper()
	r := httptest.NewRequest(method, "/api/v1"+path, strings.NewReader(body))
	if body == "" {
		r = httptest.NewRequest(method, "/api/v1"+path, nil)
	}
	r.Header.Set("Authorization", "Bearer key")
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return got{w.Code, w.Header(), w.Body.String()}
}

// object reads the answer, which must be of the status, as an object.
func (g got) object(t testing.TB, status int) map[string]any {
	t.Helper()
	if g.status != status {
		t.Fatalf("status %d, want %d: %s", g.status, status, g.body)
	}
	o := document.DecodeObject([]byte(g.body))
	if o == nil {
		t.Fatalf("not an object: %s", g.body)
	}
	return o
}

func (g got) list(t testing.TB) []map[string]any {
	t.Helper()
	if g.status != http.StatusOK {
		t.Fatalf("status %d: %s", g.status, g.body)
	}
	var out []map[string]any
	d := json.NewDecoder(bytes.NewReader([]byte(g.body)))
	d.UseNumber()
	if err := d.Decode(&out); err != nil {
		t.Fatalf("not a list: %v: %s", err, g.body)
	}
	return out
}

// pass lets the fake time of a synctest bubble go by.
func pass(d time.Duration) { <-time.After(d) }

// serve starts a server on a port of its own, closed with the test.
func serve(t testing.TB, s *Sandbox) (*httptest.Server, *http.Client) {
	t.Helper()
	srv := httptest.NewServer(s.Handler())
	transport := &http.Transport{}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		srv.Close()
	})
	return srv, client
}

// send asks over a connection; an error of the transport is given back.
func send(t testing.TB, c *http.Client, method, url, body string) (got, error) {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer key")
	resp, err := c.Do(r)
	if err != nil {
		return got{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return got{resp.StatusCode, resp.Header, string(b)}, err
}

// ask0 is a request that nobody serves.
func ask0(path string) *http.Request {
	return httptest.NewRequest(http.MethodPost, "/api/v1"+path, nil)
}
