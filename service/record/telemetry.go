package record

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// A TelemetryInterval is what the vendor counted in one interval, as
// apiRequests/overview/responseCodes/byInterval answers it.
type TelemetryInterval struct {
	Start, End time.Time
	Counts     map[int]int64 // by status
}

// Bounds on what is believed of the vendor's telemetry: a day in its finest
// intervals, with some room, and more requests than an organization has budget for.
const (
	maxIntervals = 1000
	maxCount     = 1 << 40
)

// ParseTelemetry reads the answer of getOrganizationApiRequestsOverviewResponseCodesByInterval.
// Intervals come back in order of start.
func ParseTelemetry(document []byte) ([]TelemetryInterval, error) {
	var rows []struct {
		StartTs, EndTs time.Time
		Counts         []struct {
			Code  int
			Count int64
		}
	}
	if err := json.Unmarshal(document, &rows); err != nil {
		return nil, fmt.Errorf("the vendor's telemetry cannot be read: %w", err)
	}
	if len(rows) > maxIntervals {
		return nil, fmt.Errorf("the vendor's telemetry has %d intervals; a day has at most %d", len(rows), maxIntervals)
	}
	intervals := make([]TelemetryInterval, 0, len(rows))
	for _, row := range rows {
		if !row.StartTs.Before(row.EndTs) {
			return nil, fmt.Errorf("the vendor's telemetry has an interval that does not end after its start, at %s", row.StartTs.Format(time.RFC3339))
		}
		t := TelemetryInterval{Start: row.StartTs, End: row.EndTs, Counts: make(map[int]int64, len(row.Counts))}
		for _, c := range row.Counts {
			if 0 < c.Count && c.Count < maxCount {
				t.Counts[c.Code] += c.Count
			}
		}
		intervals = append(intervals, t)
	}
	slices.SortFunc(intervals, func(a, b TelemetryInterval) int { return a.Start.Compare(b.Start) })
	return intervals, nil
}

// A StatusCount is one status in a Comparison.
type StatusCount struct {
	// Status is 0 for attempts without an answer.
	Status       int
	Ours, Theirs int64
}

// A Comparison holds our counts beside the vendor's.
type Comparison struct {
	// Start and End of what was compared; both zero when nothing could be.
	Start, End time.Time
	// Counts by status, in order of status.
	Counts       []StatusCount
	Ours, Theirs int64
	// NeverArrived is how many attempts the vendor does not know about. With
	// several replicas under one User-Agent the vendor counts all of them and we
	// only ours, and it is 0 or too small.
	NeverArrived int64
}

// Compare holds the record of an organization against the vendor's telemetry of
// the same intervals. Intervals that began before the record did, or are older
// than it reaches, are left out on both sides, and so is one that has not ended
// by until: the vendor's counts come late.
func (r *Record) Compare(organization string, theirs []TelemetryInterval, until time.Time) Comparison {
	r.mu.Lock()
	defer r.mu.Unlock()
	var c Comparison
	if r.since.IsZero() {
		return c
	}
	from := r.since
	if reach := until.Add(-coarseSpan); reach.After(from) {
		from = reach
	}
	counts := make(map[int]StatusCount)
	var compared []TelemetryInterval
	for _, t := range theirs {
		if t.Start.Before(from) || t.End.After(until) {
			continue
		}
		compared = append(compared, t)
		for status, n := range t.Counts {
			sc := counts[status]
			sc.Theirs += n
			counts[status] = sc
			c.Theirs += n
		}
	}
	if len(compared) == 0 {
		return c
	}
	slices.SortFunc(compared, func(a, b TelemetryInterval) int { return a.Start.Compare(b.Start) })
	c.Start, c.End = compared[0].Start, compared[len(compared)-1].End
	ours := make(map[int]int64)
	if e := r.orgs[cutText(organization)]; e != nil {
		e.Value.(*series).statuses(func(start time.Time) bool {
			i, exact := slices.BinarySearchFunc(compared, start, func(t TelemetryInterval, at time.Time) int { return t.Start.Compare(at) })
			return exact || i > 0 && start.Before(compared[i-1].End)
		}, ours)
	}
	for status, n := range ours {
		sc := counts[status]
		sc.Ours = n
		counts[status] = sc
		c.Ours += n
	}
	for status := range maps.Keys(counts) {
		sc := counts[status]
		sc.Status = status
		c.Counts = append(c.Counts, sc)
	}
	slices.SortFunc(c.Counts, func(a, b StatusCount) int { return cmp.Compare(a.Status, b.Status) })
	c.NeverArrived = max(c.Ours-c.Theirs, 0)
	return c
}
