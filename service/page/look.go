package page

import (
	"bytes"
	"cmp"
	"html/template"
	"log/slog"
	"slices"
	"time"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
)

// The most rows of each table; the JSON has more.
const (
	mostRows     = 50
	mostFailures = 30
)

// A look is what there was to see at one moment.
type look struct {
	*sums
	Now     time.Time
	Broker  *brokerv1.BrokerDescription
	Budgets []*brokerv1.Budget

	// Rows are the organizations, those with the most to look at first; More is how many
	// are left out. Address is the egress address.
	Address *budgetRow
	Rows    []budgetRow
	More    int
	// Unwell are organizations to which the Dashboard has not been answering well of late,
	// those with the most requests first.
	Unwell     []unwellRow
	MoreUnwell int
	// Waiting are those who wait, the longest first.
	Waiting     []waitingRow
	MoreWaiting int

	// parts are the live parts of the page, rendered.
	parts map[string]template.HTML
}

// sums are what is not looked at each time, since it takes more.
type sums struct {
	at       time.Time
	Health   *brokerv1.UpstreamHealth
	Failures []*brokerv1.Attempt
	Drift    []*brokerv1.Drift
	Usage    *brokerv1.GetUsageResponse
}

// newSums gives those of the look before where they are new enough.
func newSums(now time.Time, s Source, before *look) *sums {
	if before != nil && now.Sub(before.at) < sumAgain {
		return before.sums
	}
	out := &sums{at: now, Health: s.Health(), Failures: s.Failures(mostFailures), Drift: s.Drift(), Usage: s.Usage(mostRows)}
	slices.SortStableFunc(out.Drift, func(a, b *brokerv1.Drift) int { return -cmp.Compare(a.GetCount(), b.GetCount()) })
	return out
}

// A budgetRow is an organization, or the egress address.
type budgetRow struct {
	*brokerv1.Budget
	// Used is what was spent of late, requests a second.
	Used float64
	Plot plot
	// ByPriority are the waiting calls: critical, normal, bulk.
	ByPriority [3]int32
	Oldest     time.Duration
	Held       bool
}

// A waitingRow is the calls of one caller for one organization.
// An unwellRow is the newest window of an organization.
type unwellRow struct {
	Organization string
	*brokerv1.HealthWindow
}

type waitingRow struct {
	Organization string
	*brokerv1.ClassState
}

func newLook(now time.Time, s Source, summed *sums) *look {
	l := &look{sums: summed, Now: now, Broker: s.Describe(), Budgets: s.Budgets()}
	for _, o := range l.Health.GetOrganizations() {
		if w := o.GetWindows(); len(w) > 0 && w[0].GetVerdict() > brokerv1.HealthVerdict_HEALTH_VERDICT_TOO_FEW {
			l.Unwell = append(l.Unwell, unwellRow{o.GetOrganizationId(), w[0]})
		}
	}
	slices.SortStableFunc(l.Unwell, func(a, b unwellRow) int { return -cmp.Compare(a.GetAttempts(), b.GetAttempts()) })
	if n := len(l.Unwell); n > mostRows {
		l.Unwell, l.MoreUnwell = l.Unwell[:mostRows], n-mostRows
	}
	held := make(map[string]bool)
	for _, h := range l.Broker.GetHolds() {
		if h.GetScope() == brokerv1.HoldScope_HOLD_SCOPE_ORGANIZATION_BULK {
			held[h.GetName()] = true
		}
	}
	budgets := slices.Clone(l.Budgets)
	slices.SortStableFunc(budgets, func(a, b *brokerv1.Budget) int {
		return cmp.Or(-cmp.Compare(a.GetWaiting(), b.GetWaiting()), -cmp.Compare(a.GetAttempts(), b.GetAttempts()))
	})
	for _, b := range budgets {
		for _, c := range b.GetClasses() {
			l.Waiting = append(l.Waiting, waitingRow{b.GetOrganizationId(), c})
		}
		switch {
		case b.GetOrganizationId() == "":
			row := newBudgetRow(b, s.Recent(""))
			l.Address = &row
		case len(l.Rows) == mostRows:
			l.More++
		default:
			row := newBudgetRow(b, s.Recent(b.GetOrganizationId()))
			row.Held = held[b.GetOrganizationId()]
			l.Rows = append(l.Rows, row)
		}
	}
	slices.SortStableFunc(l.Waiting, func(a, b waitingRow) int {
		return -cmp.Compare(a.GetOldest().AsDuration(), b.GetOldest().AsDuration())
	})
	if n := len(l.Waiting); n > mostRows {
		l.Waiting, l.MoreWaiting = l.Waiting[:mostRows], n-mostRows
	}
	return l
}

func newBudgetRow(b *brokerv1.Budget, recent []int64) budgetRow {
	row := budgetRow{Budget: b, Plot: newPlot(recent, b.GetCeiling())}
	if n := len(recent); n > 0 {
		row.Used = float64(recent[n-1]) / slotSeconds
	}
	for _, c := range b.GetClasses() {
		row.Oldest = max(row.Oldest, c.GetOldest().AsDuration())
		for i, name := range [...]string{"critical", "normal", "bulk"} {
			if c.GetPriority() == name {
				row.ByPriority[i] += c.GetWaiting()
			}
		}
	}
	return row
}

// partNames are the live parts, in the order of the page.
var partNames = [...]string{"broker", "health", "holds", "budgets", "waiting", "usage", "underway", "failures", "watches", "batches", "drift"}

// render renders the live parts once for all who read.
func (l *look) render(pages *template.Template, log *slog.Logger) {
	l.parts = make(map[string]template.HTML, len(partNames))
	for _, name := range partNames {
		var out bytes.Buffer
		if err := pages.ExecuteTemplate(&out, name, l); err != nil {
			log.Error("a part of the page cannot be rendered", "part", name, "error", err)
		}
		l.parts[name] = template.HTML(visible(out.String()))
	}
}

// Part is a live part, for the whole page.
func (l *look) Part(name string) template.HTML { return l.parts[name] }
