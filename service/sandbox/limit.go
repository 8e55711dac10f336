package sandbox

import (
	"math"
	"net"
	"net/http"
	"sort"
	"strconv"
	"sync"
	"time"
)

// A bucket is a token bucket: rate a second, never more than burst. What is
// refused takes nothing.
type bucket struct {
	tokens float64
	last   time.Time
	// outside are other applications that draw on the same budget.
	outside []outside
}

// An outside application takes its rate out of the bucket before anyone else.
type outside struct {
	rate        float64
	from, until time.Time
}

// whole is what counts as one token: sums of fractions of seconds are not exact.
const whole = 1 - 1e-9

// take spends one token at an instant; false when there is none.
func (b *bucket) take(now time.Time, rate, burst float64) bool {
	b.advance(now, rate, burst)
	if b.tokens < whole {
		return false
	}
	b.tokens--
	return true
}

// again is when there will be a token, if nobody else takes it.
func (b *bucket) again(rate float64) time.Duration {
	if b.tokens >= whole || rate <= 0 {
		return 0
	}
	return time.Duration((1 - b.tokens) / rate * float64(time.Second))
}

// advance refills the bucket up to an instant. When the clock goes back, nothing
// changes.
func (b *bucket) advance(now time.Time, rate, burst float64) {
	if b.last.IsZero() {
		b.tokens, b.last = burst, now
	}
	if !now.After(b.last) {
		return
	}
	if len(b.outside) == 0 {
		b.tokens = math.Min(burst, b.tokens+now.Sub(b.last).Seconds()*rate)
		b.last = now
		return
	}
	// The rate that others take changes at the times when one comes or goes.
	var steps []time.Time
	for _, o := range b.outside {
		for _, t := range [...]time.Time{o.from, o.until} {
			if t.After(b.last) && t.Before(now) {
				steps = append(steps, t)
			}
		}
	}
	sort.Slice(steps, func(i, j int) bool { return steps[i].Before(steps[j]) })
	for _, t := range append(steps, now) {
		drain, left := 0.0, b.outside[:0:0]
		for _, o := range b.outside {
			if !o.from.After(b.last) && o.until.After(b.last) {
				drain += o.rate
			}
			if o.until.After(t) {
				left = append(left, o)
			}
		}
		b.tokens = math.Max(0, math.Min(burst, b.tokens+t.Sub(b.last).Seconds()*(rate-drain)))
		b.last, b.outside = t, left
	}
}

// A meter watches arrivals: how far they overran the budget, and how many came
// in one second.
type meter struct {
	level  float64 // of a bucket that lets everything through; below zero is overdrawn
	last   time.Time
	worst  float64 // the lowest level, as a positive number
	recent []int64 // arrivals of the last second, in Unix nanoseconds, oldest first
	head   int
	most   int
}

// count takes note of an arrival. The worst overdraft is the maximum over all
// windows of (arrivals - (rate x length + burst)). A bucket that may run below
// zero has this number as its lowest level, with the sign turned.
func (m *meter) count(now time.Time, rate, burst float64) {
	if m.last.IsZero() {
		m.level, m.last = burst, now
	}
	if now.After(m.last) {
		m.level = math.Min(burst, m.level+now.Sub(m.last).Seconds()*rate)
		m.last = now
	}
	m.level--
	m.worst = math.Max(m.worst, -m.level)

	at := now.UnixNano()
	m.recent = append(m.recent, at)
	for m.recent[m.head] <= at-int64(time.Second) {
		m.head++
	}
	m.most = max(m.most, len(m.recent)-m.head)
	if m.head > len(m.recent)/2 {
		n := copy(m.recent, m.recent[m.head:])
		m.recent, m.head = m.recent[:n], 0
	}
}

// A bucketSet is buckets by name, for source addresses and operations of their own.
type bucketSet struct {
	mu sync.Mutex
	of map[string]*bucket
}

// mostBuckets bounds the names; the full buckets go first, as they are as good as new.
const mostBuckets = 50_000

func (k *bucketSet) take(name string, now time.Time, rate, burst float64) (ok bool, again time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	b := k.of[name]
	if b == nil {
		if k.of == nil {
			k.of = make(map[string]*bucket)
		}
		if len(k.of) >= mostBuckets {
			for n, b := range k.of {
				if b.advance(now, rate, burst); b.tokens >= burst || len(k.of) >= 2*mostBuckets {
					delete(k.of, n)
				}
			}
		}
		b = &bucket{}
		k.of[name] = b
	}
	ok = b.take(now, rate, burst)
	return ok, b.again(rate)
}

func (k *bucketSet) reset() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.of = nil
}

// An egress is one source address, as the sandbox saw it.
type egress struct {
	meter   meter
	arrived int
	limited int
}

// addresses are the source addresses: their buckets, and what arrived from each.
type addresses struct {
	bucketSet
	seen map[string]*egress // guarded by the lock of the buckets
}

// addressRate is the documented limit of a source address, in requests a second;
// overdrafts are measured against it where the sandbox has none.
const addressRate = 100

// arrive counts a request of an address.
func (a *addresses) arrive(name string, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.seen[name]
	if e == nil {
		if a.seen == nil || len(a.seen) >= mostBuckets {
			a.seen = make(map[string]*egress)
		}
		e = &egress{}
		a.seen[name] = e
	}
	e.arrived++
	e.meter.count(now, addressRate, addressRate)
}

// refused counts a request that found the bucket of its address empty.
func (a *addresses) refused(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e := a.seen[name]; e != nil {
		e.limited++
	}
}

func (a *addresses) reset() {
	a.bucketSet.reset()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen = nil
}

// addressOf names the address that pays for a request: the listener's name, what
// the header says that stands for it, or the peer's address.
func (s *Sandbox) addressOf(r *http.Request, listener string) string {
	if listener != "" {
		return listener
	}
	if h := s.opts.AddressHeader; h != "" && r.Header.Get(h) != "" {
		return r.Header.Get(h)
	}
	return sourceOf(r.RemoteAddr)
}

// mostAgents bounds the User-Agents that are counted each by its own name.
const mostAgents = 1000

// agents counts requests by User-Agent.
type agents struct {
	mu sync.Mutex
	of map[string]int
}

func (a *agents) count(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.of == nil {
		a.of = make(map[string]int)
	}
	if _, known := a.of[name]; !known && len(a.of) >= mostAgents {
		name = "others"
	}
	a.of[name]++
}

func (a *agents) reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.of = nil
}

// sourceOf is the address that pays for a request: the peer's, without the port.
func sourceOf(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	return host
}

// retryAfter writes a delay as the header has it: whole seconds, at least one.
func retryAfter(d time.Duration) string {
	return strconv.Itoa(max(1, int(math.Ceil(d.Seconds()))))
}
