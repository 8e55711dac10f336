package service

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/merakibroker/merakibroker/service/transcode"
)

// maxDrift bounds the distinct places of drift that are kept; what comes after
// is still counted in the metrics.
const maxDrift = 4096

// A driftLog counts where answers differed from the contract, by operation and path.
type driftLog struct {
	mu   sync.Mutex
	seen map[driftKey]*driftEntry
}

type driftKey struct {
	operation, path string
	kind            transcode.Drift
}

type driftEntry struct {
	driftKey
	count       int64
	first, last time.Time
}

func newDriftLog() *driftLog { return &driftLog{seen: make(map[driftKey]*driftEntry)} }

func (l *driftLog) add(operation, path string, kind transcode.Drift, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := driftKey{operation, path, kind}
	e := l.seen[key]
	if e == nil {
		if len(l.seen) >= maxDrift {
			return
		}
		e = &driftEntry{driftKey: key, first: now}
		l.seen[key] = e
	}
	e.count++
	e.last = now
}

// list gives what was seen, by operation and path; operation "" for all.
func (l *driftLog) list(operation string) []driftEntry {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []driftEntry
	for _, e := range l.seen {
		if operation == "" || e.operation == operation {
			all = append(all, *e)
		}
	}
	slices.SortFunc(all, func(a, b driftEntry) int {
		if c := strings.Compare(a.operation, b.operation); c != 0 {
			return c
		}
		return strings.Compare(a.path, b.path)
	})
	return all
}
