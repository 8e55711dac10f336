package watch

import "sync"

// A holding counts the states that watchers have: the newest of what they watch, and
// the one that they were sent last. A state counts once for each caller, and once for
// all, however many have it.
type holding struct {
	caller, all int64 // the bounds, in bytes

	mu      sync.Mutex
	states  map[*State]int // how many callers have it
	callers map[string]*callerHolding
	bytes   int64
}

// A callerHolding is what the watchers of one caller have.
type callerHolding struct {
	states map[*State]int // how often
	bytes  int64
}

func newHolding(caller, all int64) *holding {
	return &holding{caller: caller, all: all, states: make(map[*State]int), callers: make(map[string]*callerHolding)}
}

// take notes that a watcher of a caller's has a state; false where there is no room.
func (h *holding) take(caller string, s *State) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.callers[caller]
	if c == nil {
		c = &callerHolding{states: make(map[*State]int)}
	}
	if c.states[s] == 0 {
		fresh := h.states[s] == 0
		if c.bytes+s.size > h.caller || fresh && h.bytes+s.size > h.all {
			return false
		}
		c.bytes += s.size
		if fresh {
			h.bytes += s.size
		}
		h.states[s]++
	}
	c.states[s]++
	h.callers[caller] = c
	return true
}

// drop takes back what take has noted.
func (h *holding) drop(caller string, s *State) {
	if s == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.callers[caller]
	if c.states[s]--; c.states[s] > 0 {
		return
	}
	delete(c.states, s)
	if c.bytes -= s.size; len(c.states) == 0 {
		delete(h.callers, caller)
	}
	if h.states[s]--; h.states[s] == 0 {
		delete(h.states, s)
		h.bytes -= s.size
	}
}
