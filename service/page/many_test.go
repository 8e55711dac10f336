package page

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
)

// many is a broker of 10,000 organizations and as many callers, all of whom wait, while
// the Dashboard answers nobody well.
type many struct{ fake }

const manyOf = 10_000

func (m *many) Describe() *brokerv1.BrokerDescription {
	d := m.fake.Describe()
	for i := range 100 {
		d.UnderWay = append(d.UnderWay, &brokerv1.Attempt{StartTime: d.GetStartTime(), Operation: "getNetwork", OrganizationId: fmt.Sprint(i), Caller: manyCaller(i)})
		d.Watches = append(d.Watches, &brokerv1.WatchState{Operation: "getNetwork", Callers: []string{manyCaller(i)}, Watches: 4, Age: durationpb.New(time.Minute)})
		d.Batches = append(d.Batches, &brokerv1.BatchState{OrganizationId: fmt.Sprint(i), Callers: []string{manyCaller(i)}})
		d.Holds = append(d.Holds, &brokerv1.HoldState{Scope: 1, Name: manyCaller(i), EndTime: d.GetStartTime()})
	}
	return d
}

func manyCaller(i int) string { return fmt.Sprint("spiffe://mesh.example/ns/shop/sa/caller-", i) }

func (m *many) Budgets() []*brokerv1.Budget {
	all := make([]*brokerv1.Budget, manyOf)
	for i := range all {
		all[i] = &brokerv1.Budget{OrganizationId: fmt.Sprint(1_000_000 + i), Rate: 7, Ceiling: 10, Attempts: int64(i), Waiting: 1,
			Classes: []*brokerv1.ClassState{{Priority: "bulk", Caller: manyCaller(i), Waiting: 1, Oldest: durationpb.New(time.Duration(i) * time.Second)}}}
	}
	return all
}

func (m *many) Health() *brokerv1.UpstreamHealth {
	h := m.fake.Health()
	for i := range manyOf {
		h.Organizations = append(h.Organizations, &brokerv1.OrganizationHealth{OrganizationId: fmt.Sprint(1_000_000 + i), Windows: h.GetOverall()})
	}
	return h
}

func (m *many) Drift() []*brokerv1.Drift {
	all := make([]*brokerv1.Drift, 4096)
	for i := range all {
		all[i] = &brokerv1.Drift{Operation: "getNetwork", Path: fmt.Sprint("field", i), Count: 1, LastTime: timestamppb.Now()}
	}
	return all
}

// TestManyOfEverything: the page stays small, and says what it leaves out.
func TestManyOfEverything(t *testing.T) {
	f := new(many)
	p := New(f, slog.New(slog.DiscardHandler))
	l := p.look()
	size := 0
	for name, part := range l.parts {
		rows := strings.Count(string(part), "<tr")
		size += len(part)
		// A head, an address, an overall window, others and all together stand beside them.
		if most := map[string]int{"holds": 101}[name]; rows > max(most, mostRows+4) {
			t.Errorf("%s has %d rows", name, rows)
		}
	}
	if size > 150_000 {
		t.Errorf("%d bytes", size)
	}
	for part, says := range map[string]string{
		"health": "And 9951 more organizations, in the JSON", "budgets": "And 9950 more, in the JSON", "waiting": "And 9950 more, in the JSON",
		"underway": "The 50 oldest are shown", "watches": "The 50 most watched are shown", "batches": "The first 50 are shown", "drift": "And 4046 more, in the JSON",
	} {
		if !strings.Contains(string(l.parts[part]), says) {
			t.Errorf("%s does not say %q", part, says)
		}
	}
}

// BenchmarkMany is what one look costs, beside what the broker itself adds up.
func BenchmarkMany(b *testing.B) {
	f := new(many)
	p := New(f, slog.New(slog.DiscardHandler))
	s := newSums(time.Now(), f, nil)
	budgets := f.Budgets()
	b.ReportAllocs()
	for b.Loop() {
		newLook(time.Now(), &given{f, budgets}, s).render(p.pages, p.log)
	}
}

// given has its budgets at hand.
type given struct {
	Source
	budgets []*brokerv1.Budget
}

func (g *given) Budgets() []*brokerv1.Budget { return g.budgets }
