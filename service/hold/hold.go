// Package hold keeps what an operator has stopped for a time: the bulk of a caller, the
// bulk of an organization, all writes. With a shared store every replica obeys.
package hold

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/merakibroker/merakibroker/service/fault"
)

// Reason is that of a call that is held, in ErrorInfo's form.
const Reason = "HELD_BY_OPERATOR"

// The bounds of a hold.
const (
	shortest = time.Second
	longest  = 24 * time.Hour
	// mostText bounds name and reason, in characters.
	mostText = 200
	// mostHolds bounds the holds that last at the same time.
	mostHolds = 100
	// comeBack is the longest delay that a held call is told: a hold may be released
	// before its end.
	comeBack = time.Minute
	// refused is what a call that is held is told last.
	refused = "; nothing was sent: come back after the delay"
)

// A Scope says which calls are held; the numbers are those of meraki.broker.v1.HoldScope.
type Scope uint8

const (
	_ Scope = iota
	CallerBulk
	OrganizationBulk
	AllWrites
)

// Scopes are all scopes.
var Scopes = [...]Scope{CallerBulk, OrganizationBulk, AllWrites}

// String names a scope as metrics do.
func (s Scope) String() string {
	switch s {
	case CallerBulk:
		return "caller_bulk"
	case OrganizationBulk:
		return "organization_bulk"
	case AllWrites:
		return "all_writes"
	}
	return "none"
}

// A Hold is what an operator has stopped.
type Hold struct {
	Scope Scope `json:"scope"`
	// Name is the caller's or the organization's; empty for AllWrites.
	Name   string    `json:"name"`
	Reason string    `json:"reason"`
	Start  time.Time `json:"start"`
	End    time.Time `json:"end"`
	// Operator is who has placed it.
	Operator string `json:"operator"`
}

// String says what is held.
func (h *Hold) String() string {
	switch h.Scope {
	case CallerBulk:
		return fmt.Sprintf("bulk of caller %q", h.Name)
	case OrganizationBulk:
		return fmt.Sprintf("bulk of organization %q", h.Name)
	}
	return "all writes"
}

// same tells whether two holds are of the same calls.
func (h *Hold) same(o *Hold) bool { return h.Scope == o.Scope && h.Name == o.Name }

// A Call is what holds look at.
type Call struct {
	Caller       string
	Organization string
	Bulk, Write  bool
}

// covers tells whether a hold is of a call.
func (h *Hold) covers(c Call) bool {
	switch h.Scope {
	case CallerBulk:
		return c.Bulk && c.Caller == h.Name
	case OrganizationBulk:
		return c.Bulk && c.Organization == h.Name
	case AllWrites:
		return c.Write
	}
	return false
}

// Refuse is the fault of a call that a hold covers.
func (h *Hold) Refuse(now time.Time, operation string) *fault.Error {
	return &fault.Error{
		Kind: fault.BudgetExhausted, Reason: Reason, Operation: operation,
		RetryAfter: min(comeBack, max(time.Millisecond, h.End.Sub(now))),
		Detail:     fmt.Sprintf("an operator of the broker holds %s until %s (%s)", h, h.End.UTC().Format(time.RFC3339), h.Reason) + refused,
	}
}

// Waits is what a list of writes tells that waits, by the detail of a write that was
// refused.
func Waits(detail string) string {
	said, _ := strings.CutSuffix(detail, refused)
	return said + "; they are tried again"
}

// check says what is wrong with a hold that an operator asks for, by field.
func (h *Hold) check(lasts time.Duration) *fault.Error {
	if f := checkPlace(h.Scope, h.Name); f != nil {
		return f
	}
	switch {
	case lasts < shortest || lasts > longest:
		return fault.Bad("duration", "duration is %v; a hold lasts from %v to %v, and can be placed again", lasts, shortest, longest)
	case !plain(h.Reason):
		return fault.Bad("reason", "reason is missing or not plain: those who are held read it; %d characters at the most, and no control characters", mostText)
	}
	return nil
}

// checkPlace says what is wrong with which calls are meant.
func checkPlace(s Scope, name string) *fault.Error {
	switch s {
	case CallerBulk, OrganizationBulk:
		if !plain(name) {
			return fault.Bad("name", "name is missing or not plain: it is that of the caller or the organization to hold; %d characters at the most, and no control characters", mostText)
		}
	case AllWrites:
		if name != "" {
			return fault.Bad("name", "name is given, and all writes have none")
		}
	default:
		return fault.Bad("scope", "scope is none: a caller's bulk, an organization's bulk, or all writes")
	}
	return nil
}

// plain tells a text that can stand in a log, a page and an error as it is.
func plain(s string) bool {
	if s == "" || !utf8.ValidString(s) || utf8.RuneCountInString(s) > mostText {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}
