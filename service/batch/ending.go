package batch

import (
	"net/http"
	"slices"
	"strings"

	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/fault"
)

// An ending is how a flight ended.
type ending string

const (
	done    ending = "done"
	failed  ending = "failed"  // when it ran; nothing was done
	refused ending = "refused" // at its POST
	valid   ending = "valid"
	unsent  ending = "unsent"  // nobody reads any more
	dropped ending = "dropped" // it could not be sent
	pending ending = "pending"
	unknown ending = "unknown"
)

// ended does what follows from the end of a flight.
func (l *list) ended(f *flight, how ending, messages []string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.tell()
	if f.alone {
		l.singles--
	}
	if how == done || how == failed || how == valid {
		l.refused[f.pool] = 0
	}
	if how != pending {
		l.note(fact{Flight: f.number, Over: true})
	}
	switch how {
	case done, valid:
		l.succeed(f, map[ending]State{done: Done, valid: Valid}[how])
	case failed, refused:
		l.fail(f, how, messages, fault.As(err))
	case unsent:
		for _, u := range f.units {
			delete(l.under, u)
		}
		l.plan.back(f.units...)
	case dropped:
		for _, u := range f.units {
			delete(l.under, u)
			l.dropped[u] = err
		}
	case pending:
		f.err = err
		for _, u := range f.units {
			delete(l.under, u)
		}
		for _, m := range f.members {
			l.audit(Result{Index: l.index[m], State: Pending, Batch: f.document.ID, Err: err}, nil)
		}
		l.parked = append(l.parked, f)
	case unknown:
		for _, u := range f.units {
			l.settle(u, Result{State: Failed, Batch: f.document.ID, Err: err}, nil)
		}
	}
	l.advance()
}

// succeed settles the units of a batch that is done.
func (l *list) succeed(f *flight, state State) {
	made := f.document.made(f.actions)
	at := 0
	for _, u := range f.units {
		for range u.members {
			m := f.members[at]
			r := Result{Index: l.index[m], State: state, Resource: l.items[m].path}
			if state == Done {
				r.Batch = f.document.ID
			}
			if uri := made[at]; uri != "" && state == Done {
				r.Resource, r.Created = uri, uri[strings.LastIndexByte(uri, '/')+1:]
			}
			l.result(r, nil)
			at++
		}
		delete(l.under, u)
	}
	l.plan.done(f.units...)
}

// mostRefusals is after how many batches in a row that were refused for something else
// than their actions, such as a key that may make none, the writes go by themselves.
const mostRefusals = 3

// fail puts the units of a batch back that has done nothing. What is named leaves, and
// is named by its own words when it goes by itself.
func (l *list) fail(f *flight, how ending, messages []string, g *fault.Error) {
	for _, u := range f.units {
		delete(l.under, u)
	}
	if f.alone {
		l.settle(f.units[0], Result{State: Failed, Err: refusal(f.template, messages, g)}, nil)
		return
	}
	if how == refused && (g == nil || g.HTTPStatus != http.StatusBadRequest) {
		l.refused[f.pool]++
	}
	var suspects []*unit
	for _, text := range messages {
		for _, i := range blame(text, f.actions) {
			at := 0
			for _, u := range f.units {
				if at += len(u.members); i >= at {
					continue
				}
				if !slices.Contains(suspects, u) {
					suspects = append(suspects, u)
				}
				break
			}
		}
	}
	if u := l.plan.again(f.units, suspects); u != nil {
		l.group(u, messages, g)
	}
}

// saved counts what a batch has saved. Batches that failed, and the writes among them
// that had to go again, are paid off first.
func (b *Batches) saved(f *flight, how ending) {
	b.mu.Lock()
	b.debt += f.requests
	if how == done || how == valid {
		b.debt -= len(f.actions)
	}
	n := max(0, -b.debt)
	b.debt = max(0, b.debt)
	b.mu.Unlock()
	b.config.Observer.BatchesSaved(n)
	b.config.Dashboard.SavedByBatch(&broker.Call{Operation: b.post, Caller: f.template.Caller, ID: f.pool.organization}, n)
}
