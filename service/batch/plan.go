package batch

import "slices"

// Sizes of batches, from the vendor's documentation: so many actions when
// asynchronous, so many when synchronous.
const (
	mostActions     = 100
	mostSynchronous = 20
	// mostBytes bounds the bodies of a batch's actions together. The vendor names no
	// bound; a hundred writes of 10 KiB are rare.
	mostBytes = 1 << 20
)

// limits are the most actions that a unit goes together with, by the batches that
// failed with it in them. A batch that failed for one of its actions has done
// nothing, and the rest goes again; from the third time on in smaller ones, so that
// many wrong writes do not each cost a batch of a hundred. A unit that has failed in
// all sizes goes as itself.
var limits = [...]int{mostActions, mostActions, mostActions, mostSynchronous, 10, 5}

// alone is the level of units that go as themselves.
const alone = len(limits)

// A pool names what one batch can hold together: writes in one organization with one
// credential.
type pool struct{ organization, credential string }

// An item is one write as the plan sees it.
type item struct {
	path    string
	creates bool
	// carried tells whether a batch can carry it; pool says which.
	carried bool
	pool    pool
	bytes   int
	// group is the number of its group, from 1; 0 for none.
	group int
}

// A unit is what is done together or not at all: one write, or a group.
type unit struct {
	members []int // the items, in their order
	group   bool
	carried bool
	pool    pool
	bytes   int
	level   int
	blocked int // phases of its order that it waits for
	places  []place
}

// A plan says what may be done next. It is arithmetic: nothing waits in it, and it
// knows neither the Dashboard nor the clock.
type plan struct {
	order order
	pools map[pool]*queues
	// keys are the pools, in the order in which they came.
	keys []pool
	// singles may go as themselves now.
	singles []*unit
	// open counts the units that are not done.
	open int
}

// queues are the units of one pool that may go now, by their level.
type queues struct{ levels [alone + 1][]*unit }

// newPlan makes the plan of writes in the order in which they came.
func newPlan(items []item) *plan {
	p := &plan{pools: make(map[pool]*queues)}
	groups := make(map[int]*unit)
	var units []*unit
	for i, it := range items {
		u := groups[it.group]
		if it.group == 0 || u == nil {
			u = &unit{carried: it.carried, pool: it.pool, group: it.group != 0}
			units = append(units, u)
			if it.group != 0 {
				groups[it.group] = u
			}
		}
		u.members = append(u.members, i)
		u.bytes += it.bytes
	}
	for _, u := range units {
		touches := make(map[string]touch)
		for _, i := range u.members {
			touchesOf(touches, items[i].path, items[i].creates)
		}
		p.order.add(u, touches)
		u.group = len(u.members) > 1
	}
	p.open = len(units)
	for _, u := range units {
		if u.blocked == 0 {
			p.ready(u)
		}
	}
	return p
}

// ready puts a unit where it is taken from.
func (p *plan) ready(u *unit) {
	if !u.carried || u.level >= alone && !u.group {
		p.singles = append(p.singles, u)
		return
	}
	q := p.pools[u.pool]
	if q == nil {
		q = new(queues)
		p.pools[u.pool] = q
		p.keys = append(p.keys, u.pool)
	}
	u.level = min(u.level, alone)
	q.levels[u.level] = append(q.levels[u.level], u)
}

// single gives a unit that goes as itself; nil when none may go now.
func (p *plan) single() *unit {
	if len(p.singles) == 0 {
		return nil
	}
	u := p.singles[0]
	p.singles = p.singles[1:]
	return u
}

// wants is about how many batches of a pool may go now.
func (p *plan) wants(key pool) int {
	q := p.pools[key]
	if q == nil {
		return 0
	}
	n := 0
	for level, units := range q.levels {
		most := limit(level)
		actions := 0
		for _, u := range units {
			if len(u.members) >= most {
				n++
			} else if actions += len(u.members); actions > most {
				n, actions = n+1, len(u.members)
			}
		}
		if actions > 0 {
			n++
		}
	}
	return n
}

// limit is the most actions of a batch of units of a level.
func limit(level int) int {
	if level >= alone {
		return 1
	}
	return limits[level]
}

// batch gives the units of the next batch of a pool; none when there is none. Units
// that have failed go first, since finding the wrong ones among them takes several
// batches one after the other. A batch of one write is never made: it goes as itself.
func (p *plan) batch(key pool) []*unit {
	q := p.pools[key]
	if q == nil {
		return nil
	}
	for level := alone; level >= 0; level-- {
		for len(q.levels[level]) > 0 {
			var taken []*unit
			taken, q.levels[level] = fill(q.levels[level], limit(level))
			if len(taken) == 1 && !taken[0].group {
				p.singles = append(p.singles, taken[0])
				continue
			}
			return taken
		}
	}
	return nil
}

// fill takes units from a queue, in its order, as many as fit into one batch. A group
// that is larger than the batches of its level goes by itself.
func fill(queue []*unit, most int) (taken, left []*unit) {
	actions, bytes := 0, 0
	for i, u := range queue {
		fits := actions+len(u.members) <= most && bytes+u.bytes <= mostBytes
		switch {
		case len(taken) == 0:
		case actions >= most:
			return taken, append(left, queue[i:]...)
		case !fits:
			left = append(left, u)
			continue
		}
		taken = append(taken, u)
		actions, bytes = actions+len(u.members), bytes+u.bytes
	}
	return taken, left
}

// done takes units out that are done, whatever became of them.
func (p *plan) done(units ...*unit) {
	for _, u := range units {
		p.open--
		p.order.done(u, p.ready)
	}
}

// again puts the units of a batch back that has failed and done nothing. suspects are
// those of which one or more are wrong, as far as that is known; all where nothing is.
// It gives the group that has failed by itself, and is not tried again.
func (p *plan) again(units, suspects []*unit) (failed *unit) {
	if len(units) == 1 && units[0].group {
		return units[0]
	}
	if len(suspects) == 0 {
		suspects = units
	}
	suspected := make(map[*unit]bool)
	actions := 0
	for _, u := range suspects {
		suspected[u] = true
		actions += len(u.members)
	}
	for _, u := range units {
		u.level++
		if suspected[u] {
			u.level = max(u.level, smaller(actions))
			if len(suspects) == 1 {
				u.level = alone // it has been named
			}
		}
		p.ready(u)
	}
	return nil
}

// smaller is the first level whose batches are smaller than so many actions.
func smaller(actions int) int {
	for level, most := range limits {
		if most < actions {
			return level
		}
	}
	return alone
}

// onlyOne tells whether what may go now of a pool is one write, which is no group.
func (p *plan) onlyOne(key pool) bool {
	n := 0
	for _, units := range p.pools[key].levels {
		for _, u := range units {
			if n++; n > 1 || u.group {
				return false
			}
		}
	}
	return n == 1
}

// back puts units back that have been taken and not sent.
func (p *plan) back(units ...*unit) {
	for _, u := range units {
		p.ready(u)
	}
}

// waiting gives the units that may go now, by their items.
func (p *plan) waiting() map[int]*unit {
	out := make(map[int]*unit)
	put := func(units []*unit) {
		for _, u := range units {
			for _, m := range u.members {
				out[m] = u
			}
		}
	}
	put(p.singles)
	for _, q := range p.pools {
		for _, units := range q.levels {
			put(units)
		}
	}
	return out
}

// take takes units out of those that may go now.
func (p *plan) take(units ...*unit) {
	taken := func(u *unit) bool { return slices.Contains(units, u) }
	p.singles = slices.DeleteFunc(p.singles, taken)
	for _, q := range p.pools {
		for level := range q.levels {
			q.levels[level] = slices.DeleteFunc(q.levels[level], taken)
		}
	}
}

// itself makes units go as themselves that no batch is taken for; groups stay.
func (p *plan) itself(units ...*unit) {
	for _, u := range units {
		u.carried = u.carried && u.group
		p.ready(u)
	}
}
