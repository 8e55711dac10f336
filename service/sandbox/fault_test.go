package sandbox

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func contains(s, part string) bool { return strings.Contains(s, part) }

// Every kind of fault as a plain client sees it, and whether the write took effect.
func TestFaultsAsSeen(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name     string
		fault    Fault
		status   int    // 0: no answer
		err      string // in the error of the transport or the body
		body     string // in the body
		executed int
	}{
		{"502 page", Fault{Kind: FaultStatus, Status: 502, Body: "html"}, 502, "", "502 Bad Gateway</title>", 0},
		{"504 after", Fault{Kind: FaultStatus, Status: 504, Body: "html", After: true}, 504, "", "nginx", 1},
		{"500", Fault{Kind: FaultStatus, Status: 500}, 500, "", `{"errors":["500 Internal Server Error","a second message"]}`, 0},
		{"429", Fault{Kind: FaultStatus, Status: 429, RetryAfter: "7"}, 429, "", "rate limit exceeded", 0},
		{"delay", Fault{Kind: FaultDelay, Delay: Duration(time.Millisecond)}, 200, "", `"id"`, 1},
		{"slow", Fault{Kind: FaultSlow, Delay: Duration(8 * time.Millisecond)}, 200, "", `"id"`, 1},
		{"cut", Fault{Kind: FaultCut}, 200, "unexpected EOF", "", 1},
		{"cut chunked", Fault{Kind: FaultCutChunked}, 200, "unexpected EOF", "", 1},
		{"reset before", Fault{Kind: FaultReset}, 0, "reset", "", 0},
		{"reset after", Fault{Kind: FaultReset, After: true}, 0, "reset", "", 1},
		{"reset middle", Fault{Kind: FaultResetMiddle}, -1, "", "", 1},
		{"close before", Fault{Kind: FaultClose}, 0, "EOF", "", 0},
		{"close after", Fault{Kind: FaultClose, After: true}, 0, "EOF", "", 1},
		{"hang", Fault{Kind: FaultHang, Delay: Duration(time.Millisecond)}, 0, "EOF", "", 0},
		{"page for an answer", Fault{Kind: FaultStatus, Status: 200, Body: "html", After: true}, 200, "", "<html>", 1},
		{"broken JSON", Fault{Kind: FaultStatus, Status: 200, Body: "broken", After: true}, 200, "", `{"errors":["an end that never co`, 1},
		{"nothing for an answer", Fault{Kind: FaultStatus, Status: 200, Body: "empty", After: true}, 200, "", "", 1},
		{"wrong type", Fault{Kind: FaultStatus, After: true, ContentType: "text/html"}, 200, "", `"id"`, 1},
		{"redirect", Fault{Kind: FaultRedirect}, 302, "", "redirected", 0},
		{"redirect 308", Fault{Kind: FaultRedirect, Status: 308, Target: "foreign"}, 308, "", "dashboard.invalid", 0},
		{"gzip", Fault{Kind: FaultStatus, After: true, Gzip: true}, 200, "", `"id"`, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := newSandbox(t, open())
			srv, client := serve(t, s)
			path, body := "/networks/"+s.NetworkID(0, 0), `{"notes":"changed"}`
			if err := s.AddScript(Script{Operation: "updateNetwork", Method: "PUT", Path: "/networks/", Faults: []Fault{row.fault}}); err != nil {
				t.Fatal(err)
			}
			g, err := send(t, client, "PUT", srv.URL+"/api/v1"+path, body)
			if row.err != "" && (err == nil || !contains(err.Error(), row.err)) {
				t.Errorf("error %v, want %s", err, row.err)
			}
			if row.err == "" && err != nil && row.status >= 0 {
				t.Errorf("error %v", err)
			}
			if row.status >= 0 && g.status != row.status || !contains(g.body, row.body) {
				t.Errorf("%d %q, want %d %q", g.status, g.body, row.status, row.body)
			}
			if row.fault.RetryAfter != g.header.Get("Retry-After") {
				t.Errorf("Retry-After %q", g.header.Get("Retry-After"))
			}
			if n := s.Executed("PUT", path, []byte(body)); n != row.executed {
				t.Errorf("executed %d times, want %d", n, row.executed)
			}
			// The script is used up.
			if g, err := send(t, client, "PUT", srv.URL+"/api/v1"+path, body); err != nil || g.status != 200 {
				t.Errorf("after it: %d, %v", g.status, err)
			}
			if st := s.Organization(s.OrganizationID(0)); st.Arrived != 2 || st.InFlight != 0 {
				t.Errorf("statistics: %+v", st)
			}
		})
	}
}

func TestResetIsOne(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, open())
	srv, client := serve(t, s)
	s.Outage(time.Hour)
	_, err := send(t, client, "GET", srv.URL+"/api/v1/organizations", "")
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("in an outage: %v", err)
	}
	s.Outage(0)
	if g, err := send(t, client, "GET", srv.URL+"/api/v1/organizations", ""); err != nil || g.status != 200 {
		t.Errorf("after it: %v, %v", g, err)
	}
	if st := s.Stats().Total; st.Answered[0] != 1 || st.Answered[200] != 1 || st.Arrived != 2 {
		t.Errorf("statistics: %+v", st)
	}
}

func TestBodyShapes(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, open())
	for _, name := range BodyShapes() {
		if err := s.AddScript(Script{Faults: []Fault{{Kind: FaultStatus, Status: 400, Body: name}}}); err != nil {
			t.Fatal(err)
		}
		g := ask(t, s, "GET", "/organizations", "")
		if b := bodyNamed(name); g.status != 400 || g.body != b.text("400 Bad Request") {
			t.Errorf("%s: %d %.80q", name, g.status, g.body)
		}
	}
}

func TestScriptOrder(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, open())
	if err := s.AddScript(Script{Path: "/networks/", Skip: 1, Times: 2, Faults: []Fault{{Kind: FaultStatus, Status: 500}, {Kind: FaultStatus, Status: 503}}}); err != nil {
		t.Fatal(err)
	}
	var saw []int
	for range 7 {
		saw = append(saw, ask(t, s, "GET", "/networks/"+s.NetworkID(0, 0), "").status)
		ask(t, s, "GET", "/organizations", "") // does not match, changes nothing
	}
	for i, want := range []int{200, 500, 503, 500, 503, 200, 200} {
		if saw[i] != want {
			t.Fatalf("%v", saw)
		}
	}
	for _, bad := range []Script{
		{}, {Operation: "no", Faults: EveryFault()}, {Faults: []Fault{{Kind: "no"}}}, {Faults: []Fault{{Kind: FaultStatus}}},
		{Faults: []Fault{{Kind: FaultStatus, Status: 99}}}, {Faults: []Fault{{Kind: FaultStatus, Status: 500, Body: "no"}}}, {Faults: []Fault{{Kind: FaultRedirect, Target: "no"}}},
	} {
		if err := s.AddScript(bad); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}

// The same seed draws the same faults; their share is what was asked for.
func TestRandomFaults(t *testing.T) {
	t.Parallel()
	run := func() (saw []int) {
		s := newSandbox(t, Options{LimitsOff: true, Seed: 7, Faults: Mix{Share: 0.2, Kinds: []Weighted{{Fault{Kind: FaultStatus, Status: 500}, 3}, {Fault{Kind: FaultStatus, Status: 503}, 1}}}})
		for range 2000 {
			saw = append(saw, ask(t, s, "GET", "/organizations", "").status)
		}
		return saw
	}
	first, second := run(), run()
	count := map[int]int{}
	for i := range first {
		count[first[i]]++
		if first[i] != second[i] {
			t.Fatal("two runs differ")
		}
	}
	if count[500] < 240 || count[500] > 360 || count[503] < 60 || count[503] > 150 {
		t.Errorf("%v", count)
	}
}

func TestShard(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, open())
	srv, client := serve(t, s)
	client.CheckRedirect = nil
	if err := s.AddScript(Script{Faults: []Fault{{Kind: FaultRedirect, Status: 307}}}); err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequest("GET", srv.URL+"/api/v1/organizations?perPage=3", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Cisco-Meraki-API-Key", "key")
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 || !strings.HasPrefix(resp.Request.URL.Host, "localhost:") || resp.Request.URL.RawQuery != "perPage=3" {
		t.Errorf("%d from %v", resp.StatusCode, resp.Request.URL)
	}
}

// A client that leaves while it waits is gone at once, and is counted.
func TestClientLeaves(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := newSandbox(t, Options{LimitsOff: true, Latency: time.Hour, Observe: func(Arrival) { cancel() }})
	srv, client := serve(t, s)
	r, err := http.NewRequestWithContext(ctx, "POST", srv.URL+"/api/v1/organizations/"+s.OrganizationID(0)+"/networks", strings.NewReader(`{"name":"x","productTypes":["switch"]}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer key")
	if _, err := client.Do(r); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	srv.Close() // waits for the handler, which must not take its hour
	if st := s.Organization(s.OrganizationID(0)); st.Left != 1 || st.InFlight != 0 || st.Executed != 1 {
		t.Errorf("%+v", st)
	}
}

func TestGzipIsReal(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, open())
	if err := s.AddScript(Script{Faults: []Fault{{Kind: FaultStatus, Status: 400, Gzip: true}}}); err != nil {
		t.Fatal(err)
	}
	g := ask(t, s, "GET", "/organizations", "")
	z, err := gzip.NewReader(strings.NewReader(g.body))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(z); err != nil || !contains(string(b), "400 Bad Request") || g.header.Get("Content-Encoding") != "gzip" {
		t.Errorf("%q, %v, %v", b, err, g.header)
	}
}

// What a client saw of a write never contradicts what the sandbox says was
// executed, whatever went wrong: the test of the broker stands on this.
func TestTruthUnderFaults(t *testing.T) {
	t.Parallel()
	var kinds []Weighted
	for _, f := range EveryFault() {
		f.Delay = min(f.Delay, Duration(time.Millisecond))
		kinds = append(kinds, Weighted{f, 1})
	}
	s := newSandbox(t, Options{LimitsOff: true, Seed: 3, Faults: Mix{Share: 0.5, Kinds: kinds}})
	srv, client := serve(t, s)
	path := "/networks/" + s.NetworkID(0, 0) + "/webhooks/httpServers"
	saw := map[string]int{}
	const writes = 600
	for i := range writes {
		body := `{"name":"` + strconv.Itoa(i) + `","url":"https://example.com"}`
		g, err := send(t, client, "POST", srv.URL+"/api/v1"+path, body)
		n := s.Executed("POST", path, []byte(body))
		outcome, least, most := "ok", 1, 1
		switch {
		case err != nil:
			outcome, least, most = "lost", 0, 1
		case g.status >= 500 || g.status == 408:
			outcome, least, most = "failed", 0, 1
		case g.status >= 300:
			outcome, least, most = "refused", 0, 0
		}
		saw[outcome+" "+strconv.Itoa(n)]++
		if n < least || n > most {
			t.Errorf("%s: %d %v: executed %d times", body, g.status, err, n)
		}
	}
	for _, outcome := range []string{"ok 1", "lost 0", "lost 1", "failed 0", "failed 1", "refused 0"} {
		if saw[outcome] == 0 {
			t.Errorf("never %s: %v", outcome, saw)
		}
	}
	st := s.Organization(s.OrganizationID(0))
	answered := 0
	for _, n := range st.Answered {
		answered += n
	}
	if st.Arrived != writes || answered != writes || st.InFlight != 0 {
		t.Errorf("%d sent: %+v", writes, st)
	}
}
