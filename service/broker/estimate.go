package broker

import (
	"math"
	"sync"
	"time"
)

// Service times are kept in one histogram for each operation. Its buckets grow by
// a fifth, from 1 ms to above a minute, so a percentile is at most a fifth above
// the truth. 64 buckets of two bytes take 128 bytes an operation.
const (
	serviceBuckets = 64
	serviceGrowth  = 1.2
	serviceLeast   = time.Millisecond
	// serviceMemory is the number of samples at which all counts are halved, so
	// that old samples lose weight: the percentile follows a change within a few
	// hundred attempts.
	serviceMemory = 512
	// serviceEnough is the number of samples that an estimate needs.
	serviceEnough = 5
	// serviceStale is how long an estimate holds without a new sample.
	serviceStale = time.Minute
	// serviceProbe is the least time between two probes. A probe is a call that
	// goes ahead although its deadline is shorter than the estimate. Without
	// probes, an operation that was slow once would be refused for ever, because
	// no attempt would correct its estimate.
	serviceProbe = time.Second
	// serviceOperations bounds the operations that have a histogram. It is twice
	// the number that the document lists, to leave room for operations that come
	// through Call by other names.
	serviceOperations = 2048
)

// serviceTimes knows how long attempts of each operation usually take.
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

// ample is the 99th percentile of an operation's recent attempts that had the
// time to end; 0 when too little is known. A call that can afford it gets its
// slot no later than the ample time before its deadline. Where callers ask for
// more than the budget has, every call waits as long as it may. Of the calls that
// then have only the usual time left, one in ten would run out of time during its
// attempt, and waste a slot that another call could have used.
func (s *serviceTimes) ample(operation string, now time.Time) time.Duration {
	s.mu.RLock()
	h := s.m[operation]
	s.mu.RUnlock()
	if h == nil {
		return 0
	}
	return h.percentile(now, 0.99)
}

// cut notes an attempt that the call's deadline ended after d. Nobody knows how
// long the attempt would have taken. When d is less than twice the ample time,
// the attempt counts as one that takes a fifth longer than d or the ample time,
// whichever is more. Otherwise only quick attempts would be counted, the estimate
// would fall, and deadlines would end still more attempts. When d is longer, the
// Dashboard hangs, and d is no service time.
func (s *serviceTimes) cut(operation string, now time.Time, d time.Duration) {
	if ample := s.ample(operation, now); d < 2*ample {
		s.observe(operation, now, time.Duration(serviceGrowth*float64(max(d, ample))))
	}
}

// probe tells whether a call against which only the estimate speaks may go ahead
// and test the estimate.
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

// disprove wipes an estimate after a probe that took d, when d is less than half
// of the usual time and less than nine in ten attempts took: the operation was
// slow, and is slow no more.
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
	// probed is when the last probe was let through.
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

// percentile gives the upper edge of the bucket that holds the percentile p; 0
// when too little is known.
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
