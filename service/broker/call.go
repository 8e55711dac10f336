package broker

import (
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
)

// A Call is one Dashboard operation that a caller wants done. The broker does
// not change it, and keeps no part of it once Do has returned, but for Operation.
type Call struct {
	Operation *apiv1.Operation
	// Caller is who calls, by identity. Slots are shared fairly among callers.
	Caller string
	// Weight is the caller's share against others of its priority; 1 when 0.
	Weight   float64
	Priority ratelimit.Priority
	// Path is below /api/v1, filled and escaped; Query is encoded, without the
	// question mark.
	Path, Query string
	Body        []byte
	// Host is scheme://host of a page that a Link header named; empty for the
	// configured base.
	Host string
	// ID is the value of the path's first parameter: an organization's id, a
	// network's id or a device's serial, by the operation's scope.
	ID string
	// Key is the credential; OwnKey tells that the caller sent it.
	Key    dashboard.Key
	OwnKey bool
	// Share is the largest part of an organization's budget that the caller may
	// spend, above 0 and up to 1; 0 for 1.
	Share float64
	// Named are the networks and devices that the call names in its query or its body,
	// whose owners Settle has to know as well.
	Named []Named
	// Settle is asked once the owner is known, before the call itself waits for
	// a slot: it may refuse with a fault, and names the key from there on. Nil
	// when Key is right whoever owns. The organization is empty when it cannot be
	// known.
	// The owners of Named follow in their order.
	Settle func(organization string, named []string) (dashboard.Key, error)
	// Candidates are the keys to look the owner up with, where it is not known
	// which of several serves it. Nil when Key is the only one.
	Candidates func() []dashboard.Key
	// Rejected is told that the Dashboard answered 401 to a key, and gives
	// another to try once, if there is one. Nil when there is none.
	Rejected func(dashboard.Key) (dashboard.Key, bool)
	// Organization is the caller's hint at the owner of a network or device. It
	// is believed until an answer contradicts it.
	Organization string
	// MaxAge accepts an answer no older than this; 0 wants a new one.
	MaxAge time.Duration
	// Deadline of a call whose context has none; 0 for Config.Deadline.
	Deadline time.Duration
	// RetryWrites says that making the call twice does no harm.
	RetryWrites bool
	// Name is the caller's own name of a write, its idempotency key; empty for none.
	// The broker only tells it to the audit: see service/outcome.
	Name string
	// Face is the one that the call came by, for the audit. Untold leaves it to the
	// caller of Do to tell the audit of the call.
	Face   string
	Untold bool
	// Repeated says that something in front of the broker has made this call before.
	Repeated bool

	// secondLookUp marks the second look-up of a device: it stands in front of the
	// first ones of others, since its own first one is spent already.
	secondLookUp bool
}

// A Named is a network or a device, by its scope.
type Named struct {
	Scope apiv1.Scope
	ID    string
}

// read tells whether the call changes nothing at the Dashboard.
func (c *Call) read() bool { return c.Operation.GetVerb() == apiv1.Verb_VERB_GET }

// class is the queue inside a lane that the call stands in.
func (c *Call) class() ratelimit.Class {
	return ratelimit.Class{Priority: c.Priority, Caller: c.Caller}
}

// weight is the caller's share, never 0.
func (c *Call) weight() float64 {
	if c.Weight > 0 {
		return c.Weight
	}
	return 1
}

// method is the verb as HTTP writes it.
func (c *Call) method() string {
	switch c.Operation.GetVerb() {
	case apiv1.Verb_VERB_PUT:
		return "PUT"
	case apiv1.Verb_VERB_POST:
		return "POST"
	case apiv1.Verb_VERB_DELETE:
		return "DELETE"
	default:
		return "GET"
	}
}

// An Answer is a call that succeeded.
type Answer struct {
	Status int
	// Body may be shared with other callers: it must not be written to.
	Body       []byte
	Next, Prev *dashboard.Link
	// Links is the Link header as it came.
	Links string
	// Organization is the owner; empty when the call has none, or it is not known.
	Organization string
	// RequestID is the vendor's X-Request-Id.
	RequestID string
	// Attempts that were made for this answer, look-ups not counted; oldest first.
	Attempts []fault.Attempt
	// Queue is how long the call waited for slots, all attempts together.
	Queue time.Duration
	// Cache is how the answer was come by: "miss", "coalesced" or "hit".
	Cache string
	// Asked is when the Dashboard was asked for it.
	Asked time.Time
}

// The values of Answer.Cache.
const (
	CacheMiss      = "miss"
	CacheCoalesced = "coalesced"
	CacheHit       = "hit"
)
