package sandbox

import (
	"math"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/merakibroker/merakibroker/service/sandbox/document"
)

// The bucket by hand: at which second which request finds a token.
func TestBucket(t *testing.T) {
	t.Parallel()
	start := time.Unix(1_000_000, 0)
	type step struct {
		at   float64 // seconds
		n    int     // requests at once
		pass int
	}
	for _, row := range []struct {
		name    string
		outside []outside
		steps   []step
	}{
		{"burst, then the rate", nil, []step{{0, 30, 10}, {0.05, 1, 0}, {0.1, 5, 1}, {1.1, 20, 10}, {100, 30, 10}}},
		{"thirty in two seconds", nil, []step{{0, 10, 10}, {0.5, 10, 5}, {1, 10, 5}, {2, 30, 10}}},
		{"the clock goes back", nil, []step{{10, 10, 10}, {5, 1, 0}, {10.1, 1, 1}}},
		{"another takes four a second", []outside{{4, start, start.Add(10 * time.Second)}}, []step{{0, 10, 10}, {1, 10, 6}, {2, 10, 6}, {10, 30, 10}, {11, 30, 10}}},
		{"another takes more than there is", []outside{{40, start, start.Add(time.Second)}}, []step{{0, 5, 5}, {1, 5, 0}, {1.5, 10, 5}}},
		{"another comes later", []outside{{10, start.Add(time.Second), start.Add(2 * time.Second)}}, []step{{0, 10, 10}, {2, 10, 10}, {3, 10, 10}}},
		{"two at a time", []outside{{3, start, start.Add(9 * time.Second)}, {3, start, start.Add(time.Second)}}, []step{{0, 10, 10}, {1, 10, 4}, {2, 10, 7}}},
	} {
		b := bucket{outside: row.outside}
		b.advance(start, 10, 10)
		for _, s := range row.steps {
			passed := 0
			for range s.n {
				if b.take(start.Add(time.Duration(s.at*float64(time.Second))), 10, 10) {
					passed++
				}
			}
			if passed != s.pass {
				t.Errorf("%s: at %g s %d of %d pass, want %d", row.name, s.at, passed, s.n, s.pass)
			}
		}
	}
}

// The meter's overdraft is the maximum over all windows, found the slow way.
func TestMeter(t *testing.T) {
	t.Parallel()
	start := time.Unix(1_000_000, 0)
	for seed := range uint64(20) {
		var m meter
		var at []float64
		now := 0.0
		for i := range uint64(200) {
			now += float64(document.Mix(seed*1000+i)%1000) / 1000 * 0.15
			at = append(at, now)
			m.count(start.Add(time.Duration(now*float64(time.Second))), 10, 10)
		}
		worst, most := 0.0, 0
		for i := range at {
			for j := i; j < len(at); j++ {
				worst = math.Max(worst, float64(j-i+1)-(10*(at[j]-at[i])+10))
				if at[j]-at[i] < 1-1e-9 {
					most = max(most, j-i+1)
				}
			}
		}
		if math.Abs(worst-m.worst) > 1e-6 || most != m.most {
			t.Errorf("seed %d: overdraft %g, want %g; most in a second %d, want %d", seed, m.worst, worst, m.most, most)
		}
	}
}

func TestOrganizationLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSandbox(t, Options{})
		org, network := s.OrganizationID(0), s.NetworkID(0, 0)
		count := func(n int, path string) (ok int, last got) {
			for range n {
				g := ask(t, s, "GET", path, "")
				if g.status == 200 {
					ok++
				} else {
					last = g
				}
			}
			return ok, last
		}
		ok, no := count(15, "/networks/"+network)
		if ok != 10 || no.status != 429 || no.header.Get("Retry-After") != "1" || no.body != `{"errors":["API rate limit exceeded for organization"]}` {
			t.Errorf("%d passed, then %d %v %s", ok, no.status, no.header, no.body)
		}
		if ok, _ := count(10, "/organizations/"+s.OrganizationID(1)); ok != 10 {
			t.Errorf("another organization: %d", ok)
		}
		pass(500 * time.Millisecond)
		if ok, _ := count(10, "/organizations/"+org); ok != 5 {
			t.Errorf("after half a second: %d", ok)
		}
		st := s.Organization(org)
		if st.Arrived != 25 || st.LimitedByOrganization != 10 || st.Answered[200] != 15 || st.Answered[429] != 10 || st.MostInSecond != 25 || math.Abs(st.WorstOverdraft-10) > 1e-6 {
			t.Errorf("statistics: %+v", st)
		}
		for range 40 { // so many in one second double the advice
			no = ask(t, s, "GET", "/networks/"+network, "")
		}
		if no.header.Get("Retry-After") != "2" {
			t.Errorf("Retry-After under fire: %v", no.header)
		}
	})
}

func TestOwnAndAddressLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSandbox(t, Options{OrgRate: 1000, OrgBurst: 1000})
		ok := map[int]int{}
		for range 8 {
			ok[ask(t, s, "POST", "/devices/"+s.Serial(0, 0, 0)+"/liveTools/ping", `{"target":"192.0.2.1"}`).status]++
			ok[1000+ask(t, s, "POST", "/devices/"+s.Serial(0, 0, 1)+"/liveTools/ping", `{"target":"192.0.2.1"}`).status]++
		}
		if ok[201] != 5 || ok[429] != 3 || ok[1201] != 5 {
			t.Errorf("pings: %v", ok)
		}
		if n := s.Organization(s.OrganizationID(0)).LimitedByOperation; n != 6 {
			t.Errorf("%d limited by operation", n)
		}
		pass(time.Second)
		ok = map[int]int{}
		var no got
		for range 150 {
			g := ask(t, s, "GET", "/organizations/"+s.OrganizationID(0), "")
			if ok[g.status]++; g.status == 429 {
				no = g
			}
		}
		if ok[200] != 100 || no.header.Get("Retry-After") != "" || no.header.Get("Content-Type") != "text/html" {
			t.Errorf("by address: %v, %v", ok, no)
		}
	})
}

// Jitter delays before counting, latency after; neither outlives its client.
func TestJitterAndLatency(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSandbox(t, Options{LimitsOff: true, Jitter: 200 * time.Millisecond, Latency: time.Second})
		start := time.Now()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { ask(t, s, "GET", "/organizations/"+s.OrganizationID(0), "") })
		}
		wg.Wait()
		st := s.Organization(s.OrganizationID(0))
		if d := st.First.Sub(start); d <= 0 || d > 100*time.Millisecond {
			t.Errorf("the first was counted after %v", d)
		}
		if d := st.Last.Sub(start); d < 100*time.Millisecond || d >= 200*time.Millisecond {
			t.Errorf("the last was counted after %v", d)
		}
		if d := time.Since(start); d < time.Second || d >= 1200*time.Millisecond {
			t.Errorf("all answered after %v", d)
		}
		if st.MostInFlight != 50 || st.InFlight != 0 {
			t.Errorf("in flight: %d, at most %d", st.InFlight, st.MostInFlight)
		}
	})
}

func TestOneNetworkDeleteAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSandbox(t, open())
		var mu sync.Mutex
		status := map[int]int{}
		var wg sync.WaitGroup
		for n := range 3 {
			wg.Go(func() {
				g := ask(t, s, "DELETE", "/networks/"+s.NetworkID(0, n), "")
				mu.Lock()
				defer mu.Unlock()
				status[g.status]++
			})
		}
		wg.Wait()
		if status[204] != 1 || status[400] != 2 {
			t.Errorf("together: %v", status)
		}
		if g := ask(t, s, "DELETE", "/networks/"+s.NetworkID(0, 3), ""); g.status != 204 {
			t.Errorf("alone: %v", g)
		}
	})
}

func TestKeys(t *testing.T) {
	t.Parallel()
	o := open()
	o.Keys = map[string][]string{"one": {"2930418"}, "all": nil}
	o.APIDisabled = []string{"2930420"}
	s := newSandbox(t, o)
	for _, row := range []struct {
		header, value, path string
		want                int
		says                string
	}{
		{"Authorization", "", "/organizations", 401, "Missing API key"},
		{"Authorization", "Basic x", "/organizations", 401, "Missing API key"},
		{"Authorization", "Bearer other", "/organizations", 401, "Invalid"},
		{"Authorization", "Bearer one", "/organizations/2930418", 200, ""},
		{"authorization", "bearer all", "/organizations/" + s.OrganizationID(1), 200, ""},
		{"X-Cisco-Meraki-API-Key", "one", "/organizations/2930418", 200, ""},
		{"Authorization", "Bearer one", "/organizations/" + s.OrganizationID(1), 403, "permission"},
		{"Authorization", "Bearer one", "/networks/" + s.NetworkID(1, 0), 404, "Not found"},
		{"Authorization", "Bearer all", "/organizations/2930420", 404, "enable API access"},
		{"Authorization", "Bearer all", "/devices/" + s.Serial(2, 0, 0), 404, "enable API access"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/api/v1"+row.path, nil)
		if row.value != "" {
			r.Header.Set(row.header, row.value)
		}
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if w.Code != row.want || !contains(w.Body.String(), row.says) {
			t.Errorf("%s %q %s: %d %s", row.header, row.value, row.path, w.Code, w.Body)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/api/v1/organizations", nil)
	r.Header.Set("Authorization", "Bearer one")
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	if rows := (got{w.Code, nil, w.Body.String()}).list(t); len(rows) != 1 {
		t.Errorf("a key for one sees %d", len(rows))
	}
}
