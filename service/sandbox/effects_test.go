package sandbox

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/merakibroker/merakibroker/service/sandbox/document"
)

// Something changes by itself, at its times, and no request is counted for it.
func TestChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSandbox(t, open())
		network, org := "/networks/"+s.NetworkID(0, 1), "/organizations/"+s.OrganizationID(0)
		name := func() any { return ask(t, s, "GET", network, "").object(t, 200)["name"] }
		before, start := name(), time.Now()
		if err := s.AddChange(Change{Path: network, Body: json.RawMessage(`{"name":"Branch {n}"}`), In: Duration(time.Second), Every: Duration(5 * time.Second), Times: 3}); err != nil {
			t.Fatal(err)
		}
		if name() != before {
			t.Error("changed at once")
		}
		for _, want := range []string{"Branch 1", "Branch 2", "Branch 3", "Branch 3"} {
			pass(5 * time.Second)
			if name() != want {
				t.Errorf("%v, want %s", name(), want)
			}
		}
		made := s.Changes()
		if len(made) != 3 || made[2].Number != 3 || made[2].Time.Sub(start) != 11*time.Second || made[2].Error != "" {
			t.Errorf("made: %+v", made)
		}
		serial := s.Serial(0, 1, 1)
		if err := s.AddChange(Change{Path: org + "/devices/statuses/" + serial, Body: json.RawMessage(`{"status":"alerting"}`)}); err != nil {
			t.Fatal(err)
		}
		rows := ask(t, s, "GET", org+"/devices/statuses?serials[]="+serial, "").list(t)
		if len(rows) != 1 || rows[0]["status"] != "alerting" || rows[0]["serial"] != serial {
			t.Errorf("a row: %v", rows)
		}
		if err := s.AddChange(Change{Method: "POST", Path: network + "/mqttBrokers", Body: json.RawMessage(`{"name":"appeared"}`)}); err != nil {
			t.Fatal(err)
		}
		brokers := ask(t, s, "GET", network+"/mqttBrokers", "").list(t)
		last := brokers[len(brokers)-1]
		if last["name"] != "appeared" {
			t.Errorf("created: %v", last)
		}
		if err := s.AddChange(Change{Method: "DELETE", Path: network + "/mqttBrokers/" + document.Text(last["id"])}); err != nil {
			t.Fatal(err)
		}
		if n := len(ask(t, s, "GET", network+"/mqttBrokers", "").list(t)); n != len(brokers)-1 {
			t.Errorf("%d left", n)
		}
		if st := s.Organization(s.OrganizationID(0)); st.Executed != 0 || st.Operations["updateNetwork"].Arrived != 0 {
			t.Errorf("counted: %+v", st)
		}
	})
}

// A change that cannot be is refused at once, and one that comes later says so
// in the list; the ones to come end when they are cleared.
func TestChangesThatCannotBe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSandbox(t, open())
		network := "/networks/" + s.NetworkID(0, 1)
		for _, x := range []Change{
			{Path: "nothing"}, {Path: "/", Body: json.RawMessage(`{}`)}, {Path: "/nothing", Body: json.RawMessage(`{}`)}, {Path: "/networks/N_1"}, {Path: "/no/such/operation/1"}, {Path: network, Method: "GET"}, {Path: network, Every: 1}, {Path: network, In: -1},
			{Path: "/organizations/" + s.OrganizationID(0) + "/devices/statuses/Q2XX-2222-2222", Body: json.RawMessage(`{}`)}, {Path: network, Body: json.RawMessage(`[]`)},
			{Path: network + "?a=b"}, {Path: "/organizations/" + s.OrganizationID(0) + "/devices/statuses/" + s.Serial(0, 0, 0), Body: json.RawMessage(`3`)},
		} {
			if err := s.AddChange(x); err == nil {
				t.Errorf("%+v is accepted", x)
			}
		}
		if err := s.AddChange(Change{Path: network, Body: json.RawMessage(`{"name":"late"}`), In: Duration(time.Minute), Every: Duration(time.Minute)}); err != nil {
			t.Fatal(err)
		}
		ask(t, s, "DELETE", network, "")
		pass(time.Minute)
		if made := s.Changes(); made[len(made)-1].Error != "404 Not found" {
			t.Errorf("made: %+v", made)
		}
		n := len(s.Changes())
		s.ClearChanges()
		pass(time.Hour)
		if len(s.Changes()) != n {
			t.Errorf("%d after they were cleared", len(s.Changes())-n)
		}
	})
}
