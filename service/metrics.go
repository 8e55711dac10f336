package service

import (
	"maps"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/transcode"
)

// Metrics are what Prometheus reads. Labels are operation ids, codes, outcomes,
// kinds of budget and priorities, never filled paths; callers and organizations, whose
// number nobody bounds, are those few that usage has meters for. Of what has the operation as a label there are at most so many series;
// further ones are counted together, as operation "other". One replica stays below 5,000
// series and 1 MB a scrape, whatever is called.
type Metrics struct {
	registry *prometheus.Registry

	calls       *series[callLabels, prometheus.Counter]
	callTime    *series[string, prometheus.Observer]
	attempts    *series[attemptLabels, prometheus.Counter]
	attemptTime prometheus.Histogram
	queueTime   *series[laneLabels, prometheus.Observer]
	waiting     *series[laneLabels, prometheus.Gauge]
	verdicts    *series[verdictLabels, prometheus.Counter]
	reuse       *series[string, prometheus.Counter]
	// These are not for every call.
	refusals *prometheus.CounterVec
	lookups  *prometheus.CounterVec
	drifts   *series[driftLabels, prometheus.Counter]
	watches  prometheus.Gauge
	polls    *series[pollLabels, prometheus.Counter]
	saved    prometheus.Counter
	// Of the REST face, where the answers are HTTP's.
	requests    *series[requestLabels, prometheus.Counter]
	requestTime prometheus.Histogram

	batching     prometheus.Gauge
	batches      *prometheus.CounterVec
	batchActions prometheus.Histogram
	batchSaved   prometheus.Counter

	usage *usageCollector
}

// What the labels of a series are made of.
type (
	callLabels struct {
		operation string
		code      string
	}
	attemptLabels struct {
		operation string
		outcome   fault.Outcome
	}
	laneLabels struct {
		budget   string
		priority ratelimit.Priority
	}
	verdictLabels struct{ operation, verdict string }
	driftLabels   struct {
		operation string
		kind      transcode.Drift
	}
	pollLabels    struct{ operation, result string }
	requestLabels struct {
		status int
		reason string
	}
)

// otherOperation stands for the operations that have no series of their own.
const otherOperation = "other"

// The most series of the metrics that have the operation as a label. The contract has
// 992 operations, and hardly a company calls half of them.
const (
	mostCalls    = 1000
	mostAttempts = 1000
	mostVerdicts = 800
	mostDrifts   = 250
	mostPolls    = 200
)

// waits spans from a slot that was there to the default deadline.
var waits = []float64{.001, .005, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30, 60}

// NewMetrics makes a registry of its own, with the process's and Go's figures in it.
func NewMetrics() *Metrics {
	calls := counters("merakibroker_calls_total", "Calls answered, by operation and gRPC code.", "operation", "code")
	callTime := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "merakibroker_call_seconds", Help: "Time from a unary call's arrival to its answer, by service; streams last as long as their clients like.", Buckets: waits,
	}, []string{"service"})
	attempts := counters("merakibroker_attempts_total", "HTTP requests sent to the Dashboard, by operation and outcome.", "operation", "outcome")
	queueTime := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "merakibroker_queue_seconds", Help: "Time that an attempt waited for its slot.", Buckets: waits,
	}, []string{"budget", "priority"})
	waiting := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "merakibroker_waiting_calls", Help: "Calls that wait for a slot at this replica.",
	}, []string{"budget", "priority"})
	verdicts := counters("merakibroker_verdicts_total", "What was decided after an attempt: done, again, give up.", "operation", "verdict")
	drifts := counters("merakibroker_drift_total", "Fields of answers that did not fit the contract, by operation and kind.", "operation", "kind")
	polls := counters("merakibroker_watch_polls_total", "Polls made for watches, by operation and result.", "operation", "result")
	reuse := counters("merakibroker_reads_total", "Reads by where the answer came from: miss, coalesced, hit.", "cache")
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		calls: newSeries(func(l callLabels) prometheus.Counter {
			return calls.WithLabelValues(l.operation, l.code)
		}).bound(mostCalls, func(l callLabels) callLabels { l.operation = otherOperation; return l }),
		callTime: newSeries(func(service string) prometheus.Observer { return callTime.WithLabelValues(service) }),
		attempts: newSeries(func(l attemptLabels) prometheus.Counter {
			return attempts.WithLabelValues(l.operation, l.outcome.String())
		}).bound(mostAttempts, func(l attemptLabels) attemptLabels { l.operation = otherOperation; return l }),
		attemptTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "merakibroker_attempt_seconds", Help: "Time that the Dashboard took for one HTTP request.", Buckets: waits,
		}),
		queueTime: newSeries(func(l laneLabels) prometheus.Observer {
			return queueTime.WithLabelValues(l.budget, l.priority.String())
		}),
		waiting: newSeries(func(l laneLabels) prometheus.Gauge {
			return waiting.WithLabelValues(l.budget, l.priority.String())
		}),
		verdicts: newSeries(func(l verdictLabels) prometheus.Counter {
			return verdicts.WithLabelValues(l.operation, l.verdict)
		}).bound(mostVerdicts, func(l verdictLabels) verdictLabels { l.operation = otherOperation; return l }),
		drifts: newSeries(func(l driftLabels) prometheus.Counter {
			return drifts.WithLabelValues(l.operation, l.kind.String())
		}).bound(mostDrifts, func(l driftLabels) driftLabels { l.operation = otherOperation; return l }),
		polls: newSeries(func(l pollLabels) prometheus.Counter {
			return polls.WithLabelValues(l.operation, l.result)
		}).bound(mostPolls, func(l pollLabels) pollLabels { l.operation = otherOperation; return l }),
		reuse:    newSeries(func(cache string) prometheus.Counter { return reuse.WithLabelValues(cache) }),
		refusals: counters("merakibroker_refusals_total", "Calls refused before anything was sent.", "budget", "priority", "why"),
		lookups:  counters("merakibroker_lookups_total", "Look-ups of the organization that owns a network or device.", "kind", "result"),
	}
	m.watches = prometheus.NewGauge(prometheus.GaugeOpts{Name: "merakibroker_watches", Help: "Watches under way at this replica."})
	m.saved = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "merakibroker_watch_saved_requests_total", Help: "Requests that watchers would have made, each for itself, less those that were made.",
	})
	requests := counters("merakibroker_rest_requests_total", "Requests answered over REST, by status and reason; no reason for what succeeded.", "status", "reason")
	m.requests = newSeries(func(l requestLabels) prometheus.Counter {
		return requests.WithLabelValues(strconv.Itoa(l.status), l.reason)
	})
	m.requestTime = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "merakibroker_rest_request_seconds", Help: "Time from a request's arrival over REST to its answer.", Buckets: waits,
	})
	m.batching = prometheus.NewGauge(prometheus.GaugeOpts{Name: "merakibroker_batches", Help: "Action batches under way for lists of writes at this replica."})
	m.batches = counters("merakibroker_batches_total", "Action batches for lists of writes, by outcome.", "outcome")
	m.batchActions = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "merakibroker_batch_actions", Help: "Actions of the action batches for lists of writes.", Buckets: []float64{2, 5, 10, 20, 50, 99, 100},
	})
	m.batchSaved = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "merakibroker_batch_saved_requests_total", Help: "Requests that the writes done in action batches would have taken alone, less those that were made for batches.",
	})
	m.usage = newUsageCollector()
	m.registry.MustRegister(m.usage, m.batching, m.batches, m.batchActions, m.batchSaved, requests, m.requestTime, m.watches, polls, m.saved, calls, callTime, attempts, m.attemptTime, queueTime, waiting,
		verdicts, m.refusals, reuse, m.lookups, drifts,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Registry takes further collectors, such as gRPC's own.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

// call counts a call that was answered; service is empty for what has no time of its own.
func (m *Metrics) call(operation, code, service string, took time.Duration) {
	m.calls.of(callLabels{operation, code}).Inc()
	if service != "" {
		m.callTime.of(service).Observe(took.Seconds())
	}
}

func (m *Metrics) drift(operation string, kind transcode.Drift) {
	m.drifts.of(driftLabels{operation, kind}).Inc()
}

// The methods below make Metrics a broker.Observer.

// Attempted counts one HTTP request.
func (m *Metrics) Attempted(operation string, outcome fault.Outcome, _ int, took time.Duration) {
	m.attempts.of(attemptLabels{operation, outcome}).Inc()
	m.attemptTime.Observe(took.Seconds())
}

// Waited notes how long an attempt waited for its slot.
func (m *Metrics) Waited(budget string, p ratelimit.Priority, wait time.Duration) {
	m.queueTime.of(laneLabels{budget, p}).Observe(wait.Seconds())
}

// Queued changes the number of calls that wait.
func (m *Metrics) Queued(budget string, p ratelimit.Priority, change int) {
	m.waiting.of(laneLabels{budget, p}).Add(float64(change))
}

// Judged counts the verdict on an attempt.
func (m *Metrics) Judged(operation, verdict string) {
	m.verdicts.of(verdictLabels{operation, verdict}).Inc()
}

// Refused counts a call refused before anything was sent.
func (m *Metrics) Refused(budget string, p ratelimit.Priority, why string) {
	m.refusals.WithLabelValues(budget, p.String(), why).Inc()
}

// Cached counts a read by where its answer came from.
func (m *Metrics) Cached(result string) { m.reuse.of(result).Inc() }

// LookedUp counts a look-up of an owner.
func (m *Metrics) LookedUp(kind, result string) { m.lookups.WithLabelValues(kind, result).Inc() }

// Watching changes the number of watches under way. With the two below it makes Metrics
// a watch.Observer.
func (m *Metrics) Watching(change int) { m.watches.Add(float64(change)) }

// Polled counts a poll.
func (m *Metrics) Polled(operation, result string) {
	m.polls.of(pollLabels{operation, result}).Inc()
}

// Requested counts a request over REST that was answered; reason is empty for what
// succeeded.
func (m *Metrics) Requested(status int, reason string, took time.Duration) {
	m.requests.of(requestLabels{status, reason}).Inc()
	m.requestTime.Observe(took.Seconds())
}

// Saved counts requests that were not needed.
func (m *Metrics) Saved(requests int) { m.saved.Add(float64(requests)) }

// Batching changes the number of action batches under way. With the two below it makes
// Metrics a batch.Observer.
func (m *Metrics) Batching(change int) { m.batching.Add(float64(change)) }

// Batched counts an action batch that has ended.
func (m *Metrics) Batched(outcome string, actions int) {
	m.batches.WithLabelValues(outcome).Inc()
	m.batchActions.Observe(float64(actions))
}

// BatchesSaved counts requests that were not needed.
func (m *Metrics) BatchesSaved(requests int) { m.batchSaved.Add(float64(requests)) }

// series are the series of one metric, found by what their labels are made of. A
// call counts eight times or so; Prometheus itself would hash the text of all labels
// under a lock each time. There are as many keys as there are series, so nothing is
// ever forgotten.
type series[K comparable, M any] struct {
	make func(K) M
	// most bounds the keys, and rest is the key that counts for those beyond; 0 and nil
	// where the keys are few.
	most  int
	rest  func(K) K
	known atomic.Pointer[map[K]M]
	mu    sync.Mutex // of those that add
}

func newSeries[K comparable, M any](make func(K) M) *series[K, M] {
	return &series[K, M]{make: make}
}

// bound counts keys beyond the most under rest's key, of which there have to be few.
func (c *series[K, M]) bound(most int, rest func(K) K) *series[K, M] {
	c.most, c.rest = most, rest
	return c
}

// of finds a series, or makes it.
func (c *series[K, M]) of(k K) M {
	if known := c.known.Load(); known != nil {
		if m, ok := (*known)[k]; ok {
			return m
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	more := make(map[K]M)
	if known := c.known.Load(); known != nil {
		if m, ok := (*known)[k]; ok {
			return m // another has just made it
		}
		if c.rest != nil && len(*known) >= c.most {
			k = c.rest(k)
			if m, ok := (*known)[k]; ok {
				return m
			}
		}
		maps.Copy(more, *known)
	}
	m := c.make(k)
	more[k] = m
	c.known.Store(&more)
	return m
}
