package broker

import (
	"math"
	"sync"
	"time"
)

// How service times are kept: one histogram for each operation whose buckets
// grow by a fifth, from 1 ms to above a minute, so a percentile is at most a
// fifth above the truth. 64 buckets of two bytes: 128 bytes an operation.
const (
	serviceBuckets = 64
	serviceGrowth  = 1.2
	serviceLeast   = time.Millisecond
	// serviceMemory is the number of samples at which all counts are halved, so
	// that the past fades: the percentile follows within a few hundred attempts.
	serviceMemory = 512
	// serviceEnough samples are needed before an estimate counts.
	serviceEnough = 5
	// serviceStale is how long an estimate holds without a new sample.
	serviceStale = time.Minute
	// serviceProbe is how often a call whose deadline is shorter than the estimate is
	// let through all the same: an operation that was slow once would else be refused
	// for ever, having no attempts to correct it.
	serviceProbe = time.Second
	// serviceOperations bounds the operations that have one: twice what the
	// document lists, for those that come through Call by other names.
	serviceOperations = 2048
)

// serviceTimes is how long attempts of each operation usually take.
type serviceTimes struct {
	mu sync.RWMutex
	m  map[string]*histogram
}

// observe adds an attempt of an operation that took d.
func (s *serviceTimes) observe(operation string, now time.Time, d time.Duration) {
	s.mu.RLock()
	h := s.m[operation]
	s.mu.RUnlock()
	if h == nil {
		s.mu.Lock()
		if h = s.m[operation]; h == nil {
			if len(s.m) >= serviceOperations {
				s.mu.Unlock()
				return
			}
			if s.m == nil {
				s.m = make(map[string]*histogram)
			}
			h = new(histogram)
			s.m[operation] = h
		}
		s.mu.Unlock()
	}
	h.observe(now, d)
}

// usual is the 90th percentile of an operation's recent attempts; 0 when too
// little is known.
func (s *serviceTimes) usual(operation string, now time.Time) time.Duration {
	s.mu.RLock()
	h := s.m[operation]
	s.mu.RUnlock()
	if h == nil {
		return 0
	}
	return h.percentile(now, 0.9)
}

// ample is the 99th percentile, of all attempts that had the time for it; 0 when
// too little is known. A call that can afford it gets its slot no later than so
// long before its deadline: where more is asked than the budget has, every call
// waits as long as it may, and of those that then have only the usual time left one
// in ten would die on the way, with the slot that others could have used.
func (s *serviceTimes) ample(operation string, now time.Time) time.Duration {
	s.mu.RLock()
	h := s.m[operation]
	s.mu.RUnlock()
	if h == nil {
		return 0
	}
	return h.percentile(now, 0.99)
}

// cut notes an attempt that the call's deadline ended after d. How long it would
// have taken nobody knows; but where ample time is thought to be enough and it had
// less than twice that, it counts as one that needs more. Otherwise only the quick
// ones would be seen, the estimate would follow them, and still more would be cut.
// An attempt that had more says that the Dashboard hangs, which is no service time.
func (s *serviceTimes) cut(operation string, now time.Time, d time.Duration) {
	if ample := s.ample(operation, now); d < 2*ample {
		s.observe(operation, now, time.Duration(serviceGrowth*float64(max(d, ample))))
	}
}

// probe tells whether a call that only the estimate speaks against may go to try it.
func (s *serviceTimes) probe(operation string, now time.Time) bool {
	s.mu.RLock()
	h := s.m[operation]
	s.mu.RUnlock()
	if h == nil {
		return true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if now.Sub(h.probed) < serviceProbe {
		return false
	}
	h.probed = now
	return true
}

// disprove wipes an estimate by a probe that took d, where that is less than half
// of what is usual and than nine in ten ever took: the operation was slow, and is
// so no more.
func (s *serviceTimes) disprove(operation string, now time.Time, d time.Duration) {
	s.mu.RLock()
	h := s.m[operation]
	s.mu.RUnlock()
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if 2*d < h.percentileLocked(now, 0.9) && d < h.percentileLocked(now, 0.1) {
		h.counts, h.total = [serviceBuckets]uint16{}, 0
	}
}

// A histogram is the recent service times of one operation.
type histogram struct {
	mu     sync.Mutex
	counts [serviceBuckets]uint16
	total  int
	last   time.Time
	// probed is when the last call was let through that the estimate speaks against.
	probed time.Time
}

func (h *histogram) observe(now time.Time, d time.Duration) {
	i := 0
	if d > serviceLeast {
		i = min(int(math.Ceil(math.Log(float64(d)/float64(serviceLeast))/math.Log(serviceGrowth))), serviceBuckets-1)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.total >= serviceMemory {
		h.total = 0
		for i := range h.counts {
			h.counts[i] /= 2
			h.total += int(h.counts[i])
		}
	}
	h.counts[i]++
	h.total++
	h.last = now
}

// percentile gives the upper edge of the bucket that holds it.
func (h *histogram) percentile(now time.Time, p float64) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.percentileLocked(now, p)
}

func (h *histogram) percentileLocked(now time.Time, p float64) time.Duration {
	if h.total < serviceEnough || now.Sub(h.last) > serviceStale {
		return 0
	}
	need := int(math.Ceil(p * float64(h.total)))
	for i, n := range h.counts {
		if need -= int(n); need <= 0 {
			return time.Duration(float64(serviceLeast) * math.Pow(serviceGrowth, float64(i)))
		}
	}
	return 0
}
