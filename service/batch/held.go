package batch

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/hold"
)

// heard notes whether an operator holds the writes of the list in an organization, by
// what became of one of its calls.
func (l *list) heard(organization string, f *fault.Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f == nil || f.Reason != hold.Reason {
		delete(l.held, organization)
		return
	}
	was := l.held[organization]
	if l.held[organization] = f; was == nil || was.Detail != f.Detail {
		l.tell()
	}
}

// again waits until a call that was refused for want of budget, or that an operator
// holds, may come again; it tells whether ctx has lasted for it.
func (o *organization) again(ctx context.Context, f *fault.Error) bool {
	if f.Reason == hold.Reason {
		o.stop(1)
		defer o.stop(-1)
	}
	return waited(ctx, max(f.RetryAfter, time.Second))
}

func (o *organization) stop(change int) {
	o.mu.Lock()
	o.stopped += change
	o.mu.Unlock()
}

// holds gives what a reader has not been told of yet, with the lock held.
func (l *list) holds(told map[string]bool) (out []*fault.Error) {
	for _, organization := range slices.Sorted(maps.Keys(l.held)) {
		if f := l.held[organization]; !told[f.Detail] {
			told[f.Detail] = true
			out = append(out, f)
		}
	}
	return out
}
