package sandbox

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/merakibroker/merakibroker/service/sandbox/document"
)

// Paths that clients use and no document has: the thing itself is answered, by
// its owner's budget, and by no other organization's path.
func TestUndocumentedPaths(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, open())
	org, network := "/organizations/"+s.OrganizationID(0), s.NetworkID(0, 1)
	if g := ask(t, s, "GET", org+"/networks/"+network, ""); g.body != ask(t, s, "GET", "/networks/"+network, "").body {
		t.Errorf("%d %s", g.status, g.body)
	}
	if o := ask(t, s, "PUT", org+"/networks/"+network, `{"name":"Renamed"}`).object(t, 200); o["name"] != "Renamed" || o["id"] != network {
		t.Errorf("changed: %v", o)
	}
	if n := s.Executed("PUT", org+"/networks/"+network, []byte(`{"name":"Renamed"}`)); n != 1 {
		t.Errorf("executed %d times", n)
	}
	if g := ask(t, s, "GET", org+"/networks/"+s.NetworkID(1, 0), ""); g.status != 404 {
		t.Errorf("another's network: %d", g.status)
	}
	if g := ask(t, s, "DELETE", org+"/networks/"+network, ""); g.status != 204 {
		t.Errorf("delete: %d %s", g.status, g.body)
	}
	if g := ask(t, s, "GET", "/networks/"+network, ""); g.status != 404 {
		t.Errorf("deleted: %d", g.status)
	}
	documented := ask(t, s, "GET", org+"/inventory/devices?perPage=3", "")
	if g := ask(t, s, "GET", org+"/inventoryDevices?perPage=3", ""); g.body != documented.body || g.header.Get("Link") == "" {
		t.Errorf("the inventory: %d %s", g.status, g.body)
	}
	if n := s.Organization(s.OrganizationID(0)).Operations["getOrganizationInventoryDevices"].Arrived; n != 2 {
		t.Errorf("%d requests of the inventory counted", n)
	}
}

// What no operation is, the organization of its path pays for; AnyPath keeps
// what is written there.
func TestAnyPath(t *testing.T) {
	t.Parallel()
	o := open()
	o.AnyPath = true
	s := newSandbox(t, o)
	path := "/organizations/" + s.OrganizationID(0) + "/appliance/security/intrusion/policies"
	if g := ask(t, s, "GET", path, ""); g.status != 200 || g.body != "{}" {
		t.Errorf("at first: %d %s", g.status, g.body)
	}
	made := ask(t, s, "POST", path, `{"name":"Strict"}`).object(t, 201)
	id := document.Text(made["id"])
	if rows := ask(t, s, "GET", path, "").list(t); len(rows) != 1 || rows[0]["name"] != "Strict" {
		t.Errorf("listed: %v", rows)
	}
	if o := ask(t, s, "PUT", path+"/"+id, `{"mode":"prevention"}`).object(t, 200); o["name"] != "Strict" || o["mode"] != "prevention" {
		t.Errorf("merged: %v", o)
	}
	if g := ask(t, s, "PUT", path+"/"+id, `[]`); g.status != 400 {
		t.Errorf("a list: %d", g.status)
	}
	if g := ask(t, s, "DELETE", path+"/"+id, ""); g.status != 204 {
		t.Errorf("delete: %d", g.status)
	}
	if g := ask(t, s, "GET", path+"/"+id, ""); g.status != 404 {
		t.Errorf("deleted: %d", g.status)
	}
	for _, p := range []string{"/organizations/1/nothing/here", "/nothing/here", "/networks/N_1/nothing"} {
		if g := ask(t, s, "GET", p, ""); g.status != 404 {
			t.Errorf("%s: %d", p, g.status)
		}
	}
	if st := s.Organization(s.OrganizationID(0)); st.Arrived != 7 || st.Executed != 3 {
		t.Errorf("%d arrived, %d executed", st.Arrived, st.Executed)
	}
}

// What nobody knows costs the organization of its path all the same.
func TestUnknownPathsAreCharged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSandbox(t, Options{})
		for range 15 {
			ask(t, s, "GET", "/organizations/"+s.OrganizationID(0)+"/nothing/here", "")
		}
		if st := s.Organization(s.OrganizationID(0)); st.Answered[404] != 10 || st.LimitedByOrganization != 5 {
			t.Errorf("%+v", st)
		}
	})
}

// An address that stands in the path a second time is taken out.
func TestDoubledAddress(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, open())
	want := ask(t, s, "GET", "/organizations", "").body
	for _, path := range []string{
		"/api/v1http://127.0.0.1:8080/api/v1/organizations", "/api/v1http:/127.0.0.1:8080/api/v1/organizations",
		"/api/v1/http://127.0.0.1:8080/api/v1/organizations", "/api/v1https://sandbox.example/api/v1/organizations",
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("X-Cisco-Meraki-API-Key", "key")
		s.Handler().ServeHTTP(w, r)
		if w.Code != 200 || w.Body.String() != want {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	for _, path := range []string{"/api/v1http://127.0.0.1/organizations", "/api/v12/organizations"} {
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code == 200 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

// Each organization lives at a shard; the other one sends there, and its links
// stay there.
func TestShards(t *testing.T) {
	t.Parallel()
	o := open()
	o.Shards = []string{"http://n1.example", "http://n2.example"}
	s := newSandbox(t, o)
	get := func(method, host, path string) got {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(method, "http://"+host+"/api/v1"+path, strings.NewReader("{}"))
		r.Header.Set("Authorization", "Bearer key")
		s.Handler().ServeHTTP(w, r)
		return got{w.Code, w.Header(), w.Body.String()}
	}
	path := "/organizations/" + s.OrganizationID(1) + "/networks?perPage=3"
	if g := get("GET", "n1.example", path); g.status != 302 || g.header.Get("Location") != "http://n2.example/api/v1"+path {
		t.Errorf("%d %v", g.status, g.header)
	}
	if g := get("GET", "n2.example", path); g.status != 200 || !contains(g.header.Get("Link"), "<http://n2.example/api/v1/") {
		t.Errorf("%d %v", g.status, g.header)
	}
	if g := get("PUT", "n2.example", "/networks/"+s.NetworkID(0, 0)); g.status != 308 || g.header.Get("Location") != "http://n1.example/api/v1/networks/"+s.NetworkID(0, 0) {
		t.Errorf("%d %v", g.status, g.header)
	}
	if g := get("GET", "n9.example", "/organizations"); g.status != 200 {
		t.Errorf("what belongs to none: %d", g.status)
	}
	if st := s.Stats().Total; st.Executed != 0 || st.Answered[302] != 1 || st.Answered[308] != 1 {
		t.Errorf("%+v", st)
	}
}

// Link headers are bare, quoted or mixed, as asked for.
func TestLinkRelations(t *testing.T) {
	t.Parallel()
	for how, want := range map[string]string{"": "; rel=first, <", "quoted": `; rel="first", <`} {
		o := open()
		o.LinkRelations = how
		s := newSandbox(t, o)
		for _, r := range []string{"/networks?perPage=3", "/devices?perPage=3", "/configTemplates", "/apiRequests"} {
			if l := ask(t, s, "GET", "/organizations/"+s.OrganizationID(0)+r, "").header.Get("Link"); l != "" && !contains(l, want) {
				t.Errorf("%q %s: %s", how, r, l)
			}
		}
	}
}

// The sandbox says how many applications it has seen, and from which addresses.
func TestAgentsAndAddresses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { agentsAndAddresses(t) })
}

func agentsAndAddresses(t *testing.T) {
	o := Options{AddressHeader: "X-Egress", OrgRate: 1e6, OrgBurst: 1e6}
	s := newSandbox(t, o)
	send := func(h http.Handler, agent, egress, peer string) int {
		r := httptest.NewRequest(http.MethodGet, "/api/v1/networks/"+s.NetworkID(0, 0), nil)
		r.Header.Set("Authorization", "Bearer key")
		r.Header.Set("User-Agent", agent)
		if egress != "" {
			r.Header.Set("X-Egress", egress)
		}
		r.RemoteAddr = peer
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	status := map[string]int{}
	for i := range 150 { // two replicas behind one address, a third alone, a fourth at a listener
		status["shared "+fmt.Sprint(send(s.Handler(), "broker", "east", fmt.Sprintf("10.0.0.%d:1", i%2)))]++
		status["alone "+fmt.Sprint(send(s.Handler(), "broker", "", "10.0.0.3:1"))]++
		status["listener "+fmt.Sprint(send(s.HandlerAt("west"), "script", "", "10.0.0.4:1"))]++
	}
	for _, who := range []string{"shared", "alone", "listener"} {
		if status[who+" 200"] != 100 || status[who+" 429"] != 50 {
			t.Errorf("%s: %v", who, status)
		}
	}
	st := s.Stats()
	if len(st.UserAgents) != 2 || st.UserAgents["broker"] != 300 || st.UserAgents["script"] != 150 {
		t.Errorf("agents: %v", st.UserAgents)
	}
	for _, name := range []string{"east", "10.0.0.3", "west"} {
		a := st.Addresses[name]
		if a.Arrived != 150 || a.Limited != 50 || a.WorstOverdraft != 50 || a.MostInSecond != 150 {
			t.Errorf("%s: %+v", name, a)
		}
	}
	if len(st.Addresses) != 3 {
		t.Errorf("addresses: %v", st.Addresses)
	}
	s.Reset()
	if st := s.Stats(); len(st.UserAgents) != 0 || len(st.Addresses) != 0 {
		t.Errorf("after the reset: %v %v", st.UserAgents, st.Addresses)
	}
}

// Both headers carry the key, and either alone does.
func TestBothKeyHeaders(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, Options{LimitsOff: true, Keys: map[string][]string{"right": nil}})
	for _, row := range []struct {
		bearer, cisco string
		want          int
	}{{"Bearer right", "", 200}, {"", "right", 200}, {"Bearer right", "right", 200}, {"Bearer wrong", "", 401}, {"", "wrong", 401}, {"", "", 401}} {
		r := httptest.NewRequest(http.MethodGet, "/api/v1/organizations", nil)
		if row.bearer != "" {
			r.Header.Set("Authorization", row.bearer)
		}
		if row.cisco != "" {
			r.Header.Set("X-Cisco-Meraki-API-Key", row.cisco)
		}
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if w.Code != row.want {
			t.Errorf("%+v: %d", row, w.Code)
		}
	}
}
