package sandbox

import (
	"strconv"
	"testing"
	"time"
)

// What a client saw of a write never contradicts what the sandbox says was
// executed, whatever went wrong: the test of the broker stands on this.
func TestTruthUnderFaults(t *testing.T) {
	t.Parallel()
	var kinds []Weighted
	for _, f := range EveryFault() {
		f.Delay = min(f.Delay, Duration(time.Millisecond))
		kinds = append(kinds, Weighted{f, 1})
	}
	s := newSandbox(t, Options{LimitsOff: true, Seed: 3, Faults: Mix{Share: 0.5, Kinds: kinds}})
	srv, client := serve(t, s)
	path := "/networks/" + s.NetworkID(0, 0) + "/webhooks/httpServers"
	saw := map[string]int{}
	const writes = 600
	for i := range writes {
		body := `{"name":"` + strconv.Itoa(i) + `","url":"https://example.com"}`
		g, err := send(t, client, "POST", srv.URL+"/api/v1"+path, body)
		n := s.Executed("POST", path, []byte(body))
		outcome, least, most := "ok", 1, 1
		switch {
		case err != nil:
			outcome, least, most = "lost", 0, 1
		case g.status >= 500 || g.status == 408:
			outcome, least, most = "failed", 0, 1
		case g.status >= 300:
			outcome, least, most = "refused", 0, 0
		}
		saw[outcome+" "+strconv.Itoa(n)]++
		if n < least || n > most {
			t.Errorf("%s: %d %v: executed %d times", body, g.status, err, n)
		}
	}
	for _, outcome := range []string{"ok 1", "lost 0", "lost 1", "failed 0", "failed 1", "refused 0"} {
		if saw[outcome] == 0 {
			t.Errorf("never %s: %v", outcome, saw)
		}
	}
	st := s.Organization(s.OrganizationID(0))
	answered := 0
	for _, n := range st.Answered {
		answered += n
	}
	if st.Arrived != writes || answered != writes || st.InFlight != 0 {
		t.Errorf("%d sent: %+v", writes, st)
	}
}
