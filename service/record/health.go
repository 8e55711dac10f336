package record

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// healthWindows are the times over which health is told.
var healthWindows = [...]time.Duration{5 * time.Minute, time.Hour, 24 * time.Hour}

// A HealthVerdict sums a window up; the numbers are those of meraki.broker.v1.
type HealthVerdict uint8

const (
	_ HealthVerdict = iota
	// HealthOK: less than the threshold went wrong.
	HealthOK
	// HealthTooFew: too few attempts to tell.
	HealthTooFew
	// HealthServerErrors: the Dashboard fails.
	HealthServerErrors
	// HealthUnreachable: attempts do not get as far as the Dashboard.
	HealthUnreachable
)

// A HealthWindow is how well the Dashboard has been answering.
type HealthWindow struct {
	Window   time.Duration
	Attempts int64
	// ServerErrors were answered with 500 and above.
	ServerErrors int64
	// NeverArrived are attempts that the vendor's telemetry cannot show. One
	// answered with 502, 503 or 504 is a server error too.
	NeverArrived int64
	// ErrorShare is the share of attempts that were either.
	ErrorShare float64
	Verdict    HealthVerdict
	// Threshold is the share from which on the verdict is not OK.
	Threshold float64
	// Advice says what to do now; empty when OK.
	Advice string
	// RequestIDs of failed attempts, the latest first, for the vendor's support.
	RequestIDs []string
}

// An OrganizationHealth is the health of one organization's attempts.
type OrganizationHealth struct {
	Organization string
	Windows      []HealthWindow
}

// Health tells the health of all attempts, and of each organization that had any
// within the longest window, by id. organization limits the second to one; empty
// for all.
func (r *Record) Health(now time.Time, organization string) (overall []HealthWindow, organizations []OrganizationHealth) {
	r.mu.Lock()
	defer r.mu.Unlock()
	organization = cutText(organization)
	overall = r.windows(r.all, now)
	for id, e := range r.orgs {
		s := e.Value.(*series)
		if organization != "" && id != organization || s.last.Before(now.Add(-coarseSpan)) {
			continue
		}
		organizations = append(organizations, OrganizationHealth{id, r.windows(s, now)})
	}
	slices.SortFunc(organizations, func(a, b OrganizationHealth) int { return cmp.Compare(a.Organization, b.Organization) })
	return overall, organizations
}

func (r *Record) windows(s *series, now time.Time) []HealthWindow {
	all := make([]HealthWindow, len(healthWindows))
	for i, d := range healthWindows {
		all[i] = health(s.window(now, d), d, r.config.Threshold, int64(r.config.Least))
		if all[i].Verdict != HealthOK {
			all[i].RequestIDs = s.ids(now.Add(-d))
		}
	}
	return all
}

// health judges one window. It is pure.
func health(t tally, window time.Duration, threshold float64, least int64) HealthWindow {
	w := HealthWindow{
		Window: window, Attempts: t.attempts, ServerErrors: t.serverErrors, NeverArrived: t.neverArrived,
		Threshold: threshold, Verdict: HealthOK,
	}
	if t.attempts > 0 {
		w.ErrorShare = float64(t.failed) / float64(t.attempts)
	}
	switch {
	case t.attempts < least:
		w.Verdict = HealthTooFew
		w.Advice = fmt.Sprintf("too few attempts to tell: %d in %s, of %d needed", t.attempts, spell(window), least)
	case w.ErrorShare < threshold:
	case 2*t.neverArrived >= t.failed:
		w.Verdict = HealthUnreachable
		w.Advice = fmt.Sprintf("%d of %d attempts in %s never got as far as the Dashboard, and its telemetry does not show them: "+
			"look at the network, the proxy and the name service between here and there, then at the vendor's status page; "+
			"contact the vendor's support if both are in order", t.neverArrived, t.attempts, spell(window))
	default:
		w.Verdict = HealthServerErrors
		w.Advice = fmt.Sprintf("%d of %d attempts in %s were answered with 500 or above, which is %.1f %% against a threshold of %.1f %%: "+
			"contact the vendor's support and hand over the request ids", t.serverErrors, t.attempts, spell(window), 100*w.ErrorShare, 100*threshold)
	}
	return w
}

// spell writes a window as people do: 5 min, 1 h, 24 h.
func spell(d time.Duration) string {
	if d < time.Hour {
		return fmt.Sprintf("%d min", d/time.Minute)
	}
	return fmt.Sprintf("%d h", d/time.Hour)
}
