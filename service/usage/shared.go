package usage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Shared is the store that replicas have in common.
type Shared interface {
	// Write writes a value, which expires.
	Write(ctx context.Context, key string, value []byte, life time.Duration) error
	// Read reads values, in their order; empty for one that does not exist.
	Read(ctx context.Context, keys []string) ([][]byte, error)
	// Change replaces a value, empty for none, by what change makes of it. It may call it
	// several times.
	Change(ctx context.Context, key string, change func([]byte) ([]byte, time.Duration, error)) error
}

const (
	// Every is how often a replica writes what it has counted: what a replica that is
	// killed loses is what it counted since.
	Every = 2 * time.Second
	// lastTime bounds the last writing of a replica that ends.
	lastTime = 2 * time.Second
	// together is how many windows are read at once.
	together = 32
	// mostReplicas bounds those that are known: each start is one.
	mostReplicas = 256
	replicasKey  = "replicas"
)

// windowKey is where a replica's minute stands.
func windowKey(id string, minute int64) string { return fmt.Sprintf("%s:%d", id, minute) }

// A member is a replica in the list of all.
type member struct {
	ID string `json:"id"`
	// First and Last are when it was heard of, in milliseconds.
	First int64 `json:"first"`
	Last  int64 `json:"last"`
}

// Share writes this replica's windows into the store until ctx ends, and then once more.
func (u *Usage) Share(ctx context.Context) {
	if u.config.Shared == nil {
		return
	}
	tick := time.NewTicker(Every)
	defer tick.Stop()
	for {
		_ = u.write(ctx, time.Now()) // what could not be written is written the next time
		select {
		case <-tick.C:
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTime)
			defer cancel()
			_ = u.write(last, time.Now())
			return
		}
	}
}

// write writes what has not been written. The list of replicas comes last: a replica has
// been heard of once its figures are there.
func (u *Usage) write(ctx context.Context, now time.Time) error {
	passed, current, figures := u.unwritten(now)
	for _, p := range passed {
		if err := u.config.Shared.Write(ctx, windowKey(u.id, p.minute), p.form, Kept+time.Hour); err != nil {
			return err
		}
		u.written, u.sent = p.minute+1, Figures{}
	}
	if current != nil && figures != u.sent {
		if err := u.config.Shared.Write(ctx, windowKey(u.id, current.minute), u.packer.pack(current), Kept+time.Hour); err != nil {
			return err
		}
		u.written, u.sent = current.minute, figures
	}
	missing := false
	err := u.config.Shared.Change(ctx, replicasKey, func(text []byte) ([]byte, time.Duration, error) {
		members := membersOf(text, now)
		i := slices.IndexFunc(members, func(m member) bool { return m.ID == u.id })
		if missing = i < 0; missing {
			members = append(members, member{ID: u.id, First: u.start.UnixMilli()})
			i = len(members) - 1
		}
		members[i].Last = now.UnixMilli()
		if n := len(members) - mostReplicas; n > 0 {
			slices.SortStableFunc(members, func(a, b member) int { return int(a.Last - b.Last) })
			members = members[n:]
		}
		out, err := json.Marshal(members)
		return out, Kept + time.Hour, err
	})
	if missing {
		// The store is new, or empty: all has to go there, the next time. An error does not
		// say that the list is as it was: then nothing would tell any more.
		u.written, u.sent = 0, Figures{}
	}
	return err
}

// unwritten are the windows that the store does not have, and the one under way, if
// anything is in it.
func (u *Usage) unwritten(now time.Time) (passed []packed, current *window, figures Figures) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.roll(now)
	for _, p := range u.passed {
		if p.minute >= u.written {
			passed = append(passed, p)
		}
	}
	w := u.live.window()
	figures = w.each[0].sum()
	if figures != (Figures{}) {
		current = w
	}
	return passed, current, figures
}

// sum is all that is in the rows.
func (r *rows) sum() Figures {
	all := r.other
	for i := range r.figures {
		all.add(&r.figures[i])
	}
	return all
}

// membersOf reads the list of replicas, without those that have nothing to say any more.
func membersOf(text []byte, now time.Time) []member {
	var all []member
	if len(text) > 0 && json.Unmarshal(text, &all) != nil {
		return nil // no list of ours: it is begun anew
	}
	oldest := now.Add(-Kept - time.Minute).UnixMilli()
	return slices.DeleteFunc(all, func(m member) bool { return m.Last < oldest || m.First > m.Last || m.ID == "" })
}

var errWindows = errors.New("some of their windows cannot be read: is a replica of another version?")

// others adds the windows of the other replicas from a minute on.
func (u *Usage) others(ctx context.Context, now time.Time, first int64, s *sum) (replicas []Replica, err error) {
	list, err := u.config.Shared.Read(ctx, []string{replicasKey})
	if err != nil {
		return nil, err
	}
	var keys []string
	for _, m := range membersOf(list[0], now) {
		from, to := time.UnixMilli(m.First), time.UnixMilli(m.Last)
		if m.ID == u.id || minuteOf(to) < first {
			continue
		}
		replicas = append(replicas, Replica{ID: m.ID, First: from, Last: to})
		// A clock may be a minute ahead of ours.
		for minute := max(first, minuteOf(from)); minute <= min(minuteOf(to), minuteOf(now)+1); minute++ {
			keys = append(keys, windowKey(m.ID, minute))
		}
	}
	var unread error
	for some := range slices.Chunk(keys, together) {
		values, err := u.config.Shared.Read(ctx, some)
		if err != nil {
			return replicas, err
		}
		for _, v := range values {
			if len(v) == 0 {
				continue // nothing was spent
			}
			w, err := unpack(v)
			if err != nil {
				unread = errWindows
				continue
			}
			s.add(w)
		}
	}
	return replicas, unread
}
