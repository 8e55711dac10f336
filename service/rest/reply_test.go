package rest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
)

func TestFaultsInTheVendorsForm(t *testing.T) {
	tests := []struct {
		name   string
		fault  fault.Error
		status int
		retry  string
		first  string
	}{
		{"the Dashboard's 404", fault.Error{Kind: fault.NotFound, HTTPStatus: 404, Messages: []string{"no such network"}}, 404, "", "no such network"},
		{"the Dashboard's 422", fault.Error{Kind: fault.BadRequest, HTTPStatus: 422, Messages: []string{"name is taken"}}, 422, "", "name is taken"},
		{"a 404 without words", fault.Error{Kind: fault.NotFound, HTTPStatus: 404, Operation: "getX", Detail: "no such thing"}, 404, "", "getX: no such thing"},
		{"found bad by the broker", fault.Error{Kind: fault.BadRequest, Detail: "the path is odd"}, 403, "", "the path is odd"},
		{"no rule", fault.Error{Kind: fault.CallerNotAllowed, Detail: "no rule"}, 403, "", "no rule"},
		{"the broker's key is rejected", fault.Error{Kind: fault.KeyRejected, HTTPStatus: 401, Messages: []string{"Invalid API key"}, Detail: "tell the operator"}, 403, "", "tell the operator"},
		{"the client's own key is rejected", fault.Error{Kind: fault.CallerKeyRejected, HTTPStatus: 401, Messages: []string{"Invalid API key"}}, 401, "", "Invalid API key"},
		{"no slot, at once", fault.Error{Kind: fault.BudgetExhausted, Detail: "full"}, 429, "1", "full"},
		{"no slot for a while", fault.Error{Kind: fault.BudgetExhausted, Detail: "full", RetryAfter: 2100 * time.Millisecond}, 429, "3", "full"},
		{"429 to the end", fault.Error{Kind: fault.RateLimited, HTTPStatus: 429, Messages: []string{"slow down"}, RetryAfter: time.Second}, 429, "1", "slow down"},
		{"a write with an outcome that is not known", fault.Error{Kind: fault.OutcomeUnknown, HTTPStatus: 502, Detail: "read it back"}, 409, "", "read it back"},
		{"503 on a read", fault.Error{Kind: fault.Unreachable, HTTPStatus: 503, Detail: "gone"}, 503, "", "gone"},
		{"no answer on a read", fault.Error{Kind: fault.Unreachable, Detail: "gone"}, 502, "", "gone"},
		{"out of time", fault.Error{Kind: fault.DeadlineExceeded, Detail: "late"}, 429, "1", "late"},
		{"draining", fault.Error{Kind: fault.Draining, Detail: "stopping"}, 429, "1", "stopping"},
	}
	for _, test := range tests {
		w := httptest.NewRecorder()
		writeFault(w, statusOf(&test.fault), &test.fault)
		var body struct{ Errors []string }
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || len(body.Errors) == 0 {
			t.Errorf("%s: the body is %s", test.name, w.Body)
			continue
		}
		if w.Code != test.status || w.Header().Get("Retry-After") != test.retry || body.Errors[0] != test.first {
			t.Errorf("%s: %d %q %q", test.name, w.Code, w.Header().Get("Retry-After"), body.Errors)
		}
		if w.Header().Get(headerReason) != test.fault.ReasonCode() {
			t.Errorf("%s: reason %q", test.name, w.Header().Get(headerReason))
		}
	}
}

// TestNoStatusThatClientsMisread: whatever happens, a fault that is none of the
// Dashboard's is neither 404 nor 400, and an open outcome is no 5xx.
func TestNoStatusThatClientsMisread(t *testing.T) {
	for k := fault.Unknown; k <= fault.Internal; k++ {
		s := statusOf(&fault.Error{Kind: k})
		if s == http.StatusNotFound || s == http.StatusBadRequest || s < 400 {
			t.Errorf("%v leaves as %d", k, s)
		}
	}
	if s := statusOf(&fault.Error{Kind: fault.OutcomeUnknown, HTTPStatus: 503}); s != http.StatusConflict {
		t.Errorf("an unknown outcome leaves as %d", s)
	}
}
