package rest_test

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/merakibroker/merakibroker/service/identity"
	"github.com/merakibroker/merakibroker/service/rest"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

// TestWhatTerraformNeeds: no provider is to be had for tests, so this is what its client
// is known to do. It takes a resource for gone on 404 and 400, and creates it anew; it
// repeats every verb on 429, 5xx and errors; it finds its base literally in Link; it uses
// paths that are not documented; it gives up after 5 s.
func TestWhatTerraformNeeds(t *testing.T) {
	const userAgent = "MerakiTerraform/1.2.3 Cisco"
	say := func(status int, body string, headers ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(headers); i += 2 {
				w.Header().Set(headers[i], headers[i+1])
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	cut := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
			_ = c.Close()
		}
	}
	organization := "/api/v1/organizations/2930418"
	for _, test := range []struct {
		name, method, path, body string
		respond                  http.HandlerFunc // nil for the sandbox
		status                   int
		repeats                  bool // whether it may come again
		header                   string
	}{
		{"reads a network below its organization", "GET", organization + "/networks/NETWORK", "", nil, 200, false, ""},
		{"changes it there", "PUT", organization + "/networks/NETWORK", `{"name":"renamed"}`, nil, 200, false, ""},
		{"deletes it there", "DELETE", organization + "/networks/NETWORK", "", nil, 204, false, ""},
		{"another's network below its own", "PUT", organization + "/networks/OTHER", `{"name":"renamed"}`, nil, 403, false, "CALLER_NOT_ALLOWED"},
		{"its own below another's", "DELETE", "/api/v1/organizations/7/networks/NETWORK", "", nil, 403, false, "CALLER_NOT_ALLOWED"},
		{"what is gone is gone", "GET", organization + "/networks/N_404404", "", nil, 404, false, "NOT_FOUND"},
		{"what the Dashboard refuses", "POST", organization + "/networks", `{}`, say(400, `{"errors":["Name is missing"]}`), 400, false, "BAD_REQUEST"},
		{"a path that nobody knows", "GET", organization + "/new/thing", "", say(200, `{"big":12345678901234567890}`), 200, false, ""},
		{"a rule in the way", "GET", "/api/v1/organizations/7", "", nil, 403, false, "CALLER_NOT_ALLOWED"},
		{"a path that cannot be sent", "GET", organization + "/..%2f7", "", nil, 403, false, "BAD_REQUEST"},
		{"a verb that there is not", "PATCH", organization, `{}`, nil, 403, false, "BAD_REQUEST"},
		{"the broker's own key is refused", "GET", organization, "", say(401, `{"errors":["Invalid API key"]}`), 403, false, "API_KEY_REJECTED"},
		{"the budget is spent", "GET", organization, "", say(429, `{"errors":["slow down"]}`, "Retry-After", "60"), 429, true, "DASHBOARD_RATE_LIMITED"},
		{"an outage, a read", "GET", organization, "", say(503, ``), 503, true, "DASHBOARD_UNREACHABLE"},
		{"an outage, a write", "POST", organization + "/networks", `{"name":"n"}`, say(503, `<html>`), 409, false, "OUTCOME_UNKNOWN"},
		{"a write that breaks off", "POST", organization + "/networks", `{"name":"n"}`, cut, 409, false, "OUTCOME_UNKNOWN"},
		{"a failure, a write", "POST", organization + "/networks", `{"name":"n"}`, say(500, `{"errors":["oops"]}`), 409, false, "OUTCOME_UNKNOWN"},
		{"an answer that is none", "GET", organization, "", say(200, `<html>`), 502, true, "MALFORMED_RESPONSE"},
		{"slower than it waits", "GET", organization, "", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 429, true, "DEADLINE_EXCEEDED"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel() // attempts that are repeated take their time
			patience := time.Minute
			if test.header == "DEADLINE_EXCEEDED" {
				patience = time.Second
			}
			s := setup{
				identity: identity.Config{Path: &identity.ProxyConfig{Trusted: []string{"127.0.0.0/8"}}},
				rules: identity.Rules{{
					Name: "terraform", Callers: []string{"as:terraform"}, Organizations: []string{"2930418"},
					Operations: []identity.Grant{{Section: "*", Verbs: []string{"read", "write"}}, {RPC: "Call", Verbs: []string{"read", "write"}}},
				}},
				agents: []rest.Agent{{Prefix: "MerakiTerraform/", Patience: patience}},
			}
			if test.respond != nil {
				s.respond = test.respond
			}
			f := newFace(t, s)
			path := strings.NewReplacer("NETWORK", f.sandbox.NetworkID(0, 0), "OTHER", f.sandbox.NetworkID(1, 0)).Replace(test.path)
			began := time.Now()
			resp, body := f.ask(t, test.method, "/as/terraform"+path, test.body, "User-Agent", userAgent, "Authorization", "Bearer "+clientsKey)
			if resp.StatusCode != test.status || resp.Header.Get("Meraki-Broker-Reason") != test.header {
				t.Errorf("%s: %d %s %s", test.name, resp.StatusCode, resp.Header.Get("Meraki-Broker-Reason"), body)
			}
			comesAgain := resp.StatusCode == 429 || resp.StatusCode >= 500
			if comesAgain != test.repeats {
				t.Errorf("%s: it comes again: %v", test.name, comesAgain)
			}
			if after, err := strconv.Atoi(resp.Header.Get("Retry-After")); resp.StatusCode == 429 && (err != nil || after < 1) {
				t.Errorf("%s: it comes back after %q", test.name, resp.Header.Get("Retry-After"))
			}
			var e struct{ Errors []string }
			if resp.StatusCode >= 400 && (json.Unmarshal([]byte(body), &e) != nil || len(e.Errors) == 0 || e.Errors[0] == "") {
				t.Errorf("%s: %s", test.name, body)
			}
			posts := 0
			for _, r := range f.requests() {
				if r.Method == http.MethodPost {
					posts++
				}
				if test.header == "CALLER_NOT_ALLOWED" && r.Method != http.MethodGet { // but for look-ups of owners
					t.Errorf("%s: %s %s has left", test.name, r.Method, r.URL)
				}
			}
			if posts > 1 {
				t.Errorf("%s: made %d times", test.name, posts)
			}
			if took := time.Since(began); test.name == "slower than it waits" && took > 5*time.Second {
				t.Errorf("answered after %v", took)
			}
		})
	}
}

// TestWhatComesPassesAsItCame: status, X-Request-Id, digits, escapes and spaces of an
// answer; the raw query and the body of a request.
func TestWhatComesPassesAsItCame(t *testing.T) {
	const answer = "{ \"id\": 12345678901234567890, \"a\":\"\\u00e4\\/\",\n\"new\":null, \"n\":1.50e3, \"new\":null }"
	const sent = "{ \"name\": \"\\u00e4\\/\", \"big\":12345678901234567890, \"x\":null }"
	var body atomic.Value
	f := newFace(t, setup{respond: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		body.Store(string(text))
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Request-Id", "abc-123")
		w.WriteHeader(203)
		_, _ = io.WriteString(w, answer)
	})})
	const query = "t[]=a&t[]=b&n=%C3%A4&p=1+2&e=&&perPage=3&startingAfter=N_1"
	resp, got := f.ask(t, "GET", "/api/v1/organizations/2930418/devices?"+query, "")
	if resp.StatusCode != 203 || got != answer || resp.Header.Get("X-Request-Id") != "abc-123" {
		t.Errorf("%d %v %s", resp.StatusCode, resp.Header, got)
	}
	if arrived := f.requests(); len(arrived) != 1 || arrived[0].URL.RawQuery != query {
		t.Errorf("%v", arrived[0].URL)
	}
	if resp, got := f.ask(t, "PUT", "/api/v1/organizations/2930418", sent); resp.StatusCode != 203 || got != answer || body.Load() != sent {
		t.Errorf("%d %s, arrived %s", resp.StatusCode, got, body.Load())
	}
}

// TestRedirectsAreFollowedInside: a client would move its base address, and its
// credential with it.
func TestRedirectsAreFollowedInside(t *testing.T) {
	for _, method := range []string{"GET", "PUT"} {
		f := newFace(t, setup{respond: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.RawQuery == "" {
				w.Header().Set("Location", "http://"+r.Host+r.URL.Path+"?shard=2")
				w.WriteHeader(http.StatusPermanentRedirect)
				return
			}
			_, _ = io.WriteString(w, `{"id":"2930418"}`)
		})})
		resp, body := f.ask(t, method, "/api/v1/organizations/2930418", map[string]string{"PUT": `{"name":"n"}`}[method])
		if resp.StatusCode != 200 || resp.Header.Get("Location") != "" || len(f.requests()) != 2 {
			t.Errorf("%s: %d %v %s", method, resp.StatusCode, resp.Header, body)
		}
	}
}

// TestDefaultsOfARule hold where the client cannot say anything.
func TestDefaultsOfARule(t *testing.T) {
	reads := []identity.Grant{{Section: "*", Verbs: []string{"read"}}}
	f := newFace(t, setup{
		identity: identity.Config{Path: &identity.ProxyConfig{Trusted: []string{"127.0.0.0/8"}}},
		rules: identity.Rules{{
			Name: "exporter", Callers: []string{"as:exporter"}, Operations: reads, Organizations: []string{"*"}, Defaults: identity.Defaults{MaxAge: time.Hour},
		}, {
			Name: "hasty", Callers: []string{"as:hasty"}, Operations: reads, Organizations: []string{"*"}, Defaults: identity.Defaults{Deadline: 300 * time.Millisecond},
		}},
		around: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.RawQuery != "" {
					<-r.Context().Done() // until the broker gives up
				}
				next.ServeHTTP(w, r)
			})
		},
	})
	path := "/api/v1/organizations/" + f.sandbox.OrganizationID(0) + "/networks"
	for _, want := range []string{"miss", "hit"} {
		if resp, _ := f.ask(t, "GET", "/as/exporter"+path, ""); resp.Header.Get("Meraki-Broker-Cache") != want {
			t.Errorf("%v, want %s", resp.Header, want)
		}
	}
	if n := len(f.requests()); n != 1 {
		t.Errorf("%d requests left", n)
	}
	if resp, body := f.ask(t, "GET", "/as/hasty"+path+"?perPage=3", ""); resp.StatusCode != 429 || resp.Header.Get("Meraki-Broker-Reason") != "DEADLINE_EXCEEDED" {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

// TestProtocols: HTTP/1.1 and HTTP/2, in the clear and over TLS, and no compression that
// a client has not asked for.
func TestProtocols(t *testing.T) {
	plain := newFace(t, setup{sandbox: sandbox.Options{LimitsOff: true}})
	certificates := httptest.NewUnstartedServer(nil)
	certificates.StartTLS()
	pair := certificates.TLS.Certificates
	certificates.Close()
	server := rest.NewServer(plain.handler, &tls.Config{Certificates: pair, NextProtos: []string{"h2", "http/1.1"}}, slog.New(slog.DiscardHandler))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.ServeTLS(rest.Listen(l), "", "") }()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
	})
	for _, test := range []struct {
		url string
		set func(*http.Protocols)
		min int
	}{
		{plain.url, func(p *http.Protocols) { p.SetHTTP1(true) }, 1},
		{plain.url, func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }, 2},
		{"https://" + l.Addr().String(), func(p *http.Protocols) { p.SetHTTP1(true) }, 1},
		{"https://" + l.Addr().String(), func(p *http.Protocols) { p.SetHTTP2(true) }, 2},
	} {
		var protocols http.Protocols
		test.set(&protocols)
		transport := &http.Transport{Protocols: &protocols, DisableCompression: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
		for _, coding := range []string{"", "identity", "gzip"} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, test.url+"/api/v1/organizations/"+plain.sandbox.OrganizationID(0)+"/networks?perPage=3", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Accept-Encoding", coding)
			resp, err := transport.RoundTrip(req)
			if err != nil {
				t.Fatalf("%s: %v", fmt.Sprint(test.url, test.min), err)
			}
			var rows []any
			err = json.NewDecoder(resp.Body).Decode(&rows)
			_ = resp.Body.Close()
			if err != nil || resp.ProtoMajor != test.min || resp.Header.Get("Content-Encoding") != "" || !strings.HasPrefix(resp.Header.Get("Link"), "<"+test.url+"/") {
				t.Errorf("%s: %v, %s, %v", test.url, err, resp.Proto, resp.Header)
			}
		}
		transport.CloseIdleConnections()
	}
	resp, err := http.Get("http://" + l.Addr().String() + "/api/v1/organizations")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	refusedInForm(t, "in the clear where TLS is expected", resp, string(body))
}
