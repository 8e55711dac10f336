package watch

import (
	"bytes"
	"iter"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
)

// An Update is what leads a watcher from the state that it has to the newest one.
type Update struct {
	// Asked is when the Dashboard was asked for the newest state.
	Asked time.Time
	// Trouble is why the state has not been read anew for long; nil when it has. An
	// update with it has no parts.
	Trouble *fault.Error

	// whole: nothing holds of what the watcher had.
	whole            bool
	form             form
	rest             []byte
	changed, removed []row
}

// A Part is one message of an update.
type Part struct {
	// Changed and Removed are documents in the form of the operation's answer; nil for
	// none.
	Changed, Removed []byte
	// Whole: a whole state begins. More: the next part belongs to it.
	Whole, More bool
}

// difference leads from a state that a watcher has, nil for none, to a newer one. It
// is nil when they say the same.
func difference(old, to *State, asked time.Time) *Update {
	if old == to {
		return nil
	}
	if old == nil || old.form != to.form {
		return entire(to, asked)
	}
	u := &Update{Asked: asked, form: to.form}
	for _, r := range to.rows {
		if i, there := old.index[r.name]; !there || !bytes.Equal(old.rows[i].text, r.text) {
			u.changed = append(u.changed, r)
		}
	}
	for _, r := range old.rows {
		if _, there := to.index[r.name]; there {
			continue
		}
		if _, there := to.index[r.key]; !there || !r.named() {
			u.removed = append(u.removed, r)
		}
	}
	if len(old.last)+len(to.last) > 0 {
		u.resend(old, to)
	}
	if len(u.changed)+len(u.removed) == 0 {
		return nil
	}
	u.whole = to.form == single
	return u
}

// resend adds the last rows with keys that several rows have, or had. Who goes by the key
// has one row for each: it must not be removed because another one has gone, and has to be
// the last one whichever has changed.
func (u *Update) resend(old, to *State) {
	sent := make(map[string]string) // by key
	for _, r := range u.changed {
		sent[r.key] = r.name
	}
	for _, s := range [...]*State{old, to} {
		for key := range s.last {
			first, there := to.index[key]
			if !there || !to.rows[first].named() {
				continue
			}
			last := to.rows[to.lastOf(key)]
			name, changed := sent[key]
			if changed && name == last.name || !changed && bytes.Equal(old.rows[old.lastOf(key)].text, last.text) {
				continue
			}
			sent[key] = last.name
			u.changed = append(u.changed, last)
		}
	}
}

// entire gives a state whole.
func entire(s *State, asked time.Time) *Update {
	return &Update{Asked: asked, whole: true, form: s.form, rest: s.rest, changed: s.rows}
}

// Parts gives the update in messages whose documents have about the size at the most:
// a row is never cut. What is removed comes first: a key that comes back as another type may
// be the same to a client.
func (u *Update) Parts(size int) iter.Seq[Part] {
	return func(yield func(Part) bool) {
		if u.Trouble != nil {
			return
		}
		changed, removed := u.changed, u.removed
		first := u.whole
		for first || len(changed)+len(removed) > 0 {
			p, room := Part{Whole: first}, size
			if len(removed) > 0 {
				n := fitting(removed, &room, true)
				p.Removed = u.document(removed[:n], false)
				removed = removed[n:]
			}
			if len(removed) == 0 && (first || len(changed) > 0) && (room > 0 || p.Removed == nil) {
				n := fitting(changed, &room, p.Removed == nil)
				if n > 0 || first {
					p.Changed = u.document(changed[:n], first)
				}
				changed = changed[n:]
			}
			first, p.More = false, len(changed)+len(removed) > 0
			if !yield(p) {
				return
			}
		}
	}
}

// fitting is how many of the rows have room, one at the least where that is said.
func fitting(rows []row, room *int, one bool) int {
	for n, r := range rows {
		if len(r.text) > *room && (n > 0 || !one) {
			return n
		}
		*room -= len(r.text)
	}
	return len(rows)
}

// document puts rows together as the operation answers them; whole with what stands
// beside them.
func (u *Update) document(rows []row, whole bool) []byte {
	if u.form == single {
		return rows[0].text
	}
	n := len(`{"items":[]}`) + len(u.rest)
	for _, r := range rows {
		n += len(r.text) + 1
	}
	b := make([]byte, 0, n)
	if u.form == items {
		b = append(b, `{"items":`...)
	}
	b = append(b, '[')
	for i, r := range rows {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, r.text...)
	}
	b = append(b, ']')
	if u.form != items {
		return b
	}
	if whole && len(u.rest) > len("{}") {
		return append(append(b, ','), u.rest[1:]...)
	}
	return append(b, '}')
}
