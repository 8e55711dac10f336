package batch

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/audit"
	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/fault"
)

// A flight is one batch, from its POST to its end.
type flight struct {
	list         *list
	organization *organization
	pool         pool
	units        []*unit
	members      []int // the items, in the order of the actions
	actions      []Action
	// template is a call with the terms of the writes.
	template *broker.Call
	unsent   context.Context
	// creates: one of the actions does. The batch is posted unconfirmed then, so that a
	// POST without an answer has created nothing, and confirmed afterwards.
	creates     bool
	synchronous bool
	// alone: one write by itself, to be checked only.
	alone bool
	// number is the batch's in its list. open: it was posted, or was about to be, and
	// nobody has seen an answer.
	number int
	open   bool

	// leave gives the batch's place back.
	leave    func()
	document document // as it was seen last; empty before the POST
	err      error    // why it is followed no more
	requests int
}

// flight makes the flight of units, which are under way from here on; with the lock held.
// Their order in the batch, which means nothing, is drawn by lot: a batch whose POST got
// no answer is then not taken for an older one of the same writes, such as last night's.
func (l *list) flight(o *organization, key pool, units []*unit) *flight {
	rand.Shuffle(len(units), func(i, j int) { units[i], units[j] = units[j], units[i] })
	l.flights++
	return l.flightOf(o, key, units, l.flights)
}

// flightOf is a flight whose order is given.
func (l *list) flightOf(o *organization, key pool, units []*unit, number int) *flight {
	f := &flight{list: l, organization: o, pool: key, units: units, unsent: l.unsent, number: number}
	for _, u := range units {
		l.under[u] = ""
		for _, m := range u.members {
			f.members = append(f.members, m)
			f.actions = append(f.actions, l.actions[m])
			f.creates = f.creates || l.items[m].creates
		}
	}
	f.template = l.template(f.members)
	f.synchronous = len(f.actions) <= mostSynchronous
	return f
}

// run takes the batch to its end; leave gives its place back.
func (f *flight) run(leave func()) {
	f.leave = leave
	observer := f.list.of.config.Observer
	observer.Batching(1)
	how, messages, err := f.fly()
	observer.Batching(-1)
	observer.Batched(string(how), len(f.actions))
	f.list.of.saved(f, how)
	f.leave()
	f.list.ended(f, how, messages, err)
}

// fly is the batch's way. Messages are the Dashboard's, where it failed or was refused.
func (f *flight) fly() (how ending, messages []string, err error) {
	switch {
	case f.open:
		how, messages, err = f.reopen()
	case f.document.ID == "":
		if how = unsent; f.list.keep(fact{Flight: f.number, Members: f.list.writesOf(f.members), Organization: f.pool.organization}) {
			how, messages, err = f.post()
		}
	}
	if how != "" {
		return how, messages, err
	}
	f.list.named(f)
	if f.list.validate {
		f.delete()
		return valid, nil, nil
	}
	if !f.document.Confirmed {
		if how, messages, err = f.confirm(); how != "" {
			return how, messages, err
		}
	}
	if err := f.follow(); err != nil {
		return pending, nil, err
	}
	switch status := &f.document.Status; {
	case status.Failed && len(status.CreatedResources) > 0:
		return unknown, nil, &fault.Error{Kind: fault.OutcomeUnknown, Messages: status.Errors,
			Detail: "the action batch that carried the write failed, and the Dashboard says what it has created all the same: the write may have been executed or not; read the resource before repeating it"}
	case status.Failed:
		return failed, status.Errors, nil
	}
	return done, nil, nil
}

// named puts down the id of the batch, for those whose waiting ends.
func (l *list) named(f *flight) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, u := range f.units {
		l.under[u] = f.document.ID
	}
	l.note(fact{Flight: f.number, Batch: f.document.ID})
}

// do makes a call for the batch.
func (f *flight) do(ctx context.Context, op *apiv1.Operation, path string, body []byte) (*broker.Answer, *fault.Error) {
	t, asked := f.template, time.Now()
	answer, err := f.list.of.config.Dashboard.Do(ctx, &broker.Call{
		Operation: op, Path: path, Body: body, ID: f.pool.organization,
		Caller: t.Caller, Weight: t.Weight, Priority: t.Priority, Share: t.Share, Deadline: f.list.of.config.Longest,
		Key: t.Key, OwnKey: t.OwnKey, Rejected: t.Rejected, Name: f.list.key.name, Face: audit.Batch,
	})
	g := fault.As(err)
	f.list.heard(f.pool.organization, op, asked, g)
	switch {
	case g != nil:
		f.requests += len(g.Attempts)
		return nil, g
	case err != nil:
		return nil, &fault.Error{Kind: fault.Internal, Operation: op.GetId(), Cause: err}
	}
	f.requests += len(answer.Attempts)
	return answer, nil
}

// path is that of the organization's batches, or of one.
func (f *flight) path(id string) string {
	path := "/organizations/" + url.PathEscape(f.pool.organization) + "/actionBatches"
	if id != "" {
		path += "/" + url.PathEscape(id)
	}
	return path
}

const (
	// mostPosts is how often a batch is posted that did not arrive or got no slot of the
	// Dashboard's, before its writes are given back as not tried.
	mostPosts = 10
	// secondLook is when a batch that a POST may have made is looked for again that was
	// not found at once: the POST may still be on its way.
	secondLook = 2 * time.Second
	// mostFailures is after how many polls in a row that failed a batch is followed no
	// more. The broker has tried each of them several times. mostAsks is the same for the
	// reads without which the outcome of a hundred writes would not be known: a minute.
	mostFailures, mostAsks = 5, 12
)

// post makes the batch, and finds it where the POST got no answer. An empty ending says
// that f.document is it.
func (f *flight) post() (ending, []string, error) {
	confirmed := !f.creates && !f.list.validate
	body, err := bodyOf(f.actions, confirmed, f.synchronous && confirmed)
	if err != nil {
		return refused, []string{err.Error()}, nil
	}
	var g *fault.Error
	for tried := 0; tried < mostPosts; {
		var answer *broker.Answer
		f.list.lost() // then unsent has ended
		answer, g = f.do(f.unsent, f.list.of.post, f.path(""), body)
		switch {
		case g == nil:
			if d, ok := readDocument(answer.Body); ok {
				if mine, err := f.claim(d.ID); mine || err != nil { // it is the answer to this very POST
					f.document = d
					return "", nil, nil
				}
			}
		case g.Kind == fault.BadRequest || g.Kind == fault.Conflict:
			return refused, g.Messages, g
		case g.Kind == fault.BudgetExhausted: // nothing was sent
			if !f.again(f.unsent, g) {
				return unsent, nil, nil
			}
			continue
		case g.Kind == fault.RateLimited || g.Kind == fault.Unreachable: // nothing was executed
			tried++
			if !waited(f.unsent, max(g.RetryAfter, time.Second)) {
				return unsent, nil, nil
			}
			continue
		case g.Kind == fault.Cancelled || g.Kind == fault.DeadlineExceeded:
			if f.unsent.Err() != nil {
				return unsent, nil, nil
			}
			return dropped, nil, g
		case g.Kind == fault.Draining:
			return dropped, nil, g
		case !mayBeMade(g):
			return refused, nil, g
		}
		tried++
		switch found, g := f.find(); {
		case g != nil:
			return f.unsure(g)
		case found:
			return "", nil, nil
		}
		if f.unsent.Err() != nil {
			return unsent, nil, nil
		}
	}
	if g == nil {
		g = &fault.Error{Kind: fault.Unreachable, Detail: "the Dashboard's answers to the action batch cannot be read, and it has made none"}
	}
	return dropped, nil, g
}

// mayBeMade tells a failed POST after which the batch may be there.
func mayBeMade(g *fault.Error) bool {
	switch g.Kind {
	case fault.OutcomeUnknown, fault.Dashboard, fault.Malformed, fault.TooLarge, fault.Internal, fault.Unknown:
		return true
	}
	return false
}

// find looks for the batch that a POST may have made, by the value of its actions. A
// fault says that it cannot be known.
func (f *flight) find() (bool, *fault.Error) {
	life := f.list.of.life
	var whose error // nil where it is known whose the batches are
	for look := range 2 {
		if look > 0 && !waited(life, secondLook) {
			break
		}
		whose = nil
		var rows []json.RawMessage
		g := f.ask(f.list.of.list, f.path(""), func(body []byte) bool {
			var err error
			rows, err = rowsOf(body)
			return err == nil
		})
		if g != nil {
			return false, g
		}
		for i := len(rows) - 1; i >= 0; i-- {
			d, ok := readDocument(rows[i])
			if !ok || !d.carries(f.actions) {
				continue
			}
			mine, err := f.claim(d.ID)
			if mine {
				f.document = d
				return true, nil
			}
			whose = cmp.Or(whose, err)
		}
	}
	if whose != nil {
		return false, &fault.Error{Detail: "there is an action batch of the same writes, and the store does not say whose it is: " + whose.Error()}
	}
	return false, nil
}

// ask makes a read that is needed to know what became of writes, as long as it may bring
// something: until read can read the answer, or it fails in a way that is final.
func (f *flight) ask(op *apiv1.Operation, path string, read func(body []byte) bool, final ...fault.Kind) (g *fault.Error) {
	life := f.list.of.life
	for tried := 0; tried < mostAsks; {
		var answer *broker.Answer
		answer, g = f.do(life, op, path, nil)
		switch {
		case g == nil && read(answer.Body):
			return nil
		case g == nil:
			g = &fault.Error{Kind: fault.Malformed, Operation: op.GetId(), Detail: "the Dashboard's answer cannot be read"}
		case slices.Contains(final, g.Kind):
			return g
		}
		if g.Kind == fault.BudgetExhausted { // held, or too busy: nothing is wrong
			if f.again(life, g) {
				continue
			}
			break
		}
		tried++
		if g.Kind == fault.Draining || !waited(life, max(g.RetryAfter, mostWait)) {
			break
		}
	}
	return g
}

// see takes the batch as it is now from an answer; false where it cannot be read.
func (f *flight) see(body []byte) bool {
	d, ok := readDocument(body)
	if ok {
		f.document = d
	}
	return ok
}

// lost is the fault of writes whose batch cannot be found out about.
func (f *flight) lost(g *fault.Error) *fault.Error {
	out := *g
	out.Kind, out.Reason, out.RetryAfter = fault.OutcomeUnknown, "", 0
	out.Detail = "the action batch that carried the write may have been executed or not, and reading what became of it failed: " + g.Detail + "; read the resource before repeating the write"
	return &out
}

// follow polls a batch that has begun until it has ended. The error says why it is
// followed no more.
func (f *flight) follow() error {
	life := f.list.of.life
	first, p := f.organization.pace()
	begun := time.Now()
	asked := begun
	wait, polls, failures := first, 0, 0
	for !f.document.ended() {
		if time.Since(begun)+wait > f.list.of.config.Longest {
			return &fault.Error{Kind: fault.DeadlineExceeded, Detail: fmt.Sprintf("the action batch has not ended in %s; it may still do so", f.list.of.config.Longest)}
		}
		if !waited(life, wait) {
			return fault.Stopping("")
		}
		asked = time.Now()
		polls++
		answer, g := f.do(life, f.list.of.read, f.path(f.document.ID), nil)
		if g != nil {
			if g.Kind != fault.BudgetExhausted { // held, or too busy: nothing is wrong with the batch
				failures++
			}
			if failures >= mostFailures || g.Kind == fault.Draining {
				return g
			}
			wait = max(p.wait(), g.RetryAfter)
			continue
		}
		failures = 0
		if d, ok := readDocument(answer.Body); ok {
			f.document = d
		}
		wait = p.wait()
	}
	if polls > 0 {
		f.organization.learn(asked.Sub(begun), polls == 1)
	}
	return nil
}
