package broker

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
)

// Reasons finer than a kind's own, for messages that are known. Each is
// published: callers compare it, so none is ever renamed.
const (
	// reasonBatches: the organization has five action batches under way.
	reasonBatches = "TOO_MANY_BATCHES"
	// reasonDeletes: other networks of the organization are being deleted.
	reasonDeletes = "CONCURRENT_DELETES"
	// reasonNameTaken: another resource has the name.
	reasonNameTaken = "NAME_TAKEN"
	// reasonExists: another resource has a value that has to be unique, such as a number.
	reasonExists = "ALREADY_EXISTS"
	// reasonClaimed: the device is claimed already.
	reasonClaimed = "ALREADY_CLAIMED"
	// reasonNotEnabled: a feature that the request needs is switched off.
	reasonNotEnabled = "FEATURE_NOT_ENABLED"
	// reasonUnsupported: the operation does not exist in this form, as in a batch.
	reasonUnsupported = "UNSUPPORTED_OPERATION"
	// reasonAddress: the organization does not admit the broker's address.
	reasonAddress = "ADDRESS_NOT_ALLOWED"
	// reasonRepeated: a layer in front of the broker sent a write again.
	reasonRepeated = "REPEATED_WRITE"
	// reasonUnreadable: a write was accepted, but its answer cannot be read.
	reasonUnreadable = "MALFORMED_RESPONSE"
)

// busyReasons says what a call waits for, in the record's words.
var busyReasons = map[string]string{
	reasonBatches: "too many action batches",
	reasonDeletes: "concurrent network deletes",
}

// busy recognizes the two 400s that mean "not now", and gives their reason; it is
// empty for every other answer. A call waits after them as after a 429, but they
// do not shrink the lane, because they do not say that there are too many
// requests.
func busy(operation string, a *dashboard.Result) string {
	if a.Status != http.StatusBadRequest {
		return ""
	}
	switch {
	case said(a.Messages, "executing batches"):
		return reasonBatches
	case operation == "deleteNetwork" && said(a.Messages, "concurrent"):
		return reasonDeletes
	}
	return ""
}

// ownLimit tells whether a 429 is about a limit of the operation's own. The
// message of such a 429 is not documented; the message about the organization's
// limit says that it is the organization's.
func ownLimit(o *apiv1.Operation, messages []string) bool {
	return o.GetLimit() != nil && !said(messages, "for organization")
}

// finer gives a reason finer than the kind's own; empty when no message is a
// known one. Sources of the messages: the vendor's page of errors and its
// clients' issue trackers.
func finer(kind fault.Kind, messages []string) string {
	switch kind {
	case fault.BadRequest:
		for _, known := range [...]struct{ words, reason string }{
			{"already claimed", reasonClaimed},
			{"not enabled for this network", reasonNotEnabled},
			{"operation is unsupported", reasonUnsupported},
			{"unsupported operation", reasonUnsupported},
		} {
			if said(messages, known.words) {
				return known.reason
			}
		}
		return taken(messages)
	case fault.Forbidden:
		if said(messages, "unauthorized ip address") {
			return reasonAddress
		}
	}
	return ""
}

// quoted matches a value that a message repeats in quotation marks.
var quoted = regexp.MustCompile(`"[^"]*"|'[^']*'`)

// taken gives the reason of a message "... has already been taken". The Dashboard
// says this of any value that has to be unique. The reason is reasonNameTaken
// only where the message says it of the name, and empty where no message says it.
func taken(messages []string) string {
	reason := ""
	for _, m := range messages {
		subject, _, ok := strings.Cut(quoted.ReplaceAllString(strings.ToLower(m), ""), "already been taken")
		if !ok {
			continue
		}
		// "Validation failed: Number has already been taken, Name is too long"
		at := strings.LastIndexAny(subject, ":,;.")
		words := wordsOf(subject[at+1:])
		if at >= 0 && subject[at] == ':' && !slices.ContainsFunc(words, func(word string) bool { return word != "has" && word != "have" }) {
			// "name: has already been taken", of an object of errors by field
			words = wordsOf(subject[strings.LastIndexAny(subject[:at], ":,;")+1 : at])
		}
		if slices.Contains(words, "name") {
			return reasonNameTaken
		}
		reason = reasonExists
	}
	return reason
}

func wordsOf(text string) []string {
	return strings.FieldsFunc(text, func(c rune) bool { return !unicode.IsLetter(c) })
}

// said tells whether one of the messages has the words, which are in lower case.
func said(messages []string, words string) bool {
	for _, m := range messages {
		if strings.Contains(strings.ToLower(m), words) {
			return true
		}
	}
	return false
}

// Waits between attempts.
const (
	// backoffBase and backoffMost bound the wait after an attempt that failed:
	// at most 250 ms after the first, twice that after the second, never above
	// 10 s. The mean is half of it.
	backoffBase = 250 * time.Millisecond
	backoffMost = 10 * time.Second

	// limitedLeast is how long a 429 without Retry-After, or with 0, stops a
	// lane; the vendor names 1 to 2 s. limitedMost is the longest Retry-After
	// that is obeyed: after that time the broker asks again, also where the
	// header names a longer one.
	limitedLeast = time.Second
	limitedMost  = time.Minute

	// busyBase and busyMost bound the wait for something at the Dashboard
	// to finish: an action batch, another network's deletion. Both take from
	// seconds to minutes, and the vendor's own client waits 30 s and more.
	busyBase = 5 * time.Second
	busyMost = time.Minute
)

// fullJitter is the wait after the nth attempt (from 1) that failed: a random
// time below a bound that doubles, so that callers who failed together do not
// come back together. random is in [0, 1).
func fullJitter(n int, random float64) time.Duration {
	return time.Duration(random * float64(doubled(backoffBase, backoffMost, n)))
}

// busyWait is the wait for something at the Dashboard to finish: a random time
// between half of a bound that doubles and the whole bound, because coming back
// at once is known to be useless.
func busyWait(n int, random float64) time.Duration {
	return time.Duration((0.5 + random/2) * float64(doubled(busyBase, busyMost, n)))
}

// limitedWait is how long a 429 stops a lane: the time that Retry-After names,
// within its bounds, and a random part of a tenth of it, one second at the most,
// so that replicas do not all come back at the same moment.
func limitedWait(said time.Duration, random float64) time.Duration {
	if said <= 0 {
		said = limitedLeast
	}
	d := min(said, limitedMost)
	return d + time.Duration(random*float64(min(d/10, time.Second)))
}

// doubled is base, doubled n-1 times, and at most most.
func doubled(base, most time.Duration, n int) time.Duration {
	for ; n > 1 && base < most; n-- {
		base *= 2
	}
	return min(base, most)
}
