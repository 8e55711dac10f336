package rest_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/access"
	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/credential"
	"github.com/merakibroker/merakibroker/service/credential/secretfile"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/identity"
	"github.com/merakibroker/merakibroker/service/lane"
	"github.com/merakibroker/merakibroker/service/outcome"
	"github.com/merakibroker/merakibroker/service/rest"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

const (
	brokersKey = "0123456789012345678901234567890123456789"
	clientsKey = "9876543210987654321098765432109876543210"
)

// A face is the REST face in front of a sandbox, over real connections on loopback.
type face struct {
	url     string
	handler *rest.Handler
	sandbox *sandbox.Sandbox

	mu      sync.Mutex
	arrived []*http.Request
}

// requests gives what has arrived at the Dashboard since the last look.
func (f *face) requests() []*http.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := f.arrived
	f.arrived = nil
	return out
}

type setup struct {
	sandbox  sandbox.Options
	identity identity.Config
	rules    identity.Rules
	ownKeys  []string
	slow     func(r *http.Request) time.Duration // how long the Dashboard takes
	agents   []rest.Agent
	// forwarded are the proxies whose word about the address counts.
	forwarded []string
	maxBytes  int
	observe   func(status int, reason string, took time.Duration)
	log       *slog.Logger
	// respond answers in the Dashboard's place; nil for the sandbox.
	respond http.Handler
	around  func(http.Handler) http.Handler // what stands before the Dashboard; nil for nothing
}

func newFace(t *testing.T, s setup) *face {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	f := new(face)
	contracts, err := contract.Load()
	must(err)
	f.sandbox, err = sandbox.New(contracts, s.sandbox)
	must(err)
	handler := f.sandbox.Handler()
	if s.respond != nil {
		handler = s.respond
	}
	if s.around != nil {
		handler = s.around(handler)
	}
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.arrived = append(f.arrived, r)
		f.mu.Unlock()
		if s.slow != nil {
			timer := time.NewTimer(s.slow(r))
			defer timer.Stop()
			<-timer.C
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(upstream.Close)
	client, err := dashboard.New(dashboard.Config{BaseURL: upstream.URL + "/api/v1"})
	must(err)
	t.Cleanup(client.Close)
	limits := lane.Config{Scheduler: ratelimit.NewLocal(), Rate: 1e6, Burst: 1e6, AddressRate: 1e6, AddressBurst: 1e6, CautiousRate: 1e6, CautiousBurst: 1e6}
	b, err := broker.New(broker.Config{Dashboard: client, Budgets: limits})
	must(err)
	files := secretfile.New(secretfile.Config{Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(files.Close)
	keys, err := credential.NewStore(credential.Config{Keys: []credential.KeyConfig{{Name: "main", Env: "KEY"}}, OwnKey: s.ownKeys},
		files, func(string) (string, bool) { return brokersKey, true })
	must(err)
	resolver, err := identity.NewResolver(s.identity, identity.Wiring{Files: files})
	must(err)
	t.Cleanup(resolver.Close)
	policy, err := identity.NewPolicy(s.rules, s.identity.OnREST(), nil)
	must(err)
	keeper := outcome.New(outcome.Config{})
	var forwarded func(*http.Request) bool
	if s.forwarded != nil {
		forwarded, err = identity.Proxies("forwarded", identity.ProxyConfig{Trusted: s.forwarded})
		must(err)
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	h := rest.New(rest.Config{
		Contract: contracts, Broker: b, Access: access.Access{Resolver: resolver, Policy: policy, Keys: keys},
		Outcomes: keeper, Below: client.Below, Hosts: []string{"api.meraki.com"}, Agents: s.agents,
		MaxRequestBytes: s.maxBytes, Forwarded: forwarded, Observe: s.observe, Log: s.log,
	})
	f.handler = h
	server := rest.NewServer(h, nil, slog.New(slog.DiscardHandler))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	served := make(chan error, 1)
	go func() { served <- server.Serve(rest.Listen(l)) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
		b.Close()
		keeper.Close()
	})
	f.url = "http://" + l.Addr().String()
	return f
}

// ask makes one request; headers are pairs.
func (f *face) ask(t *testing.T, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, f.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if req.Header.Set(headers[i], headers[i+1]); headers[i] == "Host" {
			req.Host = headers[i+1]
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

func TestPagesComeThroughTheBroker(t *testing.T) {
	for _, relations := range []string{"", "quoted"} {
		f := newFace(t, setup{sandbox: sandbox.Options{NetworksPerOrganization: 10, LinkRelations: relations, LimitsOff: true}})
		org := f.sandbox.OrganizationID(0)
		path, seen := "/api/v1/organizations/"+org+"/networks?perPage=3", map[string]bool{}
		for page := 1; path != ""; page++ {
			resp, body := f.ask(t, "GET", path, "")
			var rows []struct{ ID string }
			if err := json.Unmarshal([]byte(body), &rows); err != nil || resp.StatusCode != 200 || page > 4 {
				t.Fatalf("page %d: %d %s", page, resp.StatusCode, body)
			}
			for _, r := range rows {
				seen[r.ID] = true
			}
			path = ""
			for link := range strings.SplitSeq(resp.Header.Get("Link"), ",") {
				address, relation, _ := strings.Cut(strings.TrimSpace(link), ">; rel=")
				if !strings.HasPrefix(address, "<"+f.url+"/api/v1/") {
					t.Errorf("a link leads past the broker: %s", link)
				}
				if strings.Trim(relation, `"`) == "next" {
					// What the Python SDK makes of it: its base, and the whole address.
					path = "/api/v1" + address[1:]
				}
			}
		}
		if len(seen) != 10 {
			t.Errorf("%d networks", len(seen))
		}
	}
}

// TestAKeyNeverLeaves: whatever a client sends as its key, the Dashboard sees the
// broker's, or the client's own where that is allowed.
func TestAKeyNeverLeaves(t *testing.T) {
	for _, test := range []struct {
		ownKeys []string
		headers []string
		want    string
	}{
		{nil, []string{"Authorization", "Bearer " + clientsKey}, brokersKey},
		{nil, []string{"X-Cisco-Meraki-API-Key", clientsKey}, brokersKey},
		{nil, []string{"X-Cisco-Meraki-API-Key", clientsKey, "Authorization", "Bearer " + clientsKey}, brokersKey},
		{nil, nil, brokersKey},
		{[]string{"anonymous"}, []string{"X-Cisco-Meraki-API-Key", clientsKey}, clientsKey},
	} {
		f := newFace(t, setup{ownKeys: test.ownKeys})
		resp, _ := f.ask(t, "GET", "/api/v1/organizations", "", append(test.headers, "X-Other", "x", "Cookie", "a=b", "Idempotency-Key", "k")...)
		arrived := f.requests()
		if resp.StatusCode != 200 || len(arrived) != 1 {
			t.Errorf("%v: %d, %d requests", test.headers, resp.StatusCode, len(arrived))
			continue
		}
		h := arrived[0].Header
		if h.Get("Authorization") != "Bearer "+test.want || h.Get("X-Cisco-Meraki-API-Key") != "" || h.Get("X-Other") != "" || h.Get("Cookie") != "" || h.Get("Idempotency-Key") != "" {
			t.Errorf("%v: the Dashboard sees %v", test.headers, h)
		}
		for name, values := range resp.Header {
			if strings.Contains(strings.Join(values, ""), brokersKey) {
				t.Errorf("the broker's key comes back in %s", name)
			}
		}
	}
}

func TestRulesHoldOverREST(t *testing.T) {
	f := newFace(t, setup{
		identity: identity.Config{Path: &identity.ProxyConfig{Trusted: []string{"127.0.0.0/8"}}},
		rules: identity.Rules{
			{Name: "one", Callers: []string{"as:one"}, Operations: []identity.Grant{{Section: "*", Verbs: []string{"read"}}, {RPC: "Call", Verbs: []string{"read"}}}, Organizations: []string{"2930418", "none"}},
		},
	})
	other := f.sandbox.OrganizationID(1)
	for _, test := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/as/one/api/v1/organizations/2930418", 200},
		{"GET", "/as/one/api/v1/organizations/" + other, 403},
		{"GET", "/as/one/api/v1/%6frganizations/" + other, 403},
		{"GET", "/as/one/api/v1/organizations/2930418/..%2F" + other, 403},
		{"GET", "/as/one/api/v1/organizations//" + other, 403},
		{"GET", "/as/one/api/v1/Organizations/" + other, 403},
		{"GET", "/as/one/api/v1/organizations/" + other + "%2Fdevices", 403},
		{"DELETE", "/as/one/api/v1/organizations/2930418", 403},
		{"GET", "/as/two/api/v1/organizations/2930418", 403},
		{"GET", "/api/v1/organizations/2930418", 403},
		{"GET", "/as/one/api/v1http://127.0.0.1:1/as/two/api/v1/organizations", 403},
		{"PATCH", "/as/one/api/v1/organizations/2930418", 403},
		{"GET", "/elsewhere", 403},
		{"GET", "/as/one/api/v1/organizations/2930418/undocumented", 404}, // the sandbox's own
	} {
		f.requests()
		resp, body := f.ask(t, test.method, test.path, "")
		if resp.StatusCode != test.status {
			t.Errorf("%s %s: %d %s", test.method, test.path, resp.StatusCode, body)
		}
		if test.status == 403 {
			var e struct{ Errors []string }
			if json.Unmarshal([]byte(body), &e) != nil || len(e.Errors) == 0 || resp.Header.Get("Meraki-Broker-Reason") == "" {
				t.Errorf("%s %s: a refusal in no form of the vendor's: %s", test.method, test.path, body)
			}
			if n := len(f.requests()); n != 0 {
				t.Errorf("%s %s: %d requests left", test.method, test.path, n)
			}
		}
	}
}

// TestAWriteOfAClientThatGivesUpIsMadeOnce: a client repeats a POST on its own
// time-out, and gets the outcome of the first.
func TestAWriteOfAClientThatGivesUpIsMadeOnce(t *testing.T) {
	f := newFace(t, setup{
		slow: func(r *http.Request) time.Duration {
			return map[string]time.Duration{"POST": 1200 * time.Millisecond}[r.Method]
		},
		agents: []rest.Agent{{Prefix: "hasty/", Patience: time.Second}},
	})
	path := "/api/v1/organizations/" + f.sandbox.OrganizationID(0) + "/networks"
	body := `{"name":"made once","productTypes":["appliance"]}`
	var last *http.Response
	for range 100 {
		resp, text := f.ask(t, "POST", path, body, "User-Agent", "hasty/1.0")
		if last = resp; resp.StatusCode == 201 {
			break
		}
		if resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" || resp.Header.Get("Meraki-Broker-Reason") != "WRITE_UNDER_WAY" {
			t.Fatalf("%d %v %s", resp.StatusCode, resp.Header, text)
		}
	}
	if last.StatusCode != 201 || last.Header.Get("Meraki-Broker-Cache") != "outcome" {
		t.Errorf("%d %v", last.StatusCode, last.Header)
	}
	posts := 0
	for _, r := range f.requests() {
		if r.Method == "POST" {
			posts++
		}
	}
	if posts != 1 {
		t.Errorf("%d POSTs left", posts)
	}
	// It has been delivered: the same again is another one.
	if resp, _ := f.ask(t, "POST", path, body); resp.StatusCode != 201 || resp.Header.Get("Meraki-Broker-Cache") == "outcome" || len(f.requests()) != 1 {
		t.Errorf("the same again: %d %v", resp.StatusCode, resp.Header)
	}
}

func TestAnIdempotencyKeyNamesAWrite(t *testing.T) {
	f := newFace(t, setup{})
	path := "/api/v1/organizations/" + f.sandbox.OrganizationID(0) + "/networks"
	var first string
	for i, body := range []string{`{"name":"n","productTypes":["appliance"]}`, `{"productTypes":["appliance"], "name":"n"}`} {
		resp, text := f.ask(t, "POST", path, body, "Idempotency-Key", "one")
		if resp.StatusCode != 201 || i > 0 && text != first {
			t.Errorf("%d %s, first %s", resp.StatusCode, text, first)
		}
		first = text
	}
	resp, text := f.ask(t, "POST", path, `{"name":"other","productTypes":["appliance"]}`, "Idempotency-Key", "one")
	if resp.StatusCode != 403 || resp.Header.Get("Meraki-Broker-Reason") != "IDEMPOTENCY_KEY_REUSED" {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
	if n := len(f.requests()); n != 1 {
		t.Errorf("%d requests left", n)
	}
}
