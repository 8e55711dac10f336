package broker

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/lane"
	"github.com/merakibroker/merakibroker/service/owner"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A fakeDashboard answers as its function says, after a time, and remembers when
// each request came.
type fakeDashboard struct {
	delay  time.Duration
	answer func(r *dashboard.Request) *dashboard.Result // nil for 200 and {}

	mu       sync.Mutex
	requests []dashboard.Request
	times    []time.Time
}

func (d *fakeDashboard) Attempt(ctx context.Context, r *dashboard.Request) *dashboard.Result {
	start := time.Now()
	d.mu.Lock()
	d.requests, d.times = append(d.requests, *r), append(d.times, start)
	delay := d.delay
	d.mu.Unlock()
	if err := pause(ctx, delay); err != nil {
		a := &dashboard.Result{Outcome: fault.Left, Start: start, Duration: time.Since(start), MaybeExecuted: true, Err: err}
		if err == context.DeadlineExceeded {
			a.Outcome = fault.Timeout
		}
		return a
	}
	a := ok("{}")
	if d.answer != nil {
		a = d.answer(r)
	}
	a.Start, a.Duration = start, time.Since(start)
	return a
}

// count is how many requests came whose path is one of these; all without any.
func (d *fakeDashboard) count(paths ...string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(paths) == 0 {
		return len(d.requests)
	}
	n := 0
	for _, r := range d.requests {
		for _, p := range paths {
			if r.Path == p {
				n++
			}
		}
	}
	return n
}

func ok(body string) *dashboard.Result {
	return &dashboard.Result{Outcome: fault.OK, Status: 200, Body: []byte(body), MaybeExecuted: true}
}

func status(code int, messages ...string) *dashboard.Result {
	a := &dashboard.Result{Outcome: fault.Refused, Status: code, Messages: messages}
	switch {
	case code == http.StatusTooManyRequests:
		a.Outcome = fault.Limited
	case code == 502, code == 503, code == 504:
		a.Outcome, a.MaybeExecuted = fault.GatewayError, true
	case code >= 500:
		a.Outcome, a.MaybeExecuted = fault.ServerError, true
	}
	return a
}

// testBroker makes a broker on a fake Dashboard, and closes it with the test.
// Inside a bubble, close it by hand.
func testBroker(t testing.TB, d *fakeDashboard, change ...func(*Config)) *Broker {
	t.Helper()
	c := Config{Dashboard: d, Budgets: lane.Config{Scheduler: ratelimit.NewLocal()}, Owners: owner.Config{PrefetchAfter: -1}}
	for _, f := range change {
		f(&c)
	}
	b, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// inBubble runs f with a broker under a clock of its own.
func inBubble(t *testing.T, d *fakeDashboard, f func(t *testing.T, b *Broker), change ...func(*Config)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := testBroker(t, d, change...)
		defer b.Close()
		f(t, b)
		if b.Attempts() != int64(d.count()) {
			t.Errorf("the Dashboard saw %d requests, the broker counts %d", d.count(), b.Attempts())
		}
		if b.Granted() != b.Attempts() {
			t.Errorf("%d slots granted, %d attempts made", b.Granted(), b.Attempts())
		}
	})
}

func operation(id string, verb apiv1.Verb, scope apiv1.Scope) *apiv1.Operation {
	o := &apiv1.Operation{Id: id, Verb: verb, Scope: scope}
	switch verb {
	case apiv1.Verb_VERB_GET:
		o.RetryClass = apiv1.RetryClass_RETRY_CLASS_READ
	case apiv1.Verb_VERB_POST:
		o.RetryClass = apiv1.RetryClass_RETRY_CLASS_UNSAFE
	default:
		o.RetryClass = apiv1.RetryClass_RETRY_CLASS_IDEMPOTENT
	}
	return o
}

var testKey = dashboard.NewKey("0123456789abcdef0123456789abcdef01234567")

// read is a read of an organization's own; each n is another URL.
func read(organization string, n int) *Call {
	return &Call{
		Operation: operation("getOrganizationDevices", apiv1.Verb_VERB_GET, apiv1.Scope_SCOPE_ORGANIZATION),
		Caller:    "a", Priority: ratelimit.Normal, ID: organization, Key: testKey,
		Path: "/organizations/" + organization + "/devices", Query: fmt.Sprint("n=", n),
	}
}

func network(id string, n int) *Call {
	return &Call{
		Operation: operation("getNetworkClients", apiv1.Verb_VERB_GET, apiv1.Scope_SCOPE_NETWORK),
		Caller:    "a", Priority: ratelimit.Normal, ID: id, Key: testKey,
		Path: "/networks/" + id + "/clients", Query: fmt.Sprint("n=", n),
	}
}

func device(serial string, n int) *Call {
	return &Call{
		Operation: operation("getDeviceClients", apiv1.Verb_VERB_GET, apiv1.Scope_SCOPE_DEVICE),
		Caller:    "a", Priority: ratelimit.Normal, ID: serial, Key: testKey,
		Path: "/devices/" + serial + "/clients", Query: fmt.Sprint("n=", n),
	}
}

func write(verb apiv1.Verb, organization string) *Call {
	return &Call{
		Operation: operation("updateOrganization", verb, apiv1.Scope_SCOPE_ORGANIZATION),
		Caller:    "a", Priority: ratelimit.Normal, ID: organization, Key: testKey,
		Path: "/organizations/" + organization, Body: []byte("{}"),
	}
}

// do makes calls at once, each in a goroutine, and gives their faults, nil for none.
func do(t *testing.T, b *Broker, timeout time.Duration, calls ...*Call) []*fault.Error {
	t.Helper()
	out := make([]*fault.Error, len(calls))
	var wg sync.WaitGroup
	for i, c := range calls {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			_, err := b.Do(ctx, c)
			out[i] = fault.As(err)
			if err != nil && out[i] == nil {
				t.Errorf("an error that is no fault: %v", err)
			}
		})
	}
	wg.Wait()
	return out
}

// bucketCheck fails when more left in any window than a bucket allows.
func bucketCheck(t *testing.T, times []time.Time, rate, burst float64) {
	t.Helper()
	tokens, last := burst, time.Time{}
	for i, at := range times {
		if !last.IsZero() {
			tokens = min(burst, tokens+at.Sub(last).Seconds()*rate)
		}
		last = at
		if tokens--; tokens < -1e-6 {
			t.Fatalf("request %d of %d at %v is %.3f tokens too early", i, len(times), at, -tokens)
		}
	}
}
