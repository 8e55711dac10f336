package dashboard

import (
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
)

// A Result is how one attempt ended. It is never nil, also without an answer
// on the wire.
type Result struct {
	Outcome fault.Outcome
	// Status is 0 when there was no answer.
	Status int
	// Body is of an answer whose outcome is OK, whole and decompressed; nil
	// otherwise. It belongs to the receiver and is never written to again.
	Body []byte
	// Messages are those of an error's body, in its order, bounded in number and length.
	Messages []string
	// RetryAfter is as the Dashboard said it, neither capped nor checked.
	RetryAfter    time.Duration
	HasRetryAfter bool
	// RequestID is the vendor's X-Request-Id.
	RequestID string
	// Host is scheme://host of who answered, or was asked.
	Host string
	// Next and Prev are of the Link header; nil where it names none.
	Next, Prev *Link
	// Links is the Link header as it came; empty where there is none, or one above
	// the bound.
	Links string
	// Location is where a redirect leads; nil without one, or when it may not be followed.
	Location *Target
	// Refusal says why a redirect may not be followed; empty otherwise.
	Refusal  string
	Start    time.Time
	Duration time.Duration
	// MaybeExecuted is false only where the Dashboard surely did not do what was
	// asked: nothing complete left, or the answer was a refusal.
	MaybeExecuted bool
	// Err is what went wrong on the way; nil when there was an answer that could
	// be read. ErrTooLarge for an answer above the bound. For logs: it may hold
	// addresses, never a key.
	Err error
}

// A Link is one relation of a Link header, to a host that may have the key.
type Link struct {
	// Refusal says why the link may not be followed; empty otherwise. There is nothing
	// else in a link that may not.
	Refusal string
	// Host is scheme://host; empty for the configured base.
	Host string
	// Path is below /api/v1, escaped; Query is encoded, without the question mark.
	Path, Query string
	// StartingAfter and EndingBefore are the query's page tokens, decoded.
	StartingAfter, EndingBefore string
}

// A Target is where a redirect leads, on a host that may have the key.
type Target struct {
	// Host is scheme://host; empty for the configured base.
	Host string
	// Path is below /api/v1, escaped; Query is encoded, without the question mark.
	Path, Query string
}
