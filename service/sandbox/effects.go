package sandbox

import (
	"sort"
	"sync"
	"sync/atomic"
	"time"
)

// An effect is what happens at a time of its own, without a request: the end of
// an action batch, a change by script. The sandbox has no goroutine that waits
// for the time. Before anybody looks, settle lets happen what is due.
type effect struct {
	at  time.Time
	run func(now time.Time)
}

// effects are those to come.
type effects struct {
	next  atomic.Int64 // when the first is due, in Unix nanoseconds; 0: none is to come
	mu    sync.Mutex
	queue []effect // by time; of the same time, in the order in which they came
}

// add lets run happen at an instant.
func (e *effects) add(at time.Time, run func(now time.Time)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	i := sort.Search(len(e.queue), func(i int) bool { return e.queue[i].at.After(at) })
	e.queue = append(e.queue, effect{})
	copy(e.queue[i+1:], e.queue[i:])
	e.queue[i] = effect{at, run}
	e.next.Store(e.queue[0].at.UnixNano())
}

// due takes out the first effect if its time has come.
func (e *effects) due(now time.Time) (effect, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.queue) == 0 || e.queue[0].at.After(now) {
		return effect{}, false
	}
	first := e.queue[0]
	e.queue = e.queue[1:]
	e.next.Store(0)
	if len(e.queue) > 0 {
		e.next.Store(e.queue[0].at.UnixNano())
	}
	return first, true
}

func (e *effects) reset() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.queue = nil
	e.next.Store(0)
}

// settle lets everything happen that is due. Each effect happens alone: no
// request is executed meanwhile, so that nobody sees one half done.
func (s *Sandbox) settle() {
	now := s.opts.Now()
	if next := s.effects.next.Load(); next == 0 || now.UnixNano() < next {
		return
	}
	s.alone.Lock()
	defer s.alone.Unlock()
	for {
		e, ok := s.effects.due(now)
		if !ok {
			return
		}
		e.run(e.at)
	}
}

// Times are the durations that a test may change while the sandbox runs. Their
// JSON is what PUT /_sim/times takes; what it leaves out stays as it is.
type Times struct {
	// Latency is how long an answer takes; Jitter bounds a random delay before a
	// request is counted.
	Latency Duration `json:"latency"`
	Jitter  Duration `json:"jitter"`
	// An action batch takes Batch, or SynchronousBatch, and BatchAction for each
	// of its actions.
	Batch            Duration `json:"batch"`
	SynchronousBatch Duration `json:"synchronousBatch"`
	BatchAction      Duration `json:"batchAction"`
	// Job is how long live tools and other jobs take.
	Job Duration `json:"job"`
	// Delete is how long deleting a network takes.
	Delete Duration `json:"delete"`
}

// Times gives the durations that hold now.
func (s *Sandbox) Times() Times { return *s.times.Load() }

// SetTimes replaces the durations, for what begins from now on.
func (s *Sandbox) SetTimes(t Times) { s.times.Store(&t) }
