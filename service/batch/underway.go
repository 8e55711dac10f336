package batch

import (
	"cmp"
	"maps"
	"slices"
)

// An UnderWay is what an organization has under way.
type UnderWay struct {
	Organization string
	// Batches are under way, of Places at the most; Waiting are lists that wait for a
	// place.
	Batches, Places, Waiting int
	// Held are batches, and writes that go by themselves, that an operator holds.
	Held int
	// Callers are whose the batches are.
	Callers []string
}

// UnderWay gives the organizations that have batches under way, those with the most
// first; no more than limit.
func (b *Batches) UnderWay(limit int) []UnderWay {
	b.mu.Lock()
	all := maps.Clone(b.organizations)
	b.mu.Unlock()
	var out []UnderWay
	for id, o := range all {
		o.mu.Lock()
		if o.taken > 0 || len(o.waiting) > 0 || o.stopped > 0 {
			out = append(out, UnderWay{id, o.taken, o.limit, len(o.waiting), o.stopped, slices.Sorted(maps.Keys(o.held))})
		}
		o.mu.Unlock()
	}
	slices.SortFunc(out, func(x, y UnderWay) int {
		return cmp.Or(-cmp.Compare(x.Batches, y.Batches), cmp.Compare(x.Organization, y.Organization))
	})
	return out[:min(len(out), limit)]
}
