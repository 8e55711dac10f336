package rest

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
)

// What a reply says beside the vendor's own headers.
const (
	// headerReason is why a call failed, for machines: the reasons of docs/failures.md.
	headerReason = "Meraki-Broker-Reason"
	// headerAttempts is how many requests to the Dashboard the call took.
	headerAttempts = "Meraki-Broker-Attempts"
	// headerCache is how the answer was come by: miss, coalesced or hit.
	headerCache = "Meraki-Broker-Cache"
)

// reasonTooLarge is the reason of a request whose body is above the bound.
const reasonTooLarge = "REQUEST_TOO_LARGE"

// ownStatuses are what a fault of the broker's own is to a client of the
// Dashboard. None is 404 or 400: on either, Terraform takes a resource for gone
// and creates it anew. None that leaves an outcome open is 5xx: the clients repeat
// writes on those. 429 makes a client wait and come again.
var ownStatuses = map[fault.Kind]int{
	fault.BadRequest:        http.StatusForbidden,
	fault.KeyRejected:       http.StatusForbidden, // the client's own credential is fine
	fault.CallerKeyRejected: http.StatusUnauthorized,
	fault.Forbidden:         http.StatusForbidden,
	fault.RateLimited:       http.StatusTooManyRequests,
	fault.BudgetExhausted:   http.StatusTooManyRequests,
	fault.Dashboard:         http.StatusBadGateway,
	fault.Unreachable:       http.StatusBadGateway,
	fault.OutcomeUnknown:    http.StatusConflict, // final for every client
	fault.Malformed:         http.StatusBadGateway,
	fault.TooLarge:          http.StatusForbidden,
	fault.RedirectRefused:   http.StatusForbidden,
	fault.CallerUnknown:     http.StatusForbidden,
	fault.CallerNotAllowed:  http.StatusForbidden,
	fault.DeadlineExceeded:  http.StatusTooManyRequests,
	fault.Cancelled:         http.StatusTooManyRequests,
	fault.Draining:          http.StatusTooManyRequests,
	fault.Internal:          http.StatusBadGateway,
	fault.Unknown:           http.StatusBadGateway,
}

// statusOf is the status that a fault leaves with: the Dashboard's own where the
// Dashboard decided, one of ownStatuses otherwise.
func statusOf(f *fault.Error) int {
	if f.Reason == reasonTooLarge {
		return http.StatusRequestEntityTooLarge
	}
	switch f.Kind {
	case fault.BadRequest, fault.NotFound, fault.APIDisabled, fault.Conflict, fault.Dashboard, fault.Unreachable, fault.NotImplemented:
		if f.HTTPStatus >= 400 {
			return f.HTTPStatus
		}
	}
	if s, ok := ownStatuses[f.Kind]; ok {
		return s
	}
	return http.StatusBadGateway
}

// leastRetryAfter is the smallest delay that is told: clients that read 0 come
// back at once, and those that read nothing wait for as long as they like.
const leastRetryAfter = time.Second

// writeFault writes a fault in the vendor's form: {"errors": ["…"]}, never empty.
func writeFault(w http.ResponseWriter, status int, f *fault.Error) error {
	h := w.Header()
	h.Set(headerReason, f.ReasonCode())
	h.Set(headerAttempts, strconv.Itoa(len(f.Attempts)))
	if f.RequestID != "" {
		h.Set("X-Request-Id", f.RequestID)
	}
	if wait := max(f.RetryAfter, leastRetryAfter); status == http.StatusTooManyRequests || f.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10))
	}
	return writeErrors(w, status, errorsOf(f, status)...)
}

// errorsOf are the Dashboard's own words where it said why, and the broker's
// sentence otherwise.
func errorsOf(f *fault.Error, status int) []string {
	if len(f.Messages) > 0 && status == f.HTTPStatus {
		return f.Messages
	}
	return append([]string{f.Error()}, f.Messages...)
}

// writeErrors writes an error's body as the vendor does.
func writeErrors(w http.ResponseWriter, status int, errors ...string) error {
	for i := range errors {
		errors[i] = strings.ToValidUTF8(errors[i], "\uFFFD")
	}
	body, err := json.Marshal(struct {
		Errors []string `json:"errors"`
	}{errors})
	if err != nil { // strings always marshal
		body = []byte(`{"errors":["the broker failed"]}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, err = w.Write(body)
	return err
}
