package lane

import (
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
)

// A representative stands in the address's lane for a lane whose next slot wants
// the address's too, when that cannot be had at once. A lane has at most one
// there, in the class of its own next call, so lanes share the address as their
// callers would, and an organization that may not send yet holds no slot of it.
// It belongs to the goroutine that drives the lane.
type representative struct {
	w      *waiter
	active bool
}

// represent makes sure that the lane has a representative of this class.
func (l *lane) represent(rep *representative, class ratelimit.Class, weight float64) {
	a := l.address
	if rep.active {
		a.raise(rep.w, class.Priority)
		return
	}
	rep.w = &waiter{class: class, weight: weight, keep: true, tell: l}
	rep.active = a.join(rep.w) == nil
}

// collect gives the slot that the representative was granted, 1 or 0, and when it
// was asked for.
func (l *lane) collect(rep *representative) (int, time.Time) {
	if !rep.active {
		return 0, time.Time{}
	}
	a := l.address
	a.mu.Lock()
	defer a.mu.Unlock()
	if rep.w.state == waiting {
		return 0, time.Time{}
	}
	rep.active = false
	if rep.w.state == granted {
		return 1, rep.w.asked.own
	}
	return 0, time.Time{}
}

// unrepresent calls the representative back, and passes on what it was granted.
func (l *lane) unrepresent(rep *representative) {
	if rep.active {
		rep.active = false
		l.address.leave(rep.w, nil)
	}
}
