package record

import (
	"math"
	"slices"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
)

// Attempts are counted in slots of time. Fine slots serve the shortest window of
// health. Coarse slots serve the longer windows and the comparison with the
// vendor's telemetry, whose finest interval is 120 s and starts on the hour, as
// coarse slots do.
const (
	fineSlot   = 10 * time.Second
	fineSlots  = 31 // five minutes and the slot that is being filled
	coarseSlot = 2 * time.Minute
	coarseSpan = 24 * time.Hour
	recentIDs  = 10
)

// A tally counts attempts and their failures.
type tally struct {
	attempts int64
	// serverErrors counts answers with status 500 and above.
	serverErrors int64
	// neverArrived counts attempts that cannot be in the vendor's telemetry:
	// those answered 502, 503, 504 or above 511, and those without an answer.
	neverArrived int64
	// failed counts attempts that are in either of the two counts, or in both.
	failed int64
}

// noAnswer and leftEarly take the place of a status where there was no answer.
// leftEarly says that the caller left before there could be one, which counts as
// no failure.
const (
	noAnswer  = 0
	leftEarly = 1
)

// statusKey is the status, or its substitute, under which an attempt is counted.
func statusKey(a *Attempt) uint16 {
	if a.Status == 0 && a.Outcome == fault.Left {
		return leftEarly
	}
	return uint16(a.Status)
}

// count adds n attempts that ended with a status.
func (t *tally) count(status uint16, n int64) {
	t.attempts += n
	server := status >= 500
	never := status == noAnswer || 502 <= status && status <= 504 || status > 511
	if server {
		t.serverErrors += n
	}
	if never {
		t.neverArrived += n
	}
	if server || never {
		t.failed += n
	}
}

func (t *tally) add(o tally) {
	t.attempts += o.attempts
	t.serverErrors += o.serverErrors
	t.neverArrived += o.neverArrived
	t.failed += o.failed
}

// A series counts the attempts of one organization, or of all. It is guarded by
// its Record's lock.
type series struct {
	id     string    // of the organization
	last   time.Time // when the latest attempt ended
	fine   [fineSlots]fineCount
	coarse []coarseCount // in order of slot
	failed []failedID    // the latest, oldest first
}

// A fineCount counts the attempts that ended in one slot. The slots use the
// entries of a ring in turn; an entry belongs to the slot that wrote it last.
type fineCount struct {
	slot  int64
	tally tally
}

// A coarseCount counts the attempts that started in one slot and ended with one
// status. A full count is followed by another entry for the same slot and status.
// The fields are small, because an organization that is active all day has a
// thousand of these entries.
type coarseCount struct {
	slot   uint32
	status uint16
	n      uint16
}

type failedID struct {
	at time.Time
	id string
}

func slotOf(t time.Time, d time.Duration) int64 { return t.UnixNano() / int64(d) }

// add counts an attempt.
func (s *series) add(a *Attempt) {
	end := a.Start.Add(a.Duration)
	if end.After(s.last) {
		s.last = end
	}
	status := statusKey(a)
	slot := slotOf(end, fineSlot)
	f := &s.fine[uint64(slot)%fineSlots]
	if f.slot < slot {
		*f = fineCount{slot: slot}
	}
	if f.slot == slot {
		f.tally.count(status, 1)
	}
	s.addCoarse(uint32(slotOf(a.Start, coarseSlot)), status)
	var one tally
	if one.count(status, 1); one.failed > 0 && a.RequestID != "" {
		if len(s.failed) == recentIDs {
			copy(s.failed, s.failed[1:])
			s.failed = s.failed[:recentIDs-1]
		}
		s.failed = append(s.failed, failedID{end, a.RequestID})
	}
}

// addCoarse counts an attempt in its slot. The slot is the last one or, for an
// attempt that took long, a slot a little before the last.
func (s *series) addCoarse(slot uint32, status uint16) {
	i := len(s.coarse)
	for i > 0 && s.coarse[i-1].slot >= slot {
		i--
		if c := &s.coarse[i]; c.slot == slot && c.status == status && c.n < math.MaxUint16 {
			c.n++
			return
		}
	}
	s.coarse = slices.Insert(s.coarse, i, coarseCount{slot, status, 1})
	// One slot more than the span, because the first is never all inside of it.
	oldest := s.coarse[len(s.coarse)-1].slot - uint32(coarseSpan/coarseSlot) - 1
	if s.coarse[0].slot < oldest {
		s.coarse = slices.DeleteFunc(s.coarse, func(c coarseCount) bool { return c.slot < oldest })
	}
}

// window tallies the attempts of the last d before now: five minutes by the fine
// slots, anything longer by the coarse ones.
func (s *series) window(now time.Time, d time.Duration) tally {
	var t tally
	if d < fineSlot*fineSlots {
		first, last := slotOf(now.Add(-d), fineSlot)+1, slotOf(now, fineSlot)
		for i := range s.fine {
			if f := &s.fine[i]; first <= f.slot && f.slot <= last {
				t.add(f.tally)
			}
		}
		return t
	}
	first, last := slotOf(now.Add(-d), coarseSlot)+1, slotOf(now, coarseSlot)
	for _, c := range s.coarse {
		if slot := int64(c.slot); first <= slot && slot <= last {
			t.count(c.status, int64(c.n))
		}
	}
	return t
}

// statuses adds the number of attempts with each status to counts, for the coarse
// slots whose start is wanted.
func (s *series) statuses(wanted func(start time.Time) bool, counts map[int]int64) {
	for _, c := range s.coarse {
		if !wanted(time.Unix(0, int64(c.slot)*int64(coarseSlot))) {
			continue
		}
		status := int(c.status)
		if status == leftEarly {
			status = noAnswer
		}
		counts[status] += int64(c.n)
	}
}

// ids gives the request ids of failed attempts that ended after from, the latest
// first.
func (s *series) ids(from time.Time) []string {
	var ids []string
	for _, f := range slices.Backward(s.failed) {
		if f.at.After(from) {
			ids = append(ids, f.id)
		}
	}
	return ids
}
