package batch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/merakibroker/merakibroker/service/outcome"
)

// A journal is what the store keeps of a named list, for another replica to go on:
// entries that are only ever added, each behind the last one that its writer knows.
// Where another replica has added one, the list is that replica's, and nothing more is
// sent here.
type journal struct {
	shared   outcome.Shared
	id       string // of the list, which names its entries
	runner   string
	next     int // the number of the next entry
	life     time.Duration
	messages bool
	wake     chan struct{}

	// These have the list's lock: facts are to be kept, so many results are, and lost
	// tells that nothing more can be. said is when the word was given, or renewed, that this
	// replica makes the list.
	facts []fact
	kept  int
	lost  bool
	said  time.Time
}

const (
	// heldFor is how long a replica's word counts that it makes a list, and renewEvery
	// how often it is renewed.
	heldFor, renewEvery = 15 * time.Second, 5 * time.Second
	// patience is how long an entry is tried that the store does not take. With the time
	// since the word was renewed it is less than the word counts.
	patience = 8 * time.Second
	// trusted is how long this replica relies on its word, by its own clock: one that was
	// stopped for a time, with all its process or its machine, sends nothing when it goes on.
	trusted = heldFor - time.Second
	// mostResults is how many results one entry takes, so that it fits into the store.
	mostResults = 500
)

// wakes has the journal look what there is to keep.
func (j *journal) wakes() {
	if j == nil {
		return
	}
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

func (j *journal) key(n int) string { return fmt.Sprintf("list:%s:%d", j.id, n) }

// lost tells whether the list is another replica's by now, or may be, or the store is
// gone. It is asked before anything is sent.
func (l *list) lost() bool {
	l.mu.Lock()
	gone, late := l.gone(), l.journal != nil && time.Since(l.journal.said) >= trusted
	l.mu.Unlock()
	if late && !gone {
		l.lose()
	}
	return gone || late
}

// gone is lost with the lock held.
func (l *list) gone() bool { return l.journal != nil && l.journal.lost }

// shown is how many results may be told: those that are kept. With the lock held.
func (l *list) shown() int {
	if l.journal == nil || l.journal.lost {
		return len(l.results)
	}
	return l.journal.kept
}

// note has a fact kept, with the lock held. What it gives is closed when it is, or when
// that cannot be.
func (l *list) note(f fact) <-chan struct{} {
	f.kept = make(chan struct{})
	j := l.journal
	if j == nil || j.lost {
		close(f.kept)
		return f.kept
	}
	j.facts = append(j.facts, f)
	j.wakes()
	return f.kept
}

// keep has a fact kept before it becomes true; false where it cannot be.
func (l *list) keep(f fact) bool {
	l.mu.Lock()
	kept := l.note(f)
	l.mu.Unlock()
	<-kept
	return !l.lost()
}

// writesOf are the places of items in the list.
func (l *list) writesOf(members []int) []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]int, len(members))
	for i, m := range members {
		out[i] = l.index[m]
	}
	return out
}

// write keeps what becomes known of a list, until nobody reads it and nothing of it is
// under way.
func (l *list) write() {
	j, renewed := l.journal, l.journal.said
	ends := time.AfterFunc(trusted-time.Since(renewed), l.lose) // what waits for its turn waits no more
	defer ends.Stop()
	for !l.lost() {
		wait := renewEvery - time.Since(renewed)
		if wait <= 0 {
			said := time.Now()
			held, err := j.renew()
			switch {
			case err == nil && held:
				renewed, wait = said, renewEvery-time.Since(said)
				l.mu.Lock()
				j.said = said
				l.mu.Unlock()
				ends.Reset(trusted - time.Since(said))
			case err == nil || time.Since(renewed) > renewEvery+patience:
				l.lose()
				return
			default:
				wait = time.Second
			}
		}
		if e, ok := l.unkept(); ok {
			if !j.add(l.of.life, e) {
				l.lose()
				return
			}
			l.keeps(e)
			continue
		}
		if l.release() {
			j.add(l.of.life, entry{Ends: true}) // or its word runs out
			return
		}
		t := time.NewTimer(wait)
		select {
		case <-j.wake:
		case <-t.C:
		}
		t.Stop()
	}
}

// unkept is what is to be kept next; false where there is nothing. A fact comes with, or
// after, all results that were known when it was noted.
func (l *list) unkept() (e entry, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	j := l.journal
	results := l.results[j.kept:]
	if len(results) > mostResults {
		results = results[:mostResults]
	} else {
		e.Facts = j.facts
	}
	for _, r := range results {
		e.Results = append(e.Results, keptOf(r, j.messages))
	}
	return e, len(e.Results)+len(e.Facts) > 0
}

// keeps takes note that an entry is kept.
func (l *list) keeps(e entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	j := l.journal
	if j.lost { // meanwhile
		return
	}
	j.kept += len(e.Results)
	j.facts = j.facts[len(e.Facts):]
	for _, f := range e.Facts {
		close(f.kept)
	}
	l.tell()
}

// lose ends what this replica sends of a list that it cannot keep.
func (l *list) lose() {
	l.of.known.Lock()
	defer l.of.known.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of.lists[l.key] == l {
		delete(l.of.lists, l.key)
	}
	j := l.journal
	j.lost = true
	for _, f := range j.facts {
		close(f.kept)
	}
	j.facts = nil
	l.stop()
	l.tell()
}

// release gives a list back that nobody reads and of which nothing is under way; false
// where there is something to wait for.
func (l *list) release() bool {
	l.of.known.Lock()
	defer l.of.known.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	asking := 0
	for _, n := range l.asking {
		asking += n
	}
	if l.gone() || l.readers+len(l.under)+l.singles+asking+len(l.journal.facts) > 0 || l.journal.kept < len(l.results) {
		return false
	}
	delete(l.of.lists, l.key)
	return true
}

// add puts an entry behind the last one; false where another replica has done so, or the
// store does not take it. Where this process ends it is not tried for long.
func (j *journal) add(life context.Context, e entry) bool {
	e.Runner = j.runner
	text := e.text()
	begun := time.Now()
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		there, err := j.shared.Begin(context.Background(), j.key(j.next), text, j.life) // it answers in time, or not at all
		switch {
		case err == nil && (there == nil || bytes.Equal(there, text)):
			j.next++
			return true
		case err == nil, errors.Is(err, outcome.ErrUnreadable):
			return false
		case errors.Is(err, outcome.ErrTooLarge):
			text = e.brief().text()
		}
		if time.Since(begun)+pause > patience || life.Err() != nil {
			return false
		}
		_ = waited(life, pause) // once more where everything ends
	}
}

// text is an entry as it is stored.
func (e entry) text() []byte {
	text, err := json.Marshal(e)
	if err != nil { // texts and numbers always become JSON
		return nil
	}
	return text
}

// brief is an entry without the Dashboard's words.
func (e entry) brief() entry {
	results := make([]keptResult, len(e.Results))
	for i, r := range e.Results {
		if results[i] = r; r.Fault != nil {
			f := *r.Fault
			f.Messages = nil
			results[i].Fault = &f
		}
	}
	e.Results = results
	return e
}

// renew says that this replica still makes the list; false where its word has run out.
func (j *journal) renew() (held bool, err error) {
	if err := j.shared.Renew(context.Background(), j.runner, heldFor); err != nil {
		return false, err
	}
	return j.shared.Held(context.Background(), j.runner)
}

// read reads the entries that came after the last one, and tells whether nobody makes
// the list.
func (j *journal) read(ctx context.Context, p *past) (free bool, err error) {
	for {
		text, err := j.shared.Read(ctx, j.key(j.next))
		if err != nil {
			return false, err
		}
		if text == nil {
			break
		}
		var e entry
		if err := json.Unmarshal(text, &e); err != nil {
			return false, fmt.Errorf("%w: %w", outcome.ErrUnreadable, err)
		}
		if err := p.add(e); err != nil {
			return false, err
		}
		j.next++
	}
	if p.runner == "" {
		return true, nil
	}
	held, err := j.shared.Held(ctx, p.runner)
	return err == nil && !held, err
}

// begin makes the list this replica's; false where another one was first. Its word stands
// before the entry: nobody finds the entry without.
func (j *journal) begin(ctx context.Context) (mine bool, err error) {
	j.said = time.Now()
	if err := j.shared.Hold(ctx, j.runner, heldFor); err != nil {
		return false, err
	}
	there, err := j.shared.Begin(ctx, j.key(j.next), entry{Runner: j.runner, Begins: true}.text(), j.life)
	if err != nil || there != nil {
		return false, err
	}
	j.next++
	return true, nil
}
