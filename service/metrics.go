package service

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc/codes"

	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/transcode"
)

// Metrics are what Prometheus reads. Labels are operation ids, codes, outcomes,
// kinds of budget and priorities: never callers, organizations or filled paths, whose number
// nobody bounds.
type Metrics struct {
	registry *prometheus.Registry

	calls       *prometheus.CounterVec
	callTime    prometheus.Histogram
	attempts    *prometheus.CounterVec
	attemptTime prometheus.Histogram
	queueTime   *prometheus.HistogramVec
	waiting     *prometheus.GaugeVec
	verdicts    *prometheus.CounterVec
	refusals    *prometheus.CounterVec
	reuse       *prometheus.CounterVec
	lookups     *prometheus.CounterVec
	drifts      *prometheus.CounterVec
}

// waits spans from a slot that was there to the default deadline.
var waits = []float64{.001, .005, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30, 60}

// NewMetrics makes a registry of its own, with the process's and Go's figures in it.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "merakibroker_calls_total", Help: "Calls answered, by operation and gRPC code.",
		}, []string{"operation", "code"}),
		callTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "merakibroker_call_seconds", Help: "Time from a call's arrival to its answer.", Buckets: waits,
		}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "merakibroker_attempts_total", Help: "HTTP requests sent to the Dashboard, by operation and outcome.",
		}, []string{"operation", "outcome"}),
		attemptTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "merakibroker_attempt_seconds", Help: "Time that the Dashboard took for one HTTP request.", Buckets: waits,
		}),
		queueTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "merakibroker_queue_seconds", Help: "Time that an attempt waited for its slot.", Buckets: waits,
		}, []string{"budget", "priority"}),
		waiting: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "merakibroker_waiting_calls", Help: "Calls that wait for a slot at this replica.",
		}, []string{"budget", "priority"}),
		verdicts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "merakibroker_verdicts_total", Help: "What was decided after an attempt: done, again, give up.",
		}, []string{"operation", "verdict"}),
		lookups: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "merakibroker_lookups_total", Help: "Look-ups of the organization that owns a network or device.",
		}, []string{"kind", "result"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "merakibroker_refusals_total", Help: "Calls refused before anything was sent.",
		}, []string{"budget", "priority", "why"}),
		reuse: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "merakibroker_reads_total", Help: "Reads by where the answer came from: miss, coalesced, hit.",
		}, []string{"cache"}),
		drifts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "merakibroker_drift_total", Help: "Fields of answers that did not fit the contract, by operation and kind.",
		}, []string{"operation", "kind"}),
	}
	m.registry.MustRegister(m.calls, m.callTime, m.attempts, m.attemptTime, m.queueTime, m.waiting,
		m.verdicts, m.refusals, m.reuse, m.lookups, m.drifts,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Registry takes further collectors, such as gRPC's own.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

func (m *Metrics) call(operation string, code codes.Code, took time.Duration) {
	m.calls.WithLabelValues(operation, code.String()).Inc()
	m.callTime.Observe(took.Seconds())
}

func (m *Metrics) drift(operation string, kind transcode.Drift) {
	m.drifts.WithLabelValues(operation, kind.String()).Inc()
}

// The methods below make Metrics a broker.Observer.

// Attempted counts one HTTP request.
func (m *Metrics) Attempted(operation string, outcome fault.Outcome, _ int, took time.Duration) {
	m.attempts.WithLabelValues(operation, outcome.String()).Inc()
	m.attemptTime.Observe(took.Seconds())
}

// Waited notes how long an attempt waited for its slot.
func (m *Metrics) Waited(budget string, p ratelimit.Priority, wait time.Duration) {
	m.queueTime.WithLabelValues(budget, p.String()).Observe(wait.Seconds())
}

// Queued changes the number of calls that wait.
func (m *Metrics) Queued(budget string, p ratelimit.Priority, change int) {
	m.waiting.WithLabelValues(budget, p.String()).Add(float64(change))
}

// Judged counts the verdict on an attempt.
func (m *Metrics) Judged(operation, verdict string) {
	m.verdicts.WithLabelValues(operation, verdict).Inc()
}

// Refused counts a call refused before anything was sent.
func (m *Metrics) Refused(budget string, p ratelimit.Priority, why string) {
	m.refusals.WithLabelValues(budget, p.String(), why).Inc()
}

// Cached counts a read by where its answer came from.
func (m *Metrics) Cached(result string) { m.reuse.WithLabelValues(result).Inc() }

// LookedUp counts a look-up of an owner.
func (m *Metrics) LookedUp(kind, result string) { m.lookups.WithLabelValues(kind, result).Inc() }
