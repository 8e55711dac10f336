package batch

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/hold"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// theContract is read once.
var theContract = sync.OnceValue(func() *contract.Contract {
	c, err := contract.Load()
	if err != nil {
		panic(err) // it is read once for all tests, so there is none to fail
	}
	return c
})

// A fakeDashboard is what a batch meets: it counts, takes time, and refuses what says
// "wrong". It stands in the place of the broker, so there is no budget.
type fakeDashboard struct {
	latency, takes time.Duration
	// atPost refuses what is wrong when it is posted; unnamed does not say which it was.
	atPost, unnamed bool
	// partial makes a batch that fails keep what it had done before.
	partial bool
	// fate is asked about each call, with how many of its kind came before: whether it is
	// executed, and the fault that its caller sees.
	fate func(operation string, n int) (executed bool, f *fault.Error)
	// held is a caller of whom an operator holds everything; empty for none.
	held string
	// garbled is asked whether an answer is one that nobody can read; nil for none.
	garbled func(operation string, n int) bool

	mu       sync.Mutex
	batches  []*fakeBatch
	calls    map[string]int
	under    int // batches that run
	most     int
	executed map[string]int // by path
	values   map[string]string
	order    []string // paths, as they were written
	created  int
}

type fakeBatch struct {
	id        string
	confirmed bool
	ends      time.Time
	over      bool
	status    map[string]any
	actions   []Action
}

func newFake() *fakeDashboard {
	return &fakeDashboard{latency: 100 * time.Millisecond, takes: 2 * time.Second, calls: make(map[string]int), executed: make(map[string]int), values: make(map[string]string)}
}

func (d *fakeDashboard) SavedByBatch(*broker.Call, int) {}

func (d *fakeDashboard) Placed(_ context.Context, c *broker.Call) (*broker.Call, string, error) {
	// The organization is the first digit of the id: Q1-… and N_1-…
	if c.Operation.GetScope().String() == "SCOPE_ORGANIZATION" {
		return c, c.ID, nil
	}
	_, rest, _ := strings.Cut(c.Path[1:], "/")
	id, _, _ := strings.Cut(rest, "/")
	if strings.Contains(id, "unknown") {
		return nil, "", &fault.Error{Kind: fault.NotFound, Operation: c.Operation.GetId(), HTTPStatus: 404}
	}
	return c, strings.TrimLeft(strings.SplitN(id, "-", 2)[0], "QN_"), nil
}

func (d *fakeDashboard) Do(ctx context.Context, c *broker.Call) (*broker.Answer, error) {
	if ctx.Err() != nil {
		return nil, fault.Ended(c.Operation.GetId(), ctx.Err(), "waiting")
	}
	waited(context.Background(), d.latency)
	d.mu.Lock()
	defer d.mu.Unlock()
	id := c.Operation.GetId()
	n := d.calls[id]
	d.calls[id]++
	one := []fault.Attempt{{Start: time.Now()}}
	executed, sees := true, (*fault.Error)(nil)
	if d.fate != nil {
		executed, sees = d.fate(id, n)
	}
	if d.held != "" && d.held == c.Caller {
		executed, sees = false, &fault.Error{Kind: fault.BudgetExhausted, Reason: hold.Reason, RetryAfter: time.Minute}
	}
	answer := &broker.Answer{Status: 200, Attempts: one}
	var f *fault.Error
	if executed {
		var running *fakeBatch
		answer.Body, running, f = d.perform(c)
		if running != nil { // synchronous
			d.mu.Unlock()
			waited(context.Background(), time.Until(running.ends))
			d.mu.Lock()
			d.settle()
			answer.Body = running.document()
		}
	}
	if sees != nil {
		f = sees
	}
	if d.garbled != nil && d.garbled(id, n) {
		answer.Body = []byte("7")
	}
	if f != nil {
		out := *f
		out.Operation, out.Attempts = id, one
		return nil, &out
	}
	return answer, nil
}

func (d *fakeDashboard) perform(c *broker.Call) (body []byte, running *fakeBatch, f *fault.Error) {
	d.settle()
	id := c.Path[strings.LastIndexByte(c.Path, '/')+1:]
	at := slices.IndexFunc(d.batches, func(b *fakeBatch) bool { return b.id == id })
	switch c.Operation.GetId() {
	case "createOrganizationActionBatch":
		var in struct {
			Confirmed, Synchronous bool
			Actions                []struct {
				Resource, Operation string
				Body                json.RawMessage
			}
		}
		if err := json.Unmarshal(c.Body, &in); err != nil {
			return nil, running, bad(err.Error())
		}
		b := &fakeBatch{id: fmt.Sprint(1000 + d.calls[c.Operation.GetId()]), status: map[string]any{"completed": false, "failed": false}}
		for _, a := range in.Actions {
			b.actions = append(b.actions, Action{a.Resource, a.Operation, a.Body})
			if d.atPost && strings.Contains(string(a.Body), "wrong") {
				return nil, running, bad("Vlan is invalid")
			}
		}
		if in.Confirmed {
			if f := d.start(b); f != nil {
				return nil, running, f
			}
			if in.Synchronous {
				running = b
			}
		}
		d.batches = append(d.batches, b)
		return b.document(), running, nil
	case "getOrganizationActionBatches":
		var all []string
		for _, b := range d.batches {
			all = append(all, string(b.document()))
		}
		return []byte("[" + strings.Join(all, ",") + "]"), running, nil
	case "getOrganizationActionBatch", "updateOrganizationActionBatch", "deleteOrganizationActionBatch":
		if at < 0 {
			return nil, running, &fault.Error{Kind: fault.NotFound, HTTPStatus: 404}
		}
		b := d.batches[at]
		if c.Operation.GetId() == "deleteOrganizationActionBatch" {
			if b.confirmed {
				return nil, running, bad("it has been confirmed")
			}
			d.batches = slices.Delete(d.batches, at, at+1)
			return nil, running, nil
		}
		if strings.Contains(string(c.Body), `"confirmed":true`) && !b.confirmed {
			if f := d.start(b); f != nil {
				return nil, running, f
			}
			if strings.Contains(string(c.Body), `"synchronous":true`) {
				running = b
			}
		}
		return b.document(), running, nil
	}
	if strings.Contains(string(c.Body), "wrong") {
		return nil, running, bad("Vlan is invalid")
	}
	return d.write(Action{c.Path, c.Operation.GetBatchAction().GetOperation(), c.Body}), running, nil
}

func bad(message string) *fault.Error {
	return &fault.Error{Kind: fault.BadRequest, HTTPStatus: http.StatusBadRequest, Messages: []string{message}}
}

func (d *fakeDashboard) start(b *fakeBatch) *fault.Error {
	if d.under >= 5 {
		return &fault.Error{Kind: fault.RateLimited, HTTPStatus: 400, Messages: []string{"Too many concurrently executing batches."}}
	}
	d.under++
	d.most = max(d.most, d.under)
	b.confirmed, b.ends = true, time.Now().Add(d.takes)
	return nil
}

// settle ends the batches whose time has come.
func (d *fakeDashboard) settle() {
	for _, b := range d.batches {
		if !b.confirmed || b.over || time.Now().Before(b.ends) {
			continue
		}
		b.over = true
		d.under--
		makes := b.actions
		if at := slices.IndexFunc(b.actions, func(a Action) bool { return strings.Contains(string(a.Body), "wrong") }); at >= 0 {
			text := "Vlan is invalid"
			if a := b.actions[at]; !d.unnamed {
				text = "Error occurred while executing " + a.Operation + " " + a.Resource + " with " + string(a.Body) + ": " + text
			}
			b.status["failed"], b.status["errors"] = true, []string{text}
			if !d.partial {
				continue
			}
			makes = makes[:at]
		}
		var made []any
		for _, a := range makes {
			out := d.write(a)
			if a.Operation == actionCreate {
				id := idIn(out)
				made = append(made, map[string]any{"id": id, "uri": a.Resource + "/" + id})
			}
		}
		b.status["completed"], b.status["createdResources"] = b.status["failed"] == false, made
	}
}

func (d *fakeDashboard) write(a Action) []byte {
	d.executed[a.Resource]++
	d.values[a.Resource] = string(a.Body)
	d.order = append(d.order, a.Resource)
	if a.Operation == actionCreate {
		d.created++
		return fmt.Appendf(nil, `{"id":"%d"}`, d.created)
	}
	return []byte(`{}`)
}

func (b *fakeBatch) document() []byte {
	actions := make([]any, len(b.actions))
	for i, a := range b.actions {
		if a.Body == nil {
			a.Body = []byte("null")
		}
		actions[i] = map[string]any{"resource": a.Resource, "operation": a.Operation, "body": json.RawMessage(a.Body)}
	}
	out, err := json.Marshal(map[string]any{"id": b.id, "confirmed": b.confirmed, "status": maps.Clone(b.status), "actions": actions})
	if err != nil {
		panic(err) // maps and texts always become JSON
	}
	return out
}

// requests is how many calls were made, of all kinds.
func (d *fakeDashboard) requests() (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, calls := range d.calls {
		n += calls
	}
	return n
}

var testKey = dashboard.NewKey("secret")

func call(operation, path, body string) *broker.Call {
	op := theContract().Operation(operation).Operation
	c := &broker.Call{Operation: op, Path: path, Caller: "me", Key: testKey}
	if body != "" {
		c.Body = []byte(body)
	}
	_, rest, _ := strings.Cut(path[1:], "/")
	c.ID, _, _ = strings.Cut(rest, "/")
	return c
}

// portWrites are updates of so many switch ports in an organization; those whose number
// wrong says are.
func portWrites(organization string, n int, wrong func(i int) bool) []Write {
	all := make([]Write, n)
	for i := range all {
		body := fmt.Sprintf(`{"vlan":%d}`, i)
		if wrong != nil && wrong(i) {
			body = fmt.Sprintf(`{"vlan":%d,"name":"wrong"}`, i)
		}
		all[i] = Write{ID: fmt.Sprint(i), Call: call("updateDeviceSwitchPort", fmt.Sprintf("/devices/Q%s-%d/switch/ports/%d", organization, i/48, i%48), body)}
	}
	return all
}

func build(t *testing.T, d Dashboard, places int) *Batches {
	t.Helper()
	b, err := New(Config{Contract: theContract(), Dashboard: d, Places: places})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// apply makes a list and gives what became of each, by id; each has to come once.
func apply(t *testing.T, b *Batches, ctx context.Context, r Request) map[string]Result {
	t.Helper()
	out := make(map[string]Result)
	if r.Caller == "" {
		r.Caller = "me"
	}
	err := b.Apply(ctx, context.Background(), r, func(results []Result) error {
		for _, x := range results {
			id := r.Writes[x.Index].ID
			if _, twice := out[id]; twice {
				t.Errorf("%s has two results", id)
			}
			out[id] = x
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) != len(r.Writes) {
		t.Errorf("%d results for %d writes", len(out), len(r.Writes))
	}
	return out
}
