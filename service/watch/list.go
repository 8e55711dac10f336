package watch

import (
	"cmp"
	"slices"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
)

// mostCallers bounds the names of callers that a Watched has.
const mostCallers = 10

// A Watched is a read that is watched.
type Watched struct {
	// Operation is the operationId; Organization is the owner, where the path names it.
	Operation, Organization string
	// Callers are some of who watches it; Watches is how many watches there are.
	Callers []string
	Watches int
	// Age is how old a state may become before it is read anew, Read when it was last;
	// zero before the first time.
	Age  time.Duration
	Read time.Time
	// Trouble is why the latest poll failed; empty when it did not.
	Trouble string
}

// List gives what is watched, the most watched first; no more than limit.
func (ws *Watches) List(limit int) []Watched {
	ws.mu.Lock()
	all := make([]*poller, 0, len(ws.pollers))
	for _, p := range ws.pollers {
		all = append(all, p)
	}
	ws.mu.Unlock()
	out := make([]Watched, 0, len(all))
	for _, p := range all {
		if w := p.watched(); w.Watches > 0 {
			out = append(out, w)
		}
	}
	slices.SortFunc(out, func(a, b Watched) int {
		return cmp.Or(-cmp.Compare(a.Watches, b.Watches), cmp.Compare(a.Operation, b.Operation), cmp.Compare(a.Organization, b.Organization))
	})
	return out[:min(len(out), limit)]
}

// watched is the poller at a glance.
func (p *poller) watched() Watched {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := Watched{Operation: p.operation.GetId(), Watches: len(p.watchers), Read: p.seen}
	for w := range p.watchers {
		if !slices.Contains(out.Callers, w.caller) && len(out.Callers) < mostCallers {
			out.Callers = append(out.Callers, w.caller)
		}
		if out.Age == 0 || w.request.Age < out.Age {
			out.Age = w.request.Age
		}
		if w.call != nil && p.operation.GetScope() == apiv1.Scope_SCOPE_ORGANIZATION {
			out.Organization = w.call.ID
		}
	}
	slices.Sort(out.Callers)
	if p.trouble != nil {
		out.Trouble = p.trouble.ReasonCode()
	}
	return out
}
