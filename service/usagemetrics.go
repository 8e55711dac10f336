package service

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/merakibroker/merakibroker/service/lane"
	"github.com/merakibroker/merakibroker/service/usage"
)

// usageCollector shows who spends what, for the callers and organizations that have
// meters, and the budgets of those organizations.
type usageCollector struct {
	of atomic.Pointer[usageSource]

	callers, organizations        []*prometheus.Desc
	rate, tokens, waiting, halted *prometheus.Desc
}

// usageSource is whose usage and budgets are shown.
type usageSource struct {
	usage  *usage.Usage
	budget func(organization string) lane.BudgetState
}

// meteredFigures are the figures of a meter that are shown.
var meteredFigures = []struct {
	name, help string
	of         func(*usage.Figures) float64
}{
	{"requests", "Calls that reached the budgets", func(f *usage.Figures) float64 { return float64(f[usage.Requests]) }},
	{"attempts", "HTTP requests sent to the Dashboard", func(f *usage.Figures) float64 { return float64(f[usage.Attempts]) }},
	{"rate_limited", "Attempts answered with 429", func(f *usage.Figures) float64 { return float64(f[usage.RateLimited]) }},
	{"refusals", "Calls refused before anything was sent for them", func(f *usage.Figures) float64 { return float64(f[usage.Refusals]) }},
	{"wait_seconds", "Time spent waiting for slots", func(f *usage.Figures) float64 { return float64(f[usage.WaitMicroseconds]) / 1e6 }},
	{"saved_requests", "Requests that were not needed: shared, cached, batched, watched", func(f *usage.Figures) float64 {
		return float64(f[usage.SharedReads] + f[usage.CachedReads] + f[usage.BatchedWrites] + f[usage.WatchedReads])
	}},
}

func newUsageCollector() *usageCollector {
	c := new(usageCollector)
	gauge := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("merakibroker_budget_"+name, help+", by organization; the egress address has none.", []string{"organization"}, nil)
	}
	for _, f := range meteredFigures {
		c.callers = append(c.callers, prometheus.NewDesc("merakibroker_caller_"+f.name+"_total", f.help+", by caller.", []string{"caller"}, nil))
		c.organizations = append(c.organizations, prometheus.NewDesc("merakibroker_organization_"+f.name+"_total", f.help+", by organization.", []string{"organization"}, nil))
	}
	c.rate = gauge("rate", "Requests a second that a budget gives at this moment, after what 429s taught")
	c.tokens = gauge("tokens", "Slots of a budget that are ready")
	c.waiting = gauge("waiting", "Calls that wait for a slot of a budget at this replica")
	c.halted = gauge("stopped", "1 while a 429 holds a budget")
	return c
}

// Describe makes it a prometheus.Collector.
func (c *usageCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range append(append([]*prometheus.Desc{c.rate, c.tokens, c.waiting, c.halted}, c.callers...), c.organizations...) {
		to <- d
	}
}

// Collect makes it a prometheus.Collector.
func (c *usageCollector) Collect(to chan<- prometheus.Metric) {
	source := c.of.Load()
	if source == nil {
		return
	}
	show := func(all []usage.Metered, as []*prometheus.Desc) {
		for i := range all {
			for j, f := range meteredFigures {
				to <- prometheus.MustNewConstMetric(as[j], prometheus.CounterValue, f.of(&all[i].Figures), all[i].Name)
			}
		}
	}
	show(source.usage.Meters(usage.ByCaller), c.callers)
	organizations := source.usage.Meters(usage.ByOrganization)
	show(organizations, c.organizations)
	c.show(to, source.budget(""))
	for _, o := range organizations {
		if o.Name != usage.OtherName {
			c.show(to, source.budget(o.Name))
		}
	}
}

// show shows one budget.
func (c *usageCollector) show(to chan<- prometheus.Metric, b lane.BudgetState) {
	stopped := 0.0
	if time.Now().Before(b.StoppedUntil) {
		stopped = 1
	}
	for desc, v := range map[*prometheus.Desc]float64{c.rate: b.Rate, c.tokens: b.Tokens, c.waiting: float64(b.Waiting), c.halted: stopped} {
		to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v, b.Organization)
	}
}
