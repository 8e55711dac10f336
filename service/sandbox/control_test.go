package sandbox

import (
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/merakibroker/merakibroker/service/sandbox/document"
)

func sim(s *Sandbox, method, path, body string) got {
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest(method, "/_sim"+path, strings.NewReader(body)))
	return got{w.Code, w.Header(), w.Body.String()}
}

func TestControl(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, open())
	org := s.OrganizationID(0)
	ask(t, s, "POST", "/organizations/"+org+"/networks", `{"name":"x","productTypes":["switch"]}`)
	for _, row := range []struct {
		method, path, body string
		want               int
		says               string
	}{
		{"GET", "", "", 200, "/_sim/stats"},
		{"GET", "/", "", 200, "/_sim/stats"},
		{"GET", "/nothing", "", 404, ""},
		{"GET", "/stats", "", 200, `"createOrganizationNetwork"`},
		{"GET", "/stats?organization=" + org, "", 200, `"arrived": 1`},
		{"GET", "/world?limit=1", "", 200, s.Serial(0, 0, 0)},
		{"GET", "/executions", "", 200, `"times": 1`},
		{"GET", "/requests?limit=5", "", 200, "/networks"},
		{"POST", "/outside", `{"organizationId":"` + org + `","rate":4,"seconds":1}`, 200, "true"},
		{"POST", "/outside", `{"organizationId":"1","rate":4,"seconds":1}`, 400, "no organization"},
		{"POST", "/outside", `{"organizationId":"` + org + `","rate":-4,"seconds":1}`, 400, "rate"},
		{"POST", "/outside", `{"organizationId":"` + org + `","rate":4,"seconds":0}`, 400, "seconds"},
		{"POST", "/outside", `x`, 400, "the body is"},
		{"POST", "/outage", `{"seconds":-1}`, 400, "the body is"},
		{"POST", "/outage", `{"seconds":0}`, 200, "true"},
		{"POST", "/faults", `{"path":"/networks/","faults":[{"kind":"status","status":502,"body":"html","delay":"5ms"}]}`, 200, "true"},
		{"POST", "/faults", `[{"faults":[{"kind":"reset"}]},{"operation":"getNetwork","faults":[{"kind":"reset"}]}]`, 200, "true"},
		{"POST", "/faults", `{"faults":[{"kind":"nonsense"}]}`, 400, "nonsense"},
		{"POST", "/faults", `{"faults":[{"kind":"delay","delay":"-1s"}]}`, 400, "duration"},
		{"PUT", "/faults", `{"share":0.5,"kinds":[{"kind":"status","status":500}]}`, 200, "true"},
		{"PUT", "/faults", `{"share":1.5}`, 400, "between 0 and 1"},
		{"DELETE", "/faults", "", 200, "true"},
		{"PUT", "/times", `{"batch":"5s"}`, 200, "true"},
		{"PUT", "/times", `{"batch":"-5s"}`, 400, "duration"},
		{"PUT", "/times", `3`, 400, "the body is"},
		{"GET", "/times", "", 200, `"batch": "5s"`},
		{"POST", "/rejections", `{"contains":"x","messages":["No"]}`, 200, "true"},
		{"POST", "/rejections", `{"operation":"nothing"}`, 400, "no operation"},
		{"POST", "/rejections", `x`, 400, "cannot be read"},
		{"DELETE", "/rejections", "", 200, "true"},
		{"POST", "/jobs", `[{"path":"/devices/","time":"9s"},{"failed":"No","times":1}]`, 200, "true"},
		{"POST", "/jobs", `{"times":-1}`, 400, "below zero"},
		{"DELETE", "/jobs", "", 200, "true"},
		{"POST", "/changes", `{"path":"/organizations/` + org + `","body":{"name":"Changed {n}"}}`, 200, "true"},
		{"POST", "/changes", `{"path":"/organizations/1","body":{}}`, 400, "nothing changes"},
		{"GET", "/changes", "", 200, `"number": 1`},
		{"DELETE", "/changes", "", 200, "true"},
		{"GET", "/stats", "", 200, `"userAgents"`},
		{"PUT", "/wire", `{"shapes":true,"items":["getOrganizations"]}`, 200, "true"},
		{"PUT", "/wire", `{"items":["nothing"]}`, 400, "no operation"},
		{"PUT", "/wire", `{}`, 200, "true"},
		{"POST", "/reset", "", 200, "true"},
		{"GET", "/stats", "", 200, `"organizations": {}`},
	} {
		if g := sim(s, row.method, row.path, row.body); g.status != row.want || !contains(g.body, row.says) {
			t.Errorf("%s %s %s: %d %s", row.method, row.path, row.body, g.status, g.body)
		}
	}
	if n := len(ask(t, s, "GET", "/organizations/"+org+"/networks", "").list(t)); n != 4 {
		t.Errorf("after the reset %d networks", n)
	}
}

// The telemetry shows what reached the Dashboard, by agent, and misses the rest.
func TestTelemetry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSandbox(t, open())
		base := "/organizations/" + s.OrganizationID(0)
		if err := s.AddScript(Script{Operation: "getOrganizationDevices", Faults: []Fault{
			{Kind: FaultStatus, Status: 502, Body: "html"}, {Kind: FaultStatus, Status: 504}, {Kind: FaultStatus, Status: 500}, {Kind: FaultStatus, Status: 404},
		}}); err != nil {
			t.Fatal(err)
		}
		for range 6 {
			r := httptest.NewRequest("GET", "/api/v1"+base+"/devices", nil)
			r.Header.Set("Authorization", "Bearer key")
			r.Header.Set("User-Agent", "Ours/1.0 Vendor")
			s.Handler().ServeHTTP(httptest.NewRecorder(), r)
		}
		pass(time.Second)
		rows := ask(t, s, "GET", base+"/apiRequests?userAgent=Ours&perPage=3", "")
		if l := rows.list(t); len(l) != 3 || l[0]["operationId"] != "getOrganizationDevices" || document.Text(l[0]["responseCode"]) != "200" {
			t.Errorf("rows: %s", rows.body)
		}
		next, _ := links(t, rows.header.Get("Link"))
		if l := ask(t, s, "GET", next["next"], "").list(t); len(l) != 1 || document.Text(l[0]["responseCode"]) != "500" {
			t.Errorf("the second page: %v", l)
		}
		o := ask(t, s, "GET", base+"/apiRequests/overview?timespan=3600", "").object(t, 200)
		codes := document.Object(o["responseCodeCounts"])
		if document.Text(codes["500"]) != "1" || document.Text(codes["404"]) != "1" || document.Text(codes["200"]) != "4" || document.Text(codes["429"]) != "0" || codes["502"] != nil {
			t.Errorf("overview: %v", codes)
		}
		by := ask(t, s, "GET", base+"/apiRequests/overview/responseCodes/byInterval?interval=120&userAgent=Ours", "").list(t)
		if len(by) != 1 || len(by[0]["counts"].([]any)) != 3 {
			t.Errorf("by interval: %v", by)
		}
		for _, q := range []string{"interval=7", "timespan=-1", "timespan=x", "t0=x"} {
			if g := ask(t, s, "GET", base+"/apiRequests/overview/responseCodes/byInterval?"+q, ""); g.status != 400 {
				t.Errorf("%s: %d", q, g.status)
			}
		}
	})
}

// Another application takes its part, and what is left passes.
func TestOutside(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSandbox(t, Options{})
		if err := s.Outside(s.OrganizationID(0), 4, 10*time.Second); err != nil {
			t.Fatal(err)
		}
		ok := 0
		for range 200 { // 20 a second for 10 seconds
			if ask(t, s, "GET", "/networks/"+s.NetworkID(0, 0), "").status == 200 {
				ok++
			}
			pass(50 * time.Millisecond)
		}
		if ok < 68 || ok > 71 { // 10 of burst, 6 a second
			t.Errorf("%d passed", ok)
		}
	})
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	c, err := loaded()
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []Options{{Jitter: -1}, {OrgRate: -1}, {Rows: 1 << 30}, {Faults: Mix{Share: 2}}, {Faults: Mix{Kinds: []Weighted{{Fault{Kind: "no"}, 1}}}}} {
		if _, err := New(c, o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
	if _, err := New(nil, Options{}); err == nil {
		t.Error("no contract is accepted")
	}
}

func TestRequestsAreObserved(t *testing.T) {
	t.Parallel()
	var saw []Arrival
	o := open()
	o.Observe = func(a Arrival) { saw = append(saw, a) }
	s := newSandbox(t, o)
	ask(t, s, "PUT", "/networks/"+s.NetworkID(0, 0)+"?a=b", `{"name":"n"}`)
	if len(saw) != 1 || saw[0].Operation != "updateNetwork" || saw[0].Query != "a=b" || string(saw[0].Body) != `{"name":"n"}` || saw[0].Header.Get("Authorization") == "" {
		t.Errorf("%+v", saw)
	}
}
