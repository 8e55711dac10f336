package batch

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/fault"
)

// call is the call of an item.
func (l *list) call(m int) *broker.Call { return l.placed[l.index[m]].call }

// alone makes a write by itself, as its own RPC would.
func (l *list) alone(unsent context.Context, u *unit, number int) {
	c := l.call(u.members[0])
	var answer *broker.Answer
	var err error
	if l.keep(fact{Flight: number, Members: l.writesOf(u.members), Alone: true}) {
		answer, err = l.make(unsent, c, l.placed[l.index[u.members[0]]].organization)
	} else {
		err = noStore(nil)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.tell()
	l.note(fact{Flight: number, Over: true})
	l.singles--
	f := fault.As(err)
	switch {
	case err == nil:
		r := Result{State: Done, Resource: c.Path}
		if creates(c.Operation) {
			if r.Created = idIn(answer.Body); r.Created != "" {
				r.Resource = c.Path + "/" + r.Created
			}
		}
		if l.answers {
			r.Answer = answer
		}
		l.settle(u, r, answer)
	case f != nil && (f.Kind == fault.Draining || f.Reason == reasonNoStore):
		delete(l.under, u)
		l.dropped[u] = err
	case f != nil && (f.Kind == fault.Cancelled || f.Kind == fault.DeadlineExceeded) && unsent.Err() != nil:
		delete(l.under, u)
		l.plan.back(u) // nothing was sent, or what was sent was not executed
	default:
		l.settle(u, Result{State: Failed, Err: err}, nil)
	}
	l.advance()
}

// mostBusy is how often a call goes again that the broker gave up because the Dashboard
// stayed busy.
const mostBusy = 10

// make makes a call. What finds no slot in time comes back as it is told to, as long as
// somebody waits for it.
func (l *list) make(unsent context.Context, c *broker.Call, organization string) (*broker.Answer, error) {
	itself := *c
	itself.Untold = true // it may go several times, and is told once
	c = &itself
	for busy := 0; ; {
		l.lost() // then unsent has ended
		asked := time.Now()
		answer, err := l.of.config.Dashboard.Do(unsent, c)
		f := fault.As(err)
		l.heard(organization, c.Operation, asked, f)
		switch {
		case f == nil:
			return answer, err
		case f.Kind == fault.BudgetExhausted:
		case f.Kind == fault.RateLimited && busy < mostBusy:
			busy++
		default:
			return nil, err
		}
		if !l.of.of(organization).again(unsent, f) {
			return nil, fault.Ended(c.Operation.GetId(), unsent.Err(), "waiting for a slot")
		}
	}
}

// waited waits, and tells whether ctx has lasted for it.
func waited(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// idIn is the id of a document; empty where it has none.
func idIn(body []byte) string {
	object, _ := decode(body).(map[string]any)
	switch id := object["id"].(type) {
	case string:
		return id
	case json.Number:
		return id.String()
	}
	return ""
}

// group settles a group that has failed for messages: those that are named have them,
// the others were not made. With the lock held.
func (l *list) group(u *unit, messages []string, g *fault.Error) {
	actions := make([]Action, len(u.members))
	for i, m := range u.members {
		actions[i] = l.actions[m]
	}
	wrong := make(map[int][]string)
	for _, text := range messages {
		for _, i := range blame(text, actions) {
			wrong[i] = append(wrong[i], text)
		}
	}
	delete(l.under, u)
	for i, m := range u.members {
		c := l.call(m)
		r := Result{Index: l.index[m], State: Failed, Resource: c.Path}
		switch {
		case len(wrong) == 0 || wrong[i] != nil:
			said := wrong[i]
			if said == nil {
				said = messages
			}
			r.Err = refusal(c, said, g)
		default:
			r.State = NotTried
			r.Err = &fault.Error{Kind: fault.Conflict, Reason: reasonGroup, Operation: c.Operation.GetId(),
				Detail: "another write of the same group was refused, so that nothing of the group was done"}
		}
		l.result(r, nil)
	}
	l.plan.done(u)
}

// refusal is the fault of a write that was refused in a batch: g is the batch's own, nil
// where the batch failed when it ran.
func refusal(c *broker.Call, messages []string, g *fault.Error) *fault.Error {
	out := fault.Error{Kind: fault.BadRequest, HTTPStatus: http.StatusBadRequest}
	if g != nil {
		out = *g
	}
	out.Operation, out.Messages = c.Operation.GetId(), messages
	out.Detail = "the Dashboard refused the write in an action batch; correct it as the messages say"
	return &out
}
