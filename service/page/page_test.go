package page

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "0123456789abcdef0123456789abcdef01234567"

// A fake is a Source with one of everything, all of it hostile.
type fake struct {
	mu       sync.Mutex
	holds    []*brokerv1.HoldState
	looks    int
	ending   chan struct{}
	readOnly bool
}

const (
	markup = `<img src=x onerror="alert(1)">`
	quotes = `spiffe://a/"'&lt;><script>alert(2)</script>`
	// hidden turns the direction of writing, and steers a terminal.
	hidden = "\u202e\x1b\u009b"
)

func (f *fake) Describe() *brokerv1.BrokerDescription {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looks++
	now := timestamppb.Now()
	return &brokerv1.BrokerDescription{
		Version: "1.2.3", Revision: "0123456789abcdef", StartTime: now, Upstream: "https://api.meraki.com/api/v1",
		Store: &brokerv1.StoreState{Shared: true, Replicas: 3, Outages: 2}, Keys: []*brokerv1.KeyState{{Name: markup, Rejected: true}},
		Holds: f.holds, ReadOnly: f.readOnly, AttemptsUnderWay: 1,
		UnderWay: []*brokerv1.Attempt{{StartTime: now, Operation: "getNetwork", OrganizationId: markup, Caller: quotes, Method: "GET", Number: 2}},
		Watches:  []*brokerv1.WatchState{{Operation: "getOrganizationNetworks", Callers: []string{quotes}, Watches: 4, Age: durationpb.New(time.Minute), Trouble: markup}},
		Batches:  []*brokerv1.BatchState{{OrganizationId: "1", UnderWay: 2, Places: 3, Waiting: 1, Held: 77, Callers: []string{quotes}}},
	}
}

func (f *fake) Budgets() []*brokerv1.Budget {
	all := []*brokerv1.Budget{{Rate: 100, Ceiling: 100}}
	for i := range mostRows + 5 {
		all = append(all, &brokerv1.Budget{OrganizationId: fmt.Sprint(1000 + i), Rate: 7, Ceiling: 10, Attempts: int64(100 - i)})
	}
	all[7].Waiting, all[7].StoppedUntil = 3, timestamppb.New(time.Now().Add(time.Minute))
	all[7].Classes = []*brokerv1.ClassState{{Priority: "bulk", Caller: quotes, Waiting: 3, Oldest: durationpb.New(90 * time.Second)}}
	return all
}

func (f *fake) Health() *brokerv1.UpstreamHealth {
	bad := &brokerv1.HealthWindow{Window: durationpb.New(5 * time.Minute), Attempts: 40, ServerErrors: 9, NeverArrived: 3, ErrorShare: .3,
		Verdict: brokerv1.HealthVerdict_HEALTH_VERDICT_UNREACHABLE, Advice: markup, RequestIds: []string{"id-1", "id-2", "id-3", "id-4"}}
	return &brokerv1.UpstreamHealth{Overall: []*brokerv1.HealthWindow{bad}, Organizations: []*brokerv1.OrganizationHealth{{OrganizationId: "1006", Windows: []*brokerv1.HealthWindow{bad}}}}
}

func (f *fake) Failures(int) []*brokerv1.Attempt {
	return []*brokerv1.Attempt{{StartTime: timestamppb.Now(), Operation: "updateNetwork", Caller: quotes, Method: "PUT", HttpStatus: 400,
		Outcome: brokerv1.Outcome_OUTCOME_REFUSED, RequestId: "id-9", Error: "name " + markup + " is taken", Verdict: "give up: refused"}}
}

func (f *fake) Drift() []*brokerv1.Drift {
	return []*brokerv1.Drift{{Operation: "getNetwork", Path: markup + hidden, Kind: brokerv1.DriftKind_DRIFT_KIND_UNKNOWN_FIELD, Count: 7, LastTime: timestamppb.Now()}}
}

func (f *fake) Usage(int) *brokerv1.GetUsageResponse {
	figures := &brokerv1.UsageFigures{Requests: 30, Attempts: 20, Refusals: 4, WaitTime: durationpb.New(time.Second), Saved: &brokerv1.SavedRequests{Shared: 3, Cached: 4}}
	return &brokerv1.GetUsageResponse{
		Rows:  []*brokerv1.UsageRow{{Caller: quotes, OrganizationId: markup, Figures: figures}},
		Total: &brokerv1.UsageFigures{Attempts: 80}, Other: figures,
	}
}

func (f *fake) Recent(string) []int64   { return []int64{0, 50, 100, 200} }
func (f *fake) Ending() <-chan struct{} { return f.ending }

func (f *fake) Hold(_ context.Context, token string, in *brokerv1.HoldRequest) (*brokerv1.HoldState, error) {
	if token != secret {
		return nil, &fault.Error{Kind: fault.CallerUnknown, Detail: "who?"}
	}
	if in.GetReason() == "" {
		return nil, fault.Bad("reason", "reason is missing")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	h := &brokerv1.HoldState{Scope: in.GetScope(), Name: in.GetName(), Reason: in.GetReason(), Operator: "alice", EndTime: timestamppb.New(time.Now().Add(in.GetDuration().AsDuration()))}
	f.holds = append(f.holds, h)
	return h, nil
}

func (f *fake) Release(_ context.Context, token string, in *brokerv1.ReleaseRequest) (*brokerv1.HoldState, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, h := range f.holds {
		if token == secret && h.GetScope() == in.GetScope() && h.GetName() == in.GetName() {
			f.holds = append(f.holds[:i:i], f.holds[i+1:]...)
			return h, nil
		}
	}
	return nil, &fault.Error{Kind: fault.NotFound, Detail: "it is not held"}
}

func serve(t *testing.T, f *fake) (*Page, *httptest.Server) {
	t.Helper()
	f.ending = make(chan struct{})
	p := New(f, slog.New(slog.DiscardHandler))
	s := httptest.NewServer(p)
	t.Cleanup(s.Close)
	return p, s
}

func get(t *testing.T, address string) (int, http.Header, string) {
	t.Helper()
	r, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, r.Header, string(body)
}

// TestPage: every part is there, what comes from outside is text, and the page may load
// nothing but its own files.
func TestPage(t *testing.T) {
	p, s := serve(t, &fake{holds: []*brokerv1.HoldState{{Scope: 1, Name: quotes, Reason: markup, Operator: "alice", EndTime: timestamppb.Now()}}})
	status, header, page := get(t, s.URL)
	if status != 200 || header.Get("Content-Security-Policy") != policy || header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v", status, header)
	}
	for _, want := range []string{
		"1.2.3", "0123456789ab<", "rejected: put a new key", "lost 2 times", "<dd>3</dd>", "unreachable", "id-1, id-2, id-3<", "organization 1006",
		"1 min 30 s", "id-9", "give up: refused", "The caller&#39;s request is wrong", "getOrganizationNetworks", "Release bulk of caller spiffe", "<strong>77</strong>",
		`M0.0 24.0L40.0 12.0L80.0 0.0L120.0 0.0`, "And 5 more", `href="/metrics"`, "7.0 <span", "unknown field", "all others", "25.0 %", `<td class="n">7</td>`, `<html lang="en">`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, bad := range []string{"<img", "<script>", "onerror=\"", "style=", "javascript:"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	if at := strings.IndexFunc(page, unseen); at >= 0 || !strings.Contains(page, `\u202e\x1b\u009b`) {
		t.Errorf("the page has what nobody sees: %q", page[max(0, at):min(len(page), max(0, at)+80)])
	}
	for name, part := range p.look().parts {
		if part == "" || !strings.Contains(page, string(part)) {
			t.Errorf("the page lacks %s", name)
		}
	}
	for _, file := range []string{"page.css", "page.js", "icon.svg"} {
		if status, _, _ := get(t, s.URL+"/page/"+file); status != 200 {
			t.Errorf("%s: %d", file, status)
		}
	}
	for _, none := range []string{"/page/page.html", "/page/", "/page/nothing.json"} {
		if status, _, _ := get(t, s.URL+none); status != 404 {
			t.Errorf("%s: %d", none, status)
		}
	}
}

// TestJSON: every part as JSON.
func TestJSON(t *testing.T) {
	_, s := serve(t, new(fake))
	for name := range documents {
		status, header, text := get(t, s.URL+"/page/"+name+".json")
		var document map[string]any
		if err := json.Unmarshal([]byte(text), &document); err != nil || status != 200 || header.Get("Content-Type") != "application/json" || len(document) == 0 {
			t.Errorf("%s: %d, %v: %s", name, status, err, text)
		}
	}
}

// TestLooksAreShared: many who look at once cost no more than one.
func TestLooksAreShared(t *testing.T) {
	f := new(fake)
	p, _ := serve(t, f)
	for range 100 {
		p.look()
	}
	if f.looks > 10 {
		t.Errorf("%d looks", f.looks)
	}
}

func post(t *testing.T, address string, header map[string]string, fields url.Values) (int, string, string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, address+"/page/act", strings.NewReader(fields.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for name, value := range header {
		r.Header.Set(name, value)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header.Get("Location"), string(body)
}

// TestActions: a hold and its release, what is wrong with a form and where, and no
// action from another site.
func TestActions(t *testing.T) {
	f := new(fake)
	_, s := serve(t, f)
	fields := func(change ...string) url.Values {
		v := url.Values{"token": {secret}, "scope": {"1"}, "name": {quotes}, "minutes": {"5"}, "reason": {"an incident"}}
		for i := 0; i < len(change); i += 2 {
			v.Set(change[i], change[i+1])
		}
		return v
	}
	for _, foreign := range []map[string]string{
		{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://attacker.example"}, {"Origin": "null"},
	} {
		if status, _, _ := post(t, s.URL, foreign, fields()); status != 403 || len(f.holds) != 0 {
			t.Errorf("%v: %d, %v", foreign, status, f.holds)
		}
	}
	for _, wrong := range []struct {
		fields url.Values
		status int
		says   string
	}{
		{fields("token", "x"), 403, `autocomplete="current-password" aria-invalid`},
		{fields("token", ""), 403, `role="alert"`},
		{fields("reason", " "), 400, `value=" " autocomplete="off" aria-invalid`},
		{url.Values{"token": {secret}, "release": {"1/nobody"}}, 404, "it is not held"},
		{fields("name", strings.Repeat("x", mostForm)), 400, "cannot be read"},
	} {
		status, _, page := post(t, s.URL, nil, wrong.fields)
		if status != wrong.status || !strings.Contains(page, wrong.says) || strings.Contains(page, secret) || strings.Contains(page, "<script>") {
			t.Errorf("%d, want %d with %q", status, wrong.status, wrong.says)
		}
	}
	if len(f.holds) != 0 {
		t.Fatalf("%v", f.holds)
	}
	same := map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": s.URL}
	if status, to, _ := post(t, s.URL, same, fields()); status != 303 || to != "/?done=held" || len(f.holds) != 1 || f.holds[0].GetName() != quotes {
		t.Fatalf("%d %s %v", status, to, f.holds)
	}
	if _, _, page := get(t, s.URL+"/?done=held"); !strings.Contains(page, "Every replica obeys") || !strings.Contains(page, "an incident") {
		t.Error("the page does not show the hold at once")
	}
	release := url.Values{"token": {secret}, "release": {place(f.holds[0])}, "scope": {"1"}}
	if status, to, _ := post(t, s.URL, same, release); status != 303 || to != "/?done=released" || len(f.holds) != 0 {
		t.Errorf("%d %s %v", status, to, f.holds)
	}
}

// TestReadOnly: without operators there is no form.
func TestReadOnly(t *testing.T) {
	_, s := serve(t, &fake{readOnly: true, holds: []*brokerv1.HoldState{{Scope: 3, EndTime: timestamppb.Now()}}})
	if _, _, page := get(t, s.URL); strings.Contains(page, "<form") || strings.Contains(page, "<button") || !strings.Contains(page, "only reads") {
		t.Error("the page offers what it does not do")
	}
}

// TestEvents: what has changed is sent, and the stream ends when the drain begins.
func TestEvents(t *testing.T) {
	f := new(fake)
	_, s := serve(t, f)
	r, err := http.Get(s.URL + "/page/events")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	lines := bufio.NewScanner(r.Body)
	lines.Buffer(nil, 1<<20)
	seen := make(map[string]int)
	ended := false
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: {")
		if !ok {
			ended = ended || lines.Text() == "event: end"
			continue
		}
		var c changed
		if err := json.Unmarshal([]byte("{"+data), &c); err != nil {
			t.Fatal(err)
		}
		if seen[c.Part]++; c.Part == "drift" {
			close(f.ending)
		}
	}
	if !ended || len(seen) != len(partNames) {
		t.Errorf("ended: %v, parts: %v", ended, seen)
	}
}

// TestReadersAreBounded: one reader too many is told so, and a place that is left is free.
func TestReadersAreBounded(t *testing.T) {
	p, s := serve(t, new(fake))
	var leave []context.CancelFunc
	open := func() int {
		ctx, cancel := context.WithCancel(t.Context())
		leave = append(leave, cancel)
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/page/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = answer.Body.Close() })
		return answer.StatusCode
	}
	for range mostReaders {
		if status := open(); status != 200 {
			t.Fatal(status)
		}
	}
	if status := open(); status != 503 {
		t.Errorf("%d", status)
	}
	for _, f := range leave {
		f()
	}
	for range mostReaders {
		p.readers <- struct{}{} // waits until each has left
	}
}

// TestStreamsEnd after a while, so that one that nobody reads gives its place back; a
// browser comes again by itself.
func TestStreamsEnd(t *testing.T) {
	p, s := serve(t, new(fake))
	p.longest = time.Millisecond
	status, _, text := get(t, s.URL+"/page/events") // to its end
	if status != 200 || !strings.HasPrefix(text, "retry: ") || strings.Contains(text, "event: end") || strings.Count(text, "data: ") != len(partNames) {
		t.Errorf("%d %s", status, text)
	}
}

// TestWhoDoesNotReadEnds: a reader who takes nothing is let go.
func TestWhoDoesNotReadEnds(t *testing.T) {
	f := new(fake)
	p := New(f, slog.New(slog.DiscardHandler))
	f.ending, p.unread = make(chan struct{}), 100*time.Millisecond
	ended := make(chan struct{})
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.events(&full{ResponseWriter: w}, r)
		close(ended)
	}))
	s.Start()
	defer s.Close()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "GET /page/events HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("the stream goes on")
	}
}

// A full is a ResponseWriter whose connection takes nothing any more.
type full struct{ http.ResponseWriter }

func (f *full) Unwrap() http.ResponseWriter { return f.ResponseWriter }

func (f *full) Write([]byte) (int, error) {
	// More than a socket's buffers take: the deadline ends it.
	for {
		if n, err := f.ResponseWriter.Write(make([]byte, 1<<20)); err != nil {
			return n, err
		}
	}
}

// TestSpan: times as one reads them.
func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0 ms", 340 * time.Millisecond: "340 ms", 12500 * time.Millisecond: "12.5 s", 243 * time.Second: "4 min 3 s",
		135 * time.Minute: "2 h 15 min", 80 * time.Hour: "3 days", 5 * time.Minute: "5 min", time.Hour: "1 h",
	} {
		if got := span(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

// TestWhatToDo: every outcome that is a failure has advice.
func TestWhatToDo(t *testing.T) {
	for n, name := range brokerv1.Outcome_name {
		o := brokerv1.Outcome(n)
		none := map[brokerv1.Outcome]bool{
			brokerv1.Outcome_OUTCOME_UNSPECIFIED: true, brokerv1.Outcome_OUTCOME_OK: true,
			brokerv1.Outcome_OUTCOME_REDIRECT: true, brokerv1.Outcome_OUTCOME_CANCELLED: true,
		}[o]
		if got := whatToDo(&brokerv1.Attempt{Outcome: o}); (got == "") != none {
			t.Errorf("%s: %q", name, got)
		}
	}
}
