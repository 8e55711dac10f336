package watch

import (
	"context"
	"encoding/hex"
	"errors"
	"time"

	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/fault"
)

// skew is how far apart the clocks of two replicas are thought to be, where it matters
// that an answer is not taken for younger than it is.
const skew = time.Second

// underWay is how long a claim lasts at the most while its poll is under way: what a
// replica that dies in the middle keeps from the others. Where the age is an hour, who
// begins to watch would not wait that long for the first state.
const underWay = 10 * time.Second

// look is how often a replica looks whether another one has read what is due.
func look(age time.Duration) time.Duration {
	return min(max(age/20, 50*time.Millisecond), 500*time.Millisecond)
}

// together does what is due with the other replicas: it takes over what one of them
// has read, or polls for all. It gives the time until the next turn; false where this
// replica has to go on by itself.
func (p *poller) together(ctx context.Context, now time.Time, call *broker.Call, age time.Duration) (time.Duration, bool) {
	store, first := p.shared, p.latest.state == nil
	pace := age
	if p.pace > 0 {
		pace = min(pace, p.pace)
	}
	if wait := p.due(now, pace); wait > 0 {
		return wait, true
	}
	h, err := readHead(ctx, store, p.id)
	if err != nil {
		return p.without(now, age)
	}
	p.alone = false
	// Of two readings that overlap, neither is newer than the other in all its pages.
	if h != nil && h.Asked.After(p.latest.last) {
		p.pace = h.Age
		old := min(max(now.Sub(h.Asked), 0), Oldest)
		switch {
		case h.Digest == "":
			return 0, false
		case first && old > age: // too old to begin with
		default:
			switch err := p.adopt(ctx, h, call, now.Add(-old)); {
			case errors.Is(err, errNoPages):
				return 0, false
			case err != nil:
				return p.without(now, age)
			}
			return max(p.due(time.Now(), min(age, h.Age)), look(age)), true
		}
	}
	if h != nil && h.Trouble != nil && h.Failed.After(p.failed) {
		p.failed = h.Failed
		p.worry(h.Trouble.fault(p.operation.GetId()))
	}
	if p.due(now, age) > 0 {
		return look(age), true // the replica with the younger age may be late, or gone
	}
	if first := later(p.retry, p.seen.Add(age)).Add(2 * look(age)); p.failures > 0 && now.Before(first) {
		return look(age), true // another replica may be able to read it, and goes first
	}
	claim, life := claimKey(p.id, age), min(age, underWay)
	claimed, err := store.SetNew(ctx, claim, []byte("1"), life)
	if err != nil {
		return 0, false
	}
	if !claimed {
		return look(age), true
	}
	done := p.renew(ctx, claim, life)
	wait := p.poll(ctx, call, age)
	done()
	// The next poll is due for all when it is for this replica, and at once where nobody
	// watches here any more.
	if ctx.Err() != nil {
		wait = 0
	}
	_ = store.Set(context.WithoutCancel(ctx), claim, []byte("1"), max(wait, time.Millisecond))
	return wait, true
}

// later is the later of two moments.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// without is what a replica does that the store has not answered: it waits a moment, so
// that a hiccup does not make every replica poll, and then goes on by itself.
func (p *poller) without(now time.Time, age time.Duration) (time.Duration, bool) {
	if p.latest.state != nil && !p.alone && now.Before(p.seen.Add(age+min(age/10, time.Second))) {
		return look(age), true
	}
	p.alone = true
	return 0, false
}

// renew keeps a claim while its poll is under way, which may wait for the budget for
// longer than the age.
func (p *poller) renew(ctx context.Context, claim string, life time.Duration) (done func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(life / 2)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_ = p.shared.Set(ctx, claim, []byte("1"), life)
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

// adopt takes over the reading of another replica, made at the moment seen by this
// one's clock. errNoPages says that it cannot be had, another error that the store has
// not answered.
func (p *poller) adopt(ctx context.Context, h *head, call *broker.Call, seen time.Time) error {
	r := p.latest
	r.asked, r.last, r.made = h.Asked, h.Last, 0
	kept := seen.Add(-skew)
	if r.state != nil && hex.EncodeToString(r.digest[:]) == h.Digest {
		for _, at := range r.pages {
			c := *call
			c.Path, c.Query = at.path, at.query
			p.of.config.Broker.Renew(&c, at.sum, kept)
		}
		p.advance(r, seen)
		return nil
	}
	p.published.release(p.of) // the other replica has put its own in their place
	pages, err := readPages(ctx, p.shared, p.id, h, p.of.config.StateBytes)
	if err != nil {
		return err
	}
	r.pages = nil
	if f := p.take(&r, pages); f != nil {
		return errNoPages
	}
	for i := range pages {
		c := *call
		c.Path, c.Query = pages[i].Path, pages[i].Query
		p.of.config.Broker.Keep(&c, pages[i].answer(kept))
	}
	p.advance(r, seen)
	return nil
}

// passed tells whether another replica has made a newer reading than that of a moment.
func (p *poller) passed(ctx context.Context, asked time.Time) bool {
	h, err := readHead(ctx, p.shared, p.id)
	return err == nil && h != nil && h.Asked.After(asked)
}

// complain tells the other replicas that a poll has failed, if none has made another one
// meanwhile.
func (p *poller) complain(ctx context.Context, f *fault.Error, age time.Duration) {
	if p.passed(ctx, p.latest.asked) {
		return
	}
	_ = writeHead(ctx, p.shared, p.id, head{
		Asked: p.latest.asked, Last: p.latest.last, Age: age, Digest: hex.EncodeToString(p.latest.digest[:]),
		Trouble: &trouble{f.Kind, f.ReasonCode(), f.Detail}, Failed: p.failed,
	})
}

// lasts is how long a reading stays in the store.
func lasts(age time.Duration) time.Duration { return 2*age + 10*time.Second }

// A publication is what this replica has left of the pages in the store.
type publication struct {
	digest string
	size   int64
	until  time.Time // they are there until then, for sure
}

// release forgets them: they expire, or another replica has replaced them.
func (l *publication) release(ws *Watches) {
	ws.left.Add(-l.size)
	*l = publication{}
}

// publish leaves a reading to the other replicas, who wait for it as long as the claim
// lasts: a hiccup of the store is outlasted. Where it has gone, they poll by themselves.
func (p *poller) publish(ctx context.Context, r reading, pages []page, age time.Duration) {
	if time.Since(r.asked) > min(age, underWay)/2 && p.passed(ctx, r.asked) {
		return // the claim has run out meanwhile, and what is in the store is newer
	}
	for range 3 {
		if p.leave(ctx, r, pages, age) == nil || p.alone {
			return
		}
		timer := time.NewTimer(look(age))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// leave writes a reading into the store.
func (p *poller) leave(ctx context.Context, r reading, pages []page, age time.Duration) error {
	store, expiry := p.shared, lasts(age)
	h := head{Asked: r.asked, Last: r.last, Age: age, Digest: hex.EncodeToString(r.digest[:])}
	if now := time.Now(); h.Digest != p.published.digest || p.published.until.Before(now.Add(2*expiry)) {
		packed, err := pack(pages)
		if err != nil {
			return err
		}
		if p.fits(len(packed)) {
			if err := store.Set(ctx, pagesKey(p.id), packed, 4*expiry); err != nil {
				return err
			}
			p.published = publication{h.Digest, int64(len(packed)), now.Add(4 * expiry)}
			p.of.left.Add(p.published.size)
		} else {
			h.Digest = ""
		}
	}
	return writeHead(ctx, store, p.id, h)
}

// fits tells whether the pages have room in the store. Those before them give up theirs.
func (p *poller) fits(packed int) bool {
	p.published.release(p.of)
	return packed+sealOverhead <= p.of.config.SharedBytes && p.of.left.Load()+int64(packed) <= p.of.config.AllSharedBytes
}
