package service_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service"
	"github.com/merakibroker/merakibroker/service/audit"
	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/identity"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

// An auditLine is a line of the audit.
type auditLine struct {
	Kind, Caller, Face, Operation, Method, Organization, Path, Outcome, Reason, Write, Group string
	Number, Attempts, Status                                                                 int
	Key                                                                                      string `json:"idempotency_key"`
	Batch                                                                                    string `json:"action_batch"`
	RequestID                                                                                string `json:"request_id"`
}

// audited is a harness with an audit, and what gives its lines so far.
func audited(t *testing.T, p plan) (*harness, func() []auditLine) {
	t.Helper()
	var mu sync.Mutex
	var text bytes.Buffer
	l, err := audit.New(audit.Config{Log: discard(), To: audit.Stream{Writer: writerFunc(func(b []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return text.Write(b)
	})}})
	if err != nil {
		t.Fatal(err)
	}
	p.broker = func(c *broker.Config) { fast(c); c.Audit = l }
	p.server = func(c *service.Config) { c.Access.Audit = l }
	return build(t, p), func() (all []auditLine) {
		mu.Lock()
		defer mu.Unlock()
		for one := range strings.Lines(text.String()) {
			var l auditLine
			if err := json.Unmarshal([]byte(one), &l); err != nil {
				t.Fatalf("%s: %v", one, err)
			}
			if all = append(all, l); l.Number != len(all) {
				t.Errorf("line %d is %s", len(all), one)
			}
		}
		return all
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// TestEveryWriteHasItsLine: of many at once under faults, of one that is tried again, of
// one that is named and comes twice, of one whose caller leaves; reads have none, and the
// attempts of all lines are the writes that the Dashboard has seen.
func TestEveryWriteHasItsLine(t *testing.T) {
	t.Parallel()
	var sent atomic.Int64
	var arrived atomic.Pointer[chan struct{}] // taken when a write arrives, and when it may go on; nil for none
	h, lines := audited(t, plan{upstream: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet {
				sent.Add(1)
				if at := arrived.Load(); at != nil {
					<-*at
					<-*at
				}
			}
			next.ServeHTTP(w, r)
		})
	}})
	organization := h.sandbox.OrganizationID(0)
	create := func(ctx context.Context, name string) error {
		_, err := h.own.Call(ctx, &brokerv1.CallRequest{
			Method: http.MethodPost, Path: "/organizations/" + organization + "/networks", Body: fmt.Appendf(nil, `{"name":%q,"productTypes":["appliance"]}`, name),
		})
		return err
	}
	// One at a time, with what its line says.
	script := func(s sandbox.Script) {
		t.Helper()
		if err := h.sandbox.AddScript(s); err != nil {
			t.Fatal(err)
		}
	}
	last := func(n int) auditLine {
		t.Helper()
		all := lines()
		if len(all) != n {
			t.Fatalf("%d lines, want %d: %+v", len(all), n, all)
		}
		return all[n-1]
	}
	network := h.sandbox.NetworkID(0, 0)
	script(sandbox.Script{Operation: "updateNetwork", Times: 2, Faults: []sandbox.Fault{{Kind: sandbox.FaultStatus, Status: 502}}})
	if _, err := h.call(t.Context(), t, "updateNetwork", map[string]any{"network_id": network, "name": "a secret name"}); err != nil {
		t.Fatal(err)
	}
	if l := last(1); l.Kind != "write" || l.Attempts != 3 || l.Outcome != "done" || l.Status != 200 || l.Face != "grpc" || l.Operation != "updateNetwork" ||
		l.Method != "PUT" || l.Path != "/networks/"+network || l.Organization != organization || l.Caller != "anonymous" || l.RequestID == "" {
		t.Errorf("a write that was tried again is %+v", l)
	}
	named := metadata.AppendToOutgoingContext(t.Context(), "meraki-idempotency-key", "one")
	for range 2 {
		if err := create(named, "n"); err != nil {
			t.Fatal(err)
		}
	}
	if l := last(2); l.Key != "one" || l.Attempts != 1 || l.Operation != "createOrganizationNetwork" {
		t.Errorf("a named write that came twice is %+v", l)
	}
	script(sandbox.Script{Operation: "createOrganizationNetwork", Times: 1, Faults: []sandbox.Fault{{Kind: sandbox.FaultReset, After: true}}})
	wantCode(t, "a write without an answer", create(t.Context(), "lost"), codes.Unknown, "OUTCOME_UNKNOWN")
	if l := last(3); l.Outcome != "unknown" || l.Reason != "OUTCOME_UNKNOWN" || l.Attempts != 1 {
		t.Errorf("a write without an answer is %+v", l)
	}
	// Its caller leaves while it is at the Dashboard.
	leaving, leave := context.WithCancel(t.Context())
	defer leave()
	back := make(chan struct{})
	arrived.Store(&back)
	left := make(chan error)
	go func() { left <- create(leaving, "left alone") }()
	back <- struct{}{} // it has arrived
	leave()
	if err := <-left; err == nil {
		t.Error("the caller has waited")
	}
	arrived.Store(nil)
	back <- struct{}{} // and is done
	for deadline := time.Now().Add(time.Minute); len(lines()) < 4 && time.Now().Before(deadline); {
		if _, err := h.own.Call(t.Context(), &brokerv1.CallRequest{Method: "GET", Path: "/organizations/" + organization}); err != nil { // a read has no line
			t.Fatal(err)
		}
	}
	if l := last(4); l.Outcome != "done" || l.Attempts != 1 {
		t.Errorf("a write whose caller has left is %+v", l)
	}
	// Many at once.
	if err := h.sandbox.SetFaults(sandbox.Mix{Share: 0.2, Kinds: sandbox.Alike([]sandbox.Fault{
		{Kind: sandbox.FaultStatus, Status: 502}, {Kind: sandbox.FaultStatus, Status: 500, After: true}, {Kind: sandbox.FaultReset, After: true}, {Kind: sandbox.FaultCut}, {Kind: sandbox.FaultStatus, Status: 400},
	})}); err != nil {
		t.Fatal(err)
	}
	const many = 40
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	each(many, many, func(i int) {
		_, _ = h.call(ctx, t, "updateNetwork", map[string]any{"network_id": h.sandbox.NetworkID(0, i%3), "name": fmt.Sprint("name ", i)}) // some fail
	})
	last(4 + many)
	attempts := 0
	for _, l := range lines() {
		attempts += l.Attempts
	}
	if int64(attempts) != sent.Load() {
		t.Errorf("the lines have %d attempts, the Dashboard has seen %d writes", attempts, sent.Load())
	}
}

// TestWritesOfAListHaveTheirLines: one for each, with the batch that carried it, the
// caller's names, and what became of it; the requests that carry them have lines, too.
func TestWritesOfAListHaveTheirLines(t *testing.T) {
	t.Parallel()
	h, lines := audited(t, plan{sandbox: sandbox.Options{BatchTime: 20 * time.Millisecond, LimitsOff: true}})
	writes := h.portWrites(t, 60, func(i int) bool { return i == 7 })
	writes[3].Group, writes[4].Group = "both", "both"
	writes = append(writes, h.write(t, "by itself", "rebootDevice", map[string]any{"serial": h.switches(t)[0]}))
	ctx := metadata.AppendToOutgoingContext(withOrganization(t.Context(), h.sandbox.OrganizationID(0)), "meraki-idempotency-key", "the list")
	out, err := h.applyWrites(t, ctx, &brokerv1.ApplyWritesRequest{Writes: writes})
	if err != nil || len(out) != len(writes) {
		t.Fatalf("%d results: %v", len(out), err)
	}
	told, carriers := make(map[string]auditLine), 0
	for _, l := range lines() {
		if l.Face != "batch" || l.Key != "the list" || l.Organization != h.sandbox.OrganizationID(0) {
			t.Errorf("%+v", l)
		}
		if l.Write == "" {
			carriers++
			continue
		}
		if _, twice := told[l.Write]; twice {
			t.Errorf("%s has two lines", l.Write)
		}
		told[l.Write] = l
	}
	if len(told) != len(writes) || carriers == 0 {
		t.Errorf("%d of %d writes have a line, %d requests that carry them", len(told), len(writes), carriers)
	}
	for id, m := range out {
		l := told[id]
		switch done := m.GetDone(); {
		case done != nil && (l.Outcome != "done" || l.Batch != done.GetActionBatchId() || (l.Attempts > 0) != (l.Batch == "")):
			t.Errorf("%v is %+v", m, l)
		case done == nil && (l.Outcome != "failed" || l.Reason == ""):
			t.Errorf("%v is %+v", m, l)
		}
	}
	if l := told["port 3"]; l.Group != "both" || l.Operation != "updateDeviceSwitchPort" || l.Method != "PUT" {
		t.Errorf("%+v", l)
	}
}

// TestRefusalsAreTold: a sample of what rules refuse, reads and writes, before anything is
// sent; and of what the broker itself refuses.
func TestRefusalsAreTold(t *testing.T) {
	t.Parallel()
	h, lines := audited(t, plan{
		rules: identity.Rules{{Name: "some", Callers: []string{"anonymous"}, Operations: []identity.Grant{{Section: "networks", Verbs: []string{"read", "write"}}}, Organizations: []string{"1"}}},
	})
	for range 30 {
		_, err := h.call(t.Context(), t, "getOrganizations", nil)
		wantCode(t, "what no rule allows", err, codes.PermissionDenied, "CALLER_NOT_ALLOWED")
	}
	all := lines()
	if len(all) == 0 || len(all) > 10 || all[0].Kind != "refusal" || all[0].Operation != "getOrganizations" || all[0].Outcome != "refused" || all[0].Reason != "CALLER_NOT_ALLOWED" || all[0].Path != "/organizations" {
		t.Errorf("%d lines, the first %+v", len(all), all)
	}
}
