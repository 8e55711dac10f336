package batch

import (
	"fmt"

	"github.com/merakibroker/merakibroker/service/fault"
)

// confirm lets a batch begin that was posted unconfirmed. An empty ending says that it
// has begun.
func (f *flight) confirm() (ending, []string, error) {
	life := f.list.of.life
	body := fmt.Appendf(nil, `{"confirmed":true,"synchronous":%t}`, f.synchronous)
	for tried := 0; tried < mostFailures; {
		if f.list.lost() { // it is another replica's to confirm or to delete
			return pending, nil, noStore(nil)
		}
		if f.unsent.Err() != nil {
			if !f.delete() && f.list.journal != nil {
				return pending, nil, fault.Stopping("") // the next replica finds it, and confirms it
			}
			return unsent, nil, nil
		}
		answer, g := f.do(life, f.list.of.confirm, f.path(f.document.ID), body)
		switch {
		case g == nil:
			f.see(answer.Body)
		case g.Kind == fault.BadRequest && g.HTTPStatus != 0:
			if f.delete() || missing(f.reread()) {
				return refused, g.Messages, g
			}
		case g.Kind == fault.Draining && f.list.journal != nil:
			return pending, nil, g
		case g.Kind == fault.Draining:
			return dropped, nil, g
		case g.Kind == fault.BudgetExhausted: // held, or too busy: nothing is wrong
			_ = f.again(f.unsent, g)
			continue
		case g.Kind == fault.RateLimited:
			tried++
			_ = f.again(f.unsent, g)
			continue
		}
		tried++
		if f.document.Confirmed {
			return "", nil, nil
		}
		// Whether it has begun is what the batch itself says.
		if g := f.ask(f.list.of.read, f.path(f.document.ID), f.see); g != nil {
			return f.unsure(g)
		}
		if f.document.Confirmed {
			return "", nil, nil
		}
	}
	if !f.delete() { // it has been confirmed after all, or the answer was lost
		switch g := f.reread(); {
		case g == nil && f.document.Confirmed:
			return "", nil, nil
		case g == nil:
			return unknown, nil, f.lost(&fault.Error{Detail: "it could neither be confirmed nor deleted"})
		case !missing(g):
			return f.unsure(g)
		}
	}
	return dropped, nil, &fault.Error{Kind: fault.Unreachable, Detail: "the action batch that carries the write could not be confirmed; nothing was done"}
}

// reread reads a batch whose deletion has failed, or was not heard of: then it is missing,
// also when it is looked for again.
func (f *flight) reread() (g *fault.Error) {
	life := f.list.of.life
	if g = f.ask(f.list.of.read, f.path(f.document.ID), f.see, fault.NotFound); missing(g) && waited(life, secondLook) {
		g = f.ask(f.list.of.read, f.path(f.document.ID), f.see, fault.NotFound)
	}
	return g
}

func missing(g *fault.Error) bool { return g != nil && g.Kind == fault.NotFound }

// delete takes an unconfirmed batch away; it tells whether that worked, and so whether
// it can never begin.
func (f *flight) delete() bool {
	life := f.list.of.life
	for {
		_, g := f.do(life, f.list.of.remove, f.path(f.document.ID), nil)
		if g == nil || g.Kind != fault.BudgetExhausted || !f.again(life, g) {
			return g == nil
		}
		if f.list.lost() { // it is another replica's to confirm or to delete
			return false
		}
	}
}
