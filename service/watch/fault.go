package watch

import (
	"errors"
	"fmt"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
)

var (
	errNotJSON = errors.New("it is not JSON")
	errErrors  = errors.New("it has errors in place of the list")
)

// The reasons of this room's own, beside those of the kinds.
const (
	reasonNotRead   = "NOT_A_READ"
	reasonTooMany   = "TOO_MANY_WATCHES"
	reasonHeld      = "WATCHES_HELD"
	reasonTooLarge  = "WATCH_TOO_LARGE"
	reasonMalformed = "WATCH_NOT_READABLE"
)

// notRead is the fault of a watch on an operation that changes something.
func notRead(operation string) *fault.Error {
	f := fault.Bad("request", "%s is no GET operation, and only what is read can be watched", operation)
	f.Reason, f.Operation = reasonNotRead, operation
	return f
}

// badAge is the fault of an age out of bounds.
func badAge(operation string, age time.Duration) *fault.Error {
	f := fault.Bad("age", "age is %v; it goes from %v to %v", age, Youngest, Oldest)
	f.Operation = operation
	return f
}

// tooMany is the fault of a watch above a bound.
func tooMany(operation, whose string, most int) *fault.Error {
	return &fault.Error{
		Kind: fault.BudgetExhausted, Reason: reasonTooMany, Operation: operation, NoRetry: true,
		Detail: fmt.Sprintf("%s has %d watches under way at this replica, and no more fit; end some, or watch a list in place of its rows", whose, most),
	}
}

// noRoom is the fault of a watch for whose state there is no room.
func noRoom(operation string, size int64) *fault.Error {
	return &fault.Error{
		Kind: fault.BudgetExhausted, Reason: reasonHeld, Operation: operation, NoRetry: true,
		Detail: fmt.Sprintf("the state takes %d bytes, and what is watched at this replica leaves no room for it; end some watches, or watch a part of the list", size),
	}
}

// tooLarge is the fault of a state above the bound.
func tooLarge(operation string, most int64) *fault.Error {
	return &fault.Error{
		Kind: fault.TooLarge, Reason: reasonTooLarge, Operation: operation, NoRetry: true,
		Detail: fmt.Sprintf("the pages together take more than %d bytes; watch a part of the list", most),
	}
}

// longPoll is how old a state becomes at the least, whatever its age, before a poll that
// lasts is a trouble: polls wait for everything else.
const longPoll = 10 * time.Second

// overdue is the trouble of a poll that has not failed, and not ended.
func overdue(operation string) *fault.Error {
	return &fault.Error{
		Kind: fault.DeadlineExceeded, Operation: operation,
		Detail: "the poll under way has not ended: it waits for a slot of the budget, or for the Dashboard",
	}
}

// unreadable is the fault of pages that are no state.
func unreadable(operation string, err error) *fault.Error {
	return &fault.Error{
		Kind: fault.Malformed, Reason: reasonMalformed, Operation: operation, Cause: err,
		Detail: "the Dashboard's answer cannot be taken apart: " + err.Error(),
	}
}

// lasting tells a fault that a later poll would meet again, so that the watch ends.
func lasting(f *fault.Error) bool {
	switch f.Kind {
	case fault.RateLimited, fault.BudgetExhausted, fault.Dashboard, fault.Unreachable, fault.Malformed,
		fault.DeadlineExceeded, fault.Cancelled, fault.Conflict:
		return false
	}
	return true
}
