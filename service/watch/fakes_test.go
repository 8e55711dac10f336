package watch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/hold"
	"github.com/merakibroker/merakibroker/service/lane"
	"github.com/merakibroker/merakibroker/service/owner"
	"github.com/merakibroker/merakibroker/service/usage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A fakeDashboard has one list of rows, which it gives in pages, and remembers who asked
// when.
type fakeDashboard struct {
	delay   time.Duration
	perPage int

	mu     sync.Mutex
	rows   []string
	status int // 200 when 0
	asked  []time.Time
	by     []string // whose brokers asked
}

// set changes the list.
func (d *fakeDashboard) set(rows ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rows = rows
}

// fails makes every answer this status; 0 makes them well again.
func (d *fakeDashboard) fails(status int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.status = status
}

// polls is when the first page was asked for.
func (d *fakeDashboard) polls() []time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.asked)
}

// A gate is the dashboard as one replica reaches it.
type gate struct {
	of   *fakeDashboard
	name string
}

func (g gate) Attempt(ctx context.Context, r *dashboard.Request) *dashboard.Result {
	d := g.of
	a := &dashboard.Result{Start: time.Now(), Outcome: fault.OK, Status: 200, MaybeExecuted: true}
	d.mu.Lock()
	if !strings.Contains(r.Query, "after=") && r.Method == "GET" {
		d.asked, d.by = append(d.asked, a.Start), append(d.by, g.name)
	}
	rows, status := d.rows, d.status
	d.mu.Unlock()
	select {
	case <-time.After(d.delay):
	case <-ctx.Done():
		a.Outcome, a.Status, a.Err = fault.Left, 0, ctx.Err()
		return a
	}
	a.Duration = time.Since(a.Start)
	switch {
	case status >= 500:
		a.Outcome, a.Status = fault.GatewayError, status
		return a
	case status > 0:
		a.Outcome, a.Status = fault.Refused, status
		return a
	case r.Method != "GET":
		a.Body = []byte("{}")
		return a
	}
	from := 0
	if _, after, ok := strings.Cut(r.Query, "after="); ok {
		_, _ = fmt.Sscan(after, &from)
	}
	to := len(rows)
	if d.perPage > 0 && from+d.perPage < len(rows) {
		to = from + d.perPage
		a.Next = &dashboard.Link{Path: r.Path, Query: fmt.Sprint("after=", to)}
	}
	a.Body = []byte("[" + strings.Join(rows[from:to], ",") + "]")
	return a
}

// A memory is a store that several replicas share, on the clock of the test.
type memory struct {
	mu     sync.Mutex
	gone   bool
	values map[string]memoryValue
	trips  int
}

type memoryValue struct {
	value   []byte
	expires time.Time
}

var errGone = errors.New("the store is gone")

// lose takes the store away, or brings it back.
func (m *memory) lose(gone bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gone = gone
}

func (m *memory) do(key string, f func(there []byte)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.trips++
	if m.gone {
		return errGone
	}
	if m.values == nil {
		m.values = make(map[string]memoryValue)
	}
	v := m.values[key]
	if !time.Now().Before(v.expires) {
		delete(m.values, key)
		v.value = nil
	}
	f(v.value)
	return nil
}

func (m *memory) Get(_ context.Context, key string) (value []byte, err error) {
	err = m.do(key, func(there []byte) { value = there })
	return value, err
}

func (m *memory) Set(_ context.Context, key string, value []byte, expiry time.Duration) error {
	return m.do(key, func([]byte) { m.values[key] = memoryValue{value, time.Now().Add(expiry)} })
}

func (m *memory) SetNew(_ context.Context, key string, value []byte, expiry time.Duration) (set bool, err error) {
	err = m.do(key, func(there []byte) {
		if set = there == nil; set {
			m.values[key] = memoryValue{value, time.Now().Add(expiry)}
		}
	})
	return set, err
}

// counts are what the observer was told.
type counts struct {
	mu                     sync.Mutex
	watching, polls, saved int
	results                map[string]int
}

func (c *counts) Watching(n int) { c.mu.Lock(); c.watching += n; c.mu.Unlock() }
func (c *counts) Saved(n int)    { c.mu.Lock(); c.saved += n; c.mu.Unlock() }
func (c *counts) Polled(_, result string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.results == nil {
		c.results = make(map[string]int)
	}
	c.polls++
	c.results[result]++
}

// A replica is a broker with its watches.
type replica struct {
	broker *broker.Broker
	*Watches
	counts *counts
}

func (r *replica) close() {
	r.Close()
	r.broker.Close()
}

func newReplica(t *testing.T, d *fakeDashboard, name string, shared Shared, change ...func(*Config)) *replica {
	t.Helper()
	return newReplicaAt(t, gate{d, name}, shared, nil, change...)
}

// newReplicaAt is a replica with a way to the dashboard, and holds, of its own.
func newReplicaAt(t *testing.T, to broker.Dashboard, shared Shared, holds *hold.Holds, change ...func(*Config)) *replica {
	t.Helper()
	b, err := broker.New(broker.Config{
		Dashboard: to, Holds: holds, Budgets: lane.Config{Scheduler: ratelimit.NewLocal()}, Owners: owner.Config{PrefetchAfter: -1},
		Usage: usage.New(usage.Config{}),
	})
	if err != nil {
		t.Fatal(err)
	}
	r := &replica{broker: b, counts: new(counts)}
	c := Config{Broker: b, Shared: shared, Observer: r.counts}
	for _, f := range change {
		f(&c)
	}
	if r.Watches, err = New(c); err != nil {
		t.Fatal(err)
	}
	return r
}

// bubble runs f with replicas of one store under a clock of their own; a nil store for
// replicas that know nothing of each other.
func bubble(t *testing.T, d *fakeDashboard, store *memory, replicas int, f func(t *testing.T, all []*replica), change ...func(*Config)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		all := make([]*replica, replicas)
		for i := range all {
			var shared Shared
			if store != nil {
				shared = store
			}
			all[i] = newReplica(t, d, fmt.Sprint(i), shared, change...)
			defer all[i].close()
		}
		f(t, all)
	})
}

var devices = &apiv1.Operation{
	Id: "getOrganizationDevices", Verb: apiv1.Verb_VERB_GET, Scope: apiv1.Scope_SCOPE_ORGANIZATION,
	Path: "/organizations/{organizationId}/devices", RetryClass: apiv1.RetryClass_RETRY_CLASS_READ,
	Paging: &apiv1.Paging{Style: apiv1.PagingStyle_PAGING_STYLE_LINK},
	RowKey: &apiv1.RowKey{Properties: []string{"serial"}},
}

var testKey = dashboard.NewKey("0123456789abcdef0123456789abcdef01234567")

// devicesCall is a read of an organization's devices.
func devicesCall(caller, organization string) *broker.Call {
	return &broker.Call{
		Operation: devices, Caller: caller, Priority: ratelimit.Normal, ID: organization, Key: testKey,
		Path: "/organizations/" + organization + "/devices",
	}
}

// watching is a request to watch the devices of organization 1.
func watching(caller string, age time.Duration) Request {
	return Request{Operation: devices, Age: age, Ask: func(context.Context) (*broker.Call, error) { return devicesCall(caller, "1"), nil }}
}

// readsOf asks for the devices of an organization.
func readsOf(organization string) func(context.Context) (*broker.Call, error) {
	return func(context.Context) (*broker.Call, error) { return devicesCall("c", organization), nil }
}

// A reader is a watcher with what it has made of what it was sent.
type reader struct {
	*Watcher
	mu   sync.Mutex
	rows map[string]string // by serial
	sent
	done chan struct{}
}

// sent is what a reader was sent.
type sent struct {
	updates, wholes, troubles int
	seen                      []string // each version of each row
	err                       error
}

// got is what the reader was sent until now.
func (r *reader) got() sent {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.sent
	out.seen = slices.Clone(r.seen)
	return out
}

// follow opens a watch and reads it until the end.
func follow(t *testing.T, r *replica, q Request) *reader {
	t.Helper()
	return followUntil(t, t.Context(), r, q)
}

// followUntil opens a watch and reads it until ctx ends.
func followUntil(t *testing.T, ctx context.Context, r *replica, q Request) *reader {
	t.Helper()
	w, err := r.Open(ctx, q)
	if err != nil {
		t.Fatal(err)
	}
	out := &reader{Watcher: w, done: make(chan struct{})}
	go func() {
		defer close(out.done)
		defer w.Close()
		for {
			u, err := w.Next(ctx)
			if err != nil {
				out.mu.Lock()
				out.err = err
				out.mu.Unlock()
				return
			}
			out.apply(t, u)
		}
	}()
	return out
}

// apply does what a client does with an update.
func (r *reader) apply(t *testing.T, u *Update) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.updates++
	if u.Trouble != nil {
		r.troubles++
	}
	for p := range u.Parts(1 << 20) {
		if p.Whole {
			r.rows = make(map[string]string)
			r.wholes++
		}
		for serial, text := range rowsOf(t, p.Changed) {
			r.rows[serial] = text
			r.seen = append(r.seen, text)
		}
		for serial, text := range rowsOf(t, p.Removed) {
			if r.rows[serial] != text {
				t.Errorf("removed %s, and the reader had %q", text, r.rows[serial])
			}
			delete(r.rows, serial)
		}
	}
}

// has is what the reader holds, in order.
func (r *reader) has() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(slices.Sorted(maps.Values(r.rows)), ",")
}

// ended is how the watch ended; nil while it goes on.
func (r *reader) ended() *fault.Error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fault.As(r.err)
}

func rowsOf(t *testing.T, document []byte) map[string]string {
	t.Helper()
	if document == nil {
		return nil
	}
	var rows []json.RawMessage
	if err := json.Unmarshal(document, &rows); err != nil {
		t.Errorf("%v in %s", err, document)
	}
	out := make(map[string]string)
	for _, row := range rows {
		var v struct{ Serial string }
		_ = json.Unmarshal(row, &v)
		out[v.Serial] = string(row)
	}
	return out
}

// device is a row.
func device(serial int, name string) string {
	return fmt.Sprintf(`{"serial":"Q%d","name":%q}`, serial, name)
}

func fleet(n int, name string) []string {
	rows := make([]string, n)
	for i := range rows {
		rows[i] = device(i, name)
	}
	return rows
}
