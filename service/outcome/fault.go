package outcome

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
)

// askAgain is when a caller may ask for the outcome of a write that is under way.
const askAgain = time.Second

// fullAgain is when a named write may come again for which the store has no room.
const fullAgain = time.Minute

// underWay is what a caller gets that cannot wait until a write is done.
func underWay(w *Write, err error) *fault.Error {
	f := &fault.Error{
		Kind: fault.DeadlineExceeded, Reason: "WRITE_UNDER_WAY", Operation: w.Operation, RetryAfter: askAgain, Cause: err,
		Detail: "the write is still under way and goes on; make the same request again to get its outcome, it is not executed twice",
	}
	if errors.Is(err, context.Canceled) {
		f.Kind = fault.Cancelled
	}
	return f
}

// draining is what a caller gets of a replica that is about to stop.
func draining(w *Write) *fault.Error {
	return &fault.Error{Kind: fault.Draining, Operation: w.Operation,
		Detail: "this replica of the broker is stopping and has sent nothing: call another one"}
}

// reused is the refusal of another write under the name of an earlier one.
func reused(w *Write) *fault.Error {
	return &fault.Error{
		Kind: fault.BadRequest, Reason: "IDEMPOTENCY_KEY_REUSED", Operation: w.Operation, Field: Metadata,
		Detail: "another write was made under this idempotency key; nothing was sent; give each write a key of its own",
	}
}

// unknown is the outcome of a write whose replica has died.
func unknown(w *Write) *fault.Error {
	return &fault.Error{
		Kind: fault.OutcomeUnknown, Operation: w.Operation,
		Detail: "the replica of the broker that made this write has died before its outcome was kept; it may or may not have been executed: read the state back before doing anything else",
	}
}

// noStore is the refusal of a named write while the shared store is gone: without
// it another replica could be making the same write.
func noStore(w *Write, err error) *fault.Error {
	switch {
	case errors.Is(err, ErrUnreadable):
		return unreadable(w, err)
	case errors.Is(err, ErrFull):
		return &fault.Error{
			Kind: fault.Unreachable, Reason: reasonNoStore, Operation: w.Operation, RetryAfter: fullAgain, Cause: err,
			Detail: "the store that keeps the outcomes of named writes is full; nothing was sent; come back after the delay, or make the write without an idempotency key",
		}
	}
	return &fault.Error{
		Kind: fault.Unreachable, Reason: reasonNoStore, Operation: w.Operation, RetryAfter: askAgain, Cause: err,
		Detail: "the store that keeps the outcomes of named writes cannot be reached; nothing was sent; come back after the delay, or make the write without an idempotency key",
	}
}

// notFollowed is what a caller gets whose write another replica makes, or has made,
// while the store is gone.
func notFollowed(w *Write, err error) *fault.Error {
	return &fault.Error{
		Kind: fault.Unreachable, Reason: reasonNoStore, Operation: w.Operation, RetryAfter: askAgain, Cause: err,
		Detail: "another replica of the broker makes this write, and the store that will keep its outcome cannot be reached; make the same request again after the delay, it is not executed twice",
	}
}

// unreadable is the outcome of a write whose record this replica cannot read: it has
// another key than the one that wrote it.
func unreadable(w *Write, err error) *fault.Error {
	return &fault.Error{
		Kind: fault.OutcomeUnknown, Operation: w.Operation, Cause: err,
		Detail: "a write was made under this idempotency key, and this replica of the broker cannot read what became of it (store.keys_file has to be the same at all replicas); nothing was sent now: read the state back before doing anything else",
	}
}

// reasonNoStore is the reason of faults for want of the shared store.
const reasonNoStore = "OUTCOME_STORE_UNAVAILABLE"

// crashed is the outcome of a write that met a bug.
func crashed(w *Write, p any) *fault.Error {
	return &fault.Error{
		Kind: fault.OutcomeUnknown, Operation: w.Operation, Cause: fmt.Errorf("panic: %v", p),
		Detail: "the broker met a bug while it made the write, and cannot say whether it was executed: read the state back before doing anything else",
	}
}

// retryable tells the failures after which the same write may simply be made
// again: it was surely not executed, and the reason may be gone by then. Every
// other failure is an outcome that is kept.
func retryable(err error) bool {
	f := fault.As(err)
	if f == nil {
		return false
	}
	switch f.Kind {
	case fault.RateLimited, fault.BudgetExhausted, fault.Draining, fault.Unreachable, fault.DeadlineExceeded, fault.Cancelled,
		fault.KeyRejected, fault.CallerKeyRejected, fault.CallerUnknown, fault.CallerNotAllowed, fault.RedirectRefused:
		return true
	case fault.BadRequest:
		return f.HTTPStatus == 0 // found by the broker, which has sent nothing
	}
	return false
}
