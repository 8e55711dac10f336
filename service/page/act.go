package page

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service/fault"
)

// mostForm bounds what a form may hold, in bytes.
const mostForm = 16 << 10

// A form is what was sent, to be sent again where it was wrong, and what became of it.
// It has no token.
type form struct {
	Done, Wrong, Field            string
	Scope, Name, Minutes, Purpose string
}

// doneText says what became of an action, after the browser was sent back to the page.
func doneText(what string) string {
	switch what {
	case "held":
		return "Held. Every replica obeys within a second."
	case "released":
		return "Released."
	}
	return ""
}

// act does what a form says: a hold, or the release of one. A browser that comes from
// another site has been refused before.
func (p *Page) act(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, mostForm)
	if err := r.ParseForm(); err != nil {
		p.write(w, http.StatusBadRequest, form{Wrong: "the form cannot be read: send it from this page"})
		return
	}
	sent := r.PostForm
	f := form{Scope: sent.Get("scope"), Name: sent.Get("name"), Minutes: sent.Get("minutes"), Purpose: sent.Get("reason")}
	done := "held"
	var err error
	if of := sent.Get("release"); of != "" {
		done = "released"
		scope, name, _ := strings.Cut(of, "/")
		_, err = p.source.Release(r.Context(), sent.Get("token"), &brokerv1.ReleaseRequest{Scope: scopeOf(scope), Name: name})
	} else {
		in := &brokerv1.HoldRequest{Scope: scopeOf(f.Scope), Name: strings.TrimSpace(f.Name), Reason: strings.TrimSpace(f.Purpose)}
		if in.GetScope() == brokerv1.HoldScope_HOLD_SCOPE_ALL_WRITES {
			in.Name = "" // the field is there, whatever is chosen
		}
		minutes, wrong := strconv.ParseFloat(f.Minutes, 64)
		if wrong != nil || !(minutes >= 0 && minutes < 1e6) {
			minutes = 0 // which no hold lasts
		}
		in.Duration = durationpb.New(time.Duration(minutes * float64(time.Minute)))
		_, err = p.source.Hold(r.Context(), sent.Get("token"), in)
	}
	if err != nil {
		var status int
		status, f.Wrong, f.Field = refusal(err)
		p.write(w, status, f)
		return
	}
	p.mu.Lock()
	p.latest = nil // the page shows at once what was done
	p.mu.Unlock()
	http.Redirect(w, r, "/?done="+done, http.StatusSeeOther)
}

// scopeOf reads the number of a scope.
func scopeOf(text string) brokerv1.HoldScope {
	n, err := strconv.ParseUint(text, 10, 8)
	if err != nil {
		return brokerv1.HoldScope_HOLD_SCOPE_UNSPECIFIED
	}
	return brokerv1.HoldScope(n)
}

// refusal is an action that was refused, for a browser: what is wrong, and in which
// field of the form.
func refusal(err error) (status int, text, field string) {
	f := fault.As(err)
	if f == nil {
		return http.StatusInternalServerError, "the broker failed; its log has the cause", ""
	}
	status = http.StatusBadRequest
	switch f.Kind {
	case fault.CallerUnknown:
		// Not 401: a browser would ask for a name and a password.
		return http.StatusForbidden, "The token is missing or is no operator's. " + f.Detail, "token"
	case fault.CallerNotAllowed:
		status = http.StatusForbidden
	case fault.NotFound:
		status = http.StatusNotFound
	case fault.BudgetExhausted:
		status = http.StatusTooManyRequests
	case fault.Unreachable:
		status = http.StatusServiceUnavailable
	}
	return status, f.Detail, f.Field
}
