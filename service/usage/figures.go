package usage

import "time"

// A Figure is one of the things that are counted.
type Figure int

// The figures. Their numbers are those of the packed form: new ones come last.
const (
	// Requests are calls that reached the budgets.
	Requests Figure = iota
	// Attempts are HTTP requests to the Dashboard, and RateLimited those answered 429.
	Attempts
	RateLimited
	// Refusals are calls refused before anything was sent for them.
	Refusals
	// Waits for a slot, and the sum of their times in microseconds.
	Waits
	WaitMicroseconds
	// RequestBytes and ResponseBytes are bodies that callers sent and were given.
	RequestBytes
	ResponseBytes
	// Requests that were not needed: shared reads joined one under way, cached ones were
	// answered from what was kept, batched writes went in batches, watched reads would
	// have been made by watchers, each for itself.
	SharedReads
	CachedReads
	BatchedWrites
	WatchedReads

	figures
)

// Figures is what was spent. None is below 0.
type Figures [figures]int64

// add adds g.
func (f *Figures) add(g *Figures) {
	for i := range f {
		f[i] += g[i]
	}
}

// less is f without g, which is a part of it.
func (f *Figures) less(g *Figures) (out Figures) {
	for i := range f {
		out[i] = f[i] - g[i]
	}
	return out
}

// rank is by what the largest are told.
func (f *Figures) rank() int64 { return max(1, f[Attempts]+f[Requests]) }

// A Key is who spent, where, on what. Each part is empty where it is not known, or does
// not matter.
type Key struct{ Caller, Organization, Operation string }

// Groups are parts of a Key.
type Groups uint8

// The groups.
const (
	ByCaller Groups = 1 << iota
	ByOrganization
	ByOperation
)

// singles are the groups, one by one.
var singles = [...]Groups{ByCaller, ByOrganization, ByOperation}

// of is the key without the parts that do not matter.
func (g Groups) of(k Key) Key {
	if g&ByCaller == 0 {
		k.Caller = ""
	}
	if g&ByOrganization == 0 {
		k.Organization = ""
	}
	if g&ByOperation == 0 {
		k.Operation = ""
	}
	return k
}

// named are the parts of a key that are not empty.
func (k Key) named() (g Groups) {
	if k.Caller != "" {
		g |= ByCaller
	}
	if k.Organization != "" {
		g |= ByOrganization
	}
	if k.Operation != "" {
		g |= ByOperation
	}
	return g
}

// minuteOf is the number of the minute in which t lies.
func minuteOf(t time.Time) int64 { return t.Unix() / 60 }
