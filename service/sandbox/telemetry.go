package sandbox

import (
	"math"
	"net/http"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/merakibroker/merakibroker/service/sandbox/document"
)

// The Dashboard's own telemetry has what reached the Dashboard. A 502 and a 504 from
// the proxy, a reset, and a 429 for the address are not in it.

const (
	// finest is the telemetry's resolution, mostSpan how far back it reaches.
	finest   = 120 * time.Second
	mostSpan = 31 * 24 * time.Hour
	// mostIntervals bounds the counters of one organization; the oldest interval goes first.
	mostIntervals = 20_000
	// mostLogged bounds the requests that are remembered one by one, over all organizations.
	mostLogged = 16_384
)

// overviewCodes are the statuses that the overview always names.
var overviewCodes = []int{
	200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 306, 307, 308, 400, 401, 402, 403, 404, 405, 406, 407, 408,
	409, 410, 411, 412, 413, 414, 415, 416, 417, 421, 422, 423, 424, 425, 426, 428, 429, 431, 451, 500,
}

// intervalCounts counts an organization's requests by interval; the lock of the orgState guards it.
type intervalCounts struct{ of map[intervalKey]int }

type intervalKey struct {
	slot      int64 // of length finest
	agent     string
	operation string
	source    string
	status    int
}

func (s *intervalCounts) add(c *request, status int) {
	k := intervalKey{slot: c.now.Unix() / int64(finest/time.Second), agent: c.r.UserAgent(), source: c.address, status: status}
	if c.route != nil {
		k.operation = c.route.op.GetId()
	}
	if s.of == nil {
		s.of = make(map[intervalKey]int, 8)
	}
	if _, ok := s.of[k]; !ok && len(s.of) >= mostIntervals {
		oldest := k.slot
		for o := range s.of {
			oldest = min(oldest, o.slot)
		}
		for o := range s.of {
			if o.slot == oldest {
				delete(s.of, o)
			}
		}
	}
	s.of[k]++
}

// A logged request, for getOrganizationApiRequests and GET /_sim/requests.
type logged struct {
	seq                 uint64
	at                  time.Time
	org                 string
	method, path, query string
	agent, source, host string
	operation           string
	status              int
	notInTelemetry      bool
}

type requestLog struct {
	mu   sync.Mutex
	ring []logged
	next uint64
}

func (l *requestLog) add(c *request, status int, unseen bool) {
	e := logged{
		at: c.now, org: c.org.id, method: c.r.Method, path: c.sent, query: c.r.URL.RawQuery, agent: c.r.UserAgent(),
		source: c.address, host: c.r.Host, status: status, notInTelemetry: unseen || status == 0 || status > 500,
	}
	if c.route != nil {
		e.operation = c.route.op.GetId()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	e.seq = l.next
	l.next++
	if len(l.ring) < mostLogged {
		l.ring = append(l.ring, e)
		return
	}
	l.ring[e.seq%mostLogged] = e
}

// newest lists the requests that match, the newest first.
func (l *requestLog) newest(match func(*logged) bool, most int) []logged {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []logged
	for i := uint64(1); i <= uint64(len(l.ring)) && len(out) < most; i++ {
		e := &l.ring[(l.next-i)%mostLogged]
		if match(e) {
			out = append(out, *e)
		}
	}
	return out
}

func (l *requestLog) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ring, l.next = nil, 0
}

// A span is the time that a telemetry request asks about.
type span struct{ from, to time.Time }

func (c *request) span() (span, *response) {
	sp := span{to: c.now}
	for _, x := range [...]struct {
		name string
		into *time.Time
	}{{"t0", &sp.from}, {"t1", &sp.to}} {
		if v := c.queryValue(x.name); v != "" {
			t, ok := instant(v)
			if !ok {
				return sp, refusal(http.StatusBadRequest, "'"+x.name+"' must be an instant")
			}
			*x.into = t
		}
	}
	if v := c.queryValue("timespan"); v != "" {
		seconds, err := strconv.ParseFloat(v, 64)
		if err != nil || !(seconds > 0) || seconds > mostSpan.Seconds() {
			return sp, refusal(http.StatusBadRequest, "'timespan' must be a number of seconds up to 2678400")
		}
		sp.from = sp.to.Add(-time.Duration(seconds * float64(time.Second)))
	}
	if sp.from.IsZero() || sp.to.Sub(sp.from) > mostSpan {
		sp.from = sp.to.Add(-mostSpan)
	}
	return sp, nil
}

// instant reads a time as the API takes them: RFC 3339, or seconds of the epoch.
func instant(v string) (time.Time, bool) {
	if t, err := time.Parse(time.RFC3339, v); err == nil {
		return t, true
	}
	s, err := strconv.ParseFloat(v, 64)
	if err != nil || math.IsNaN(s) || math.Abs(s) > 1e11 {
		return time.Time{}, false
	}
	return time.Unix(int64(s), 0), true
}

// apiRequests answers getOrganizationApiRequests: one row a request, newest first.
func (s *Sandbox) apiRequests(c *request, d *answerForm) *response {
	sp, bad := c.span()
	if bad != nil {
		return bad
	}
	method, agent, code, source, path := c.queryValue("method"), c.queryValue("userAgent"), c.queryValue("responseCode"), c.queryValue("sourceIp"), c.queryValue("path")
	operations := c.query()["operationIds[]"]
	rows := s.requests.newest(func(e *logged) bool {
		return !e.notInTelemetry && e.org == c.org.id && !e.at.Before(sp.from) && !e.at.After(sp.to) &&
			(method == "" || e.method == method) && strings.Contains(e.agent, agent) && (code == "" || strconv.Itoa(e.status) == code) &&
			(source == "" || e.source == source) && (path == "" || "/api/v1"+e.path == path) && (operations == nil || slices.Contains(operations, e.operation))
	}, mostLogged)
	l := &listing{c: c, d: d}
	l.custom = func(dst []byte, i int) []byte {
		e := &rows[i]
		fit, _ := d.row.Conform(map[string]any{
			"adminId": "212406", "method": e.method, "host": e.host, "path": "/api/v1" + e.path, "queryString": e.query, "userAgent": e.agent,
			"ts": e.at.UTC().Format(time.RFC3339Nano), "responseCode": document.Number(e.status), "sourceIp": e.source, "version": document.Number(1),
			"operationId": e.operation, "client": map[string]any{"id": "sandbox", "type": "api_key"},
		})
		return append(dst, document.Encode(fit)...)
	}
	l.keys = make([]string, len(rows))
	for i := range rows {
		l.keys[i] = strconv.FormatUint(rows[i].seq, 10) + "s"
	}
	a := s.page(c, d, l)
	a.cacheable = false
	return a
}

// apiOverview answers getOrganizationApiRequestsOverview.
func (s *Sandbox) apiOverview(c *request) *response {
	sp, bad := c.span()
	if bad != nil {
		return bad
	}
	counts := make(map[string]int, len(overviewCodes))
	for _, code := range overviewCodes {
		counts[strconv.Itoa(code)] = 0
	}
	for _, x := range s.tally(c, sp, mostSpan) {
		for code, n := range x.codes {
			if _, ok := counts[strconv.Itoa(code)]; ok {
				counts[strconv.Itoa(code)] += n
			}
		}
	}
	return &response{status: http.StatusOK, body: document.Encode(map[string]any{"responseCodeCounts": counts})}
}

// apiByInterval answers getOrganizationApiRequestsOverviewResponseCodesByInterval.
func (s *Sandbox) apiByInterval(c *request) *response {
	sp, bad := c.span()
	if bad != nil {
		return bad
	}
	interval := 21600
	if v := c.queryValue("interval"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || !slices.Contains([]int{120, 3600, 14400, 21600}, n) {
			return refusal(http.StatusBadRequest, "'interval' must be one of: 120, 3600, 14400, 21600")
		}
		interval = n
	}
	rows := []any{}
	for _, x := range s.tally(c, sp, time.Duration(interval)*time.Second) {
		counts := []any{}
		for _, code := range overviewCodes {
			if n := x.codes[code]; n > 0 {
				counts = append(counts, map[string]any{"code": code, "count": n})
			}
		}
		rows = append(rows, map[string]any{
			"startTs": x.start.UTC().Format(time.RFC3339), "endTs": x.start.Add(time.Duration(interval) * time.Second).UTC().Format(time.RFC3339), "counts": counts,
		})
	}
	return &response{status: http.StatusOK, body: document.Encode(rows)}
}

// An interval of the telemetry. Those without requests are left out.
type interval struct {
	start time.Time
	codes map[int]int
}

// tally adds up what the query asks for, by intervals that begin at multiples of
// their length.
func (s *Sandbox) tally(c *request, sp span, length time.Duration) []interval {
	q := c.query()
	agent, operations, sources := q.Get("userAgent"), q["operationIds[]"], q["sourceIps[]"]
	step := int64(length / time.Second)
	by := map[int64]map[int]int{}
	a := c.org
	a.mu.Lock()
	defer a.mu.Unlock()
	for k, n := range a.intervals.of {
		at := k.slot * int64(finest/time.Second)
		end := time.Unix(at, 0).Add(finest)
		if !end.After(sp.from) || time.Unix(at, 0).After(sp.to) || !strings.Contains(k.agent, agent) ||
			(operations != nil && !slices.Contains(operations, k.operation)) || (sources != nil && !slices.Contains(sources, k.source)) {
			continue
		}
		start := at / step * step
		if by[start] == nil {
			by[start] = map[int]int{}
		}
		by[start][k.status] += n
	}
	out := make([]interval, 0, len(by))
	for start, codes := range by {
		out = append(out, interval{time.Unix(start, 0), codes})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].start.Before(out[j].start) })
	return out
}
