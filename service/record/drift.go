package record

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// maxDrift bounds the distinct places of drift that are kept; what comes after
// is still counted in the metrics.
const maxDrift = 4096

// Drifts counts where answers differed from the contract, by operation and path.
type Drifts struct {
	mu   sync.Mutex
	seen map[driftKey]*Drift
}

type driftKey struct {
	operation, path string
	kind            uint8
}

// A Drift is one place in the answers of one operation that differed from the
// contract, and how often. Kind is one of transcode's.
type Drift struct {
	Operation, Path string
	Kind            uint8
	Count           int64
	First, Last     time.Time
}

// NewDrifts makes an empty one.
func NewDrifts() *Drifts { return &Drifts{seen: make(map[driftKey]*Drift)} }

// Add counts one difference.
func (l *Drifts) Add(operation, path string, kind uint8, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := driftKey{operation, path, kind}
	d := l.seen[key]
	if d == nil {
		if len(l.seen) >= maxDrift {
			return
		}
		d = &Drift{Operation: operation, Path: path, Kind: kind, First: now}
		l.seen[key] = d
	}
	d.Count++
	d.Last = now
}

// List gives what was seen, by operation and path; operation "" for all.
func (l *Drifts) List(operation string) []Drift {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []Drift
	for _, d := range l.seen {
		if operation == "" || d.Operation == operation {
			all = append(all, *d)
		}
	}
	slices.SortFunc(all, func(a, b Drift) int {
		if c := strings.Compare(a.Operation, b.Operation); c != 0 {
			return c
		}
		return strings.Compare(a.Path, b.Path)
	})
	return all
}
