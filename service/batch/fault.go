package batch

import (
	"context"
	"errors"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/outcome"
)

// reasonNoStore is the reason of faults for want of the shared store.
const reasonNoStore = "OUTCOME_STORE_UNAVAILABLE"

// noStore is the refusal of a named list, or of what is left of one, without the store.
func noStore(err error) *fault.Error {
	f := &fault.Error{
		Kind: fault.Unreachable, Reason: reasonNoStore, RetryAfter: time.Second, Cause: err,
		Detail: "the store that keeps named lists cannot be reached; nothing was sent; send the same list under its key again after the delay, or without a key",
	}
	switch {
	case errors.Is(err, outcome.ErrFull):
		f.RetryAfter = time.Minute
		f.Detail = "the store that keeps named lists is full; nothing was sent; come back after the delay, or send the list without an idempotency key"
	case errors.Is(err, outcome.ErrUnreadable):
		f.Kind, f.Reason, f.RetryAfter = fault.OutcomeUnknown, "", 0
		f.Detail = "a list was sent under this idempotency key, and this replica of the broker cannot read what became of it (store.keys_file has to be the same at all replicas); nothing was sent now: read the state back before doing anything else"
	}
	return f
}

// reused is the refusal of another list under the name of an earlier one.
func reused() *fault.Error {
	return &fault.Error{Kind: fault.BadRequest, Reason: "IDEMPOTENCY_KEY_REUSED", Field: "meraki-idempotency-key",
		Detail: "another list of writes was sent under this idempotency key; nothing was sent; give each list a key of its own"}
}

// elsewhere is what a caller gets that cannot wait until another replica has ended.
func elsewhere(err error) *fault.Error {
	f := &fault.Error{
		Kind: fault.DeadlineExceeded, Reason: "WRITE_UNDER_WAY", RetryAfter: time.Second, Cause: err,
		Detail: "another replica of the broker makes this list, or has just died; send the same list under its key again to get its outcomes, nothing is executed twice",
	}
	if errors.Is(err, context.Canceled) {
		f.Kind = fault.Cancelled
	}
	return f
}
