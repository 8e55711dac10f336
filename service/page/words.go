package page

import (
	"fmt"
	"html/template"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
)

// words are what the templates write values with.
var words = template.FuncMap{
	"clock":    func(t *timestamppb.Timestamp) string { return t.AsTime().UTC().Format("15:04:05") },
	"machine":  func(t *timestamppb.Timestamp) string { return t.AsTime().UTC().Format(time.RFC3339) },
	"since":    func(now time.Time, t *timestamppb.Timestamp) string { return span(now.Sub(t.AsTime())) },
	"until":    func(now time.Time, t *timestamppb.Timestamp) string { return span(t.AsTime().Sub(now)) },
	"took":     func(d *durationpb.Duration) string { return span(d.AsDuration()) },
	"span":     span,
	"rate":     func(r float64) string { return strconv.FormatFloat(r, 'f', 1, 64) },
	"percent":  func(share float64) string { return strconv.FormatFloat(100*share, 'f', 1, 64) + " %" },
	"outcome":  func(o brokerv1.Outcome) string { return enum(o.String(), "OUTCOME_") },
	"verdict":  func(v brokerv1.HealthVerdict) string { return verdicts[v] },
	"kind":     func(k brokerv1.DriftKind) string { return enum(k.String(), "DRIFT_KIND_") },
	"spent":    newSpent,
	"held":     held,
	"place":    place,
	"whatToDo": whatToDo,
	"list":     func(names []string) string { return strings.Join(names, ", ") },
	"first":    first,
	"beyond":   beyond,
}

// verdicts are the words for the Dashboard's health.
var verdicts = map[brokerv1.HealthVerdict]string{
	brokerv1.HealthVerdict_HEALTH_VERDICT_OK:            "OK",
	brokerv1.HealthVerdict_HEALTH_VERDICT_TOO_FEW:       "too few to tell",
	brokerv1.HealthVerdict_HEALTH_VERDICT_SERVER_ERRORS: "fails",
	brokerv1.HealthVerdict_HEALTH_VERDICT_UNREACHABLE:   "unreachable",
}

// enum is a value's name as one reads it.
func enum(name, prefix string) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, prefix), "_", " "))
}

// span is a time as one reads it: 340 ms, 12.5 s, 4 min 3 s, 2 h 15 min.
func span(d time.Duration) string {
	switch d = max(0, d); {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Hour:
		return strings.TrimSuffix(fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60), " 0 s")
	case d < 48*time.Hour:
		return strings.TrimSuffix(fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60), " 0 min")
	}
	return fmt.Sprintf("%d days", int(d.Hours())/24)
}

// A spent is what somebody spent, beside what all did.
type spent struct {
	*brokerv1.UsageFigures
	Part  float64
	Saved int64
}

func newSpent(f *brokerv1.UsageFigures, all int64) spent {
	s := spent{UsageFigures: f, Saved: f.GetSaved().GetShared() + f.GetSaved().GetCached() + f.GetSaved().GetBatched() + f.GetSaved().GetWatched()}
	if all > 0 {
		s.Part = float64(f.GetAttempts()) / float64(all)
	}
	return s
}

// held says what a hold is of.
func held(h *brokerv1.HoldState) string {
	switch h.GetScope() {
	case brokerv1.HoldScope_HOLD_SCOPE_CALLER_BULK:
		return "bulk of caller " + h.GetName()
	case brokerv1.HoldScope_HOLD_SCOPE_ORGANIZATION_BULK:
		return "bulk of organization " + h.GetName()
	}
	return "all writes"
}

// place is which calls a button is for: the number of the scope, a slash, the name.
func place(h *brokerv1.HoldState) string { return fmt.Sprintf("%d/%s", h.GetScope(), h.GetName()) }

// first gives the first elements of a list, or the first bytes of a text.
func first(most int, of any) any {
	v := reflect.ValueOf(of)
	return v.Slice(0, min(most, v.Len())).Interface()
}

// visible shows what nobody sees in a page: characters that turn the direction of writing,
// of no width, or that steer a terminal. What is HTML has been escaped before.
func visible(html string) string {
	if !strings.ContainsFunc(html, unseen) {
		return html
	}
	var b strings.Builder
	for _, r := range html {
		if !unseen(r) {
			b.WriteRune(r)
			continue
		}
		b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
	}
	return b.String()
}

func unseen(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }

// beyond is how many elements of a list come after the first.
func beyond(most int, of any) int { return max(0, reflect.ValueOf(of).Len()-most) }

// whatToDo says what to do about an attempt that failed.
func whatToDo(a *brokerv1.Attempt) string {
	switch a.GetOutcome() {
	case brokerv1.Outcome_OUTCOME_REFUSED:
		switch a.GetHttpStatus() {
		case 401:
			return "Put a new key into its file: the Dashboard does not take this one."
		case 403:
			return "The key has no right to this: ask an administrator of the organization."
		case 404:
			return "Nothing, if the caller asks for what is gone; else look whether the key sees the organization."
		}
		return "The caller's request is wrong: its team reads the Dashboard's words in the error."
	case brokerv1.Outcome_OUTCOME_RATE_LIMITED:
		return "Find what else spends this budget: CompareTelemetry tells by User-Agent. The broker waits and asks again."
	case brokerv1.Outcome_OUTCOME_SERVER_ERROR:
		return "Report operation and request id to the vendor; of a write read the state back first."
	case brokerv1.Outcome_OUTCOME_GATEWAY_ERROR, brokerv1.Outcome_OUTCOME_RESET, brokerv1.Outcome_OUTCOME_TIMEOUT:
		return "The Dashboard's telemetry does not show this: compare with other organizations, then the vendor's status page."
	case brokerv1.Outcome_OUTCOME_NOT_SENT:
		return "It never left: look at the egress, its proxy, names and certificates."
	case brokerv1.Outcome_OUTCOME_MALFORMED:
		return "Report the request id to the vendor; of a write read the state back first."
	}
	return ""
}
