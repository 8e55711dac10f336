package broker

import (
	"net/http"
	"strings"

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

// crowdedReasons says what a call waits for, in the record's words.
var crowdedReasons = map[string]string{
	reasonBatches: "too many action batches",
	reasonDeletes: "concurrent network deletes",
}

// crowded tells the two 400s that mean "not now": they are waited for like a 429,
// but do not shrink the lane, because it is not requests that are too many. Empty
// for every other answer.
func crowded(operation string, a *dashboard.Answer) string {
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

// ownLimit tells whether a 429 is about a limit of the operation's own. What the
// Dashboard says then is not documented; of the organization's limit it says that
// it is the organization's.
func ownLimit(o *apiv1.Operation, messages []string) bool {
	return o.GetLimit() != nil && !said(messages, "for organization")
}

// finer is a reason finer than the kind's own; empty when the messages are none
// of the known ones. Sources of the messages: the vendor's page of errors and its
// clients' issue trackers.
func finer(kind fault.Kind, messages []string) string {
	switch kind {
	case fault.BadRequest:
		for _, known := range [...]struct{ words, reason string }{
			{"has already been taken", reasonNameTaken},
			{"already claimed", reasonClaimed},
			{"not enabled for this network", reasonNotEnabled},
			{"operation is unsupported", reasonUnsupported},
			{"unsupported operation", reasonUnsupported},
		} {
			if said(messages, known.words) {
				return known.reason
			}
		}
	case fault.Forbidden:
		if said(messages, "unauthorized ip address") {
			return reasonAddress
		}
	}
	return ""
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
