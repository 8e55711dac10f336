package broker

import (
	"time"

	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/usage"
)

// Usage is where it is counted who spends what.
func (b *Broker) Usage() *usage.Usage { return b.config.Usage }

// requested counts a call that has come to its end.
func (b *Broker) requested(c *Call, a *Answer, f *fault.Error) {
	if b.config.Usage == nil {
		return
	}
	now := time.Now()
	key := usage.Key{Caller: c.Caller, Operation: c.Operation.GetId()}
	var spent usage.Figures
	spent[usage.Requests], spent[usage.RequestBytes] = 1, int64(len(c.Body))
	switch {
	case f == nil:
		key.Organization = a.Organization
		spent[usage.ResponseBytes] = int64(len(a.Body))
		switch a.Cache {
		case CacheCoalesced:
			spent[usage.SharedReads] = 1
		case CacheHit:
			spent[usage.CachedReads] = 1
		}
	default:
		key.Organization, _ = b.known(now, c)
		if refused(f) {
			spent[usage.Refusals] = 1
		}
	}
	b.config.Usage.Add(now, key, spent)
}

// refused tells a call that was refused before anything was sent for it.
func refused(f *fault.Error) bool {
	switch f.Kind {
	case fault.BudgetExhausted, fault.CallerNotAllowed, fault.Draining:
		return len(f.Attempts) == 0
	}
	return false
}

// attempted counts an attempt, where it is put on record.
func (b *Broker) attempted(j *callState, a *dashboard.Result) {
	var spent usage.Figures
	spent[usage.Attempts] = 1
	if a.Outcome == fault.Limited {
		spent[usage.RateLimited] = 1
	}
	b.config.Usage.Add(a.Start.Add(a.Duration), spender(j), spent)
}

// waited counts a wait for a slot, whatever came of it.
func (b *Broker) waited(j *callState, d time.Duration) {
	if d <= 0 {
		return
	}
	var spent usage.Figures
	spent[usage.Waits], spent[usage.WaitMicroseconds] = 1, d.Microseconds()
	b.config.Usage.Add(time.Now(), spender(j), spent)
}

// SavedByWatch counts requests that a watcher would have made, with this call.
func (b *Broker) SavedByWatch(c *Call, requests int) { b.saved(c, usage.WatchedReads, requests) }

// SavedByBatch counts requests that the writes of a batch, which went with this call,
// would have taken alone.
func (b *Broker) SavedByBatch(c *Call, requests int) { b.saved(c, usage.BatchedWrites, requests) }

func (b *Broker) saved(c *Call, by usage.Figure, requests int) {
	if requests <= 0 {
		return
	}
	now := time.Now()
	var spent usage.Figures
	spent[by] = int64(requests)
	organization, _ := b.known(now, c)
	b.config.Usage.Add(now, usage.Key{Caller: c.Caller, Organization: organization, Operation: c.Operation.GetId()}, spent)
}

// spender is who spends what a call spends.
func spender(j *callState) usage.Key {
	return usage.Key{Caller: j.call.Caller, Organization: j.organization, Operation: j.call.Operation.GetId()}
}
