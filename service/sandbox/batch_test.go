package sandbox

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/merakibroker/merakibroker/service/sandbox/document"
)

// batchBody writes a batch of actions.
func batchBody(flags string, actions ...string) string {
	return `{` + flags + `,"actions":[` + strings.Join(actions, ",") + `]}`
}

func updatePort(s *Sandbox, port int, name string) string {
	return fmt.Sprintf(`{"resource":"/devices/%s/switch/ports/%d","operation":"update","body":{"name":%q}}`, s.Serial(0, 1, 1), port, name)
}

func portName(t *testing.T, s *Sandbox, port int) any {
	t.Helper()
	return ask(t, s, "GET", fmt.Sprintf("/devices/%s/switch/ports/%d", s.Serial(0, 1, 1), port), "").object(t, 200)["name"]
}

const (
	asynchronous = `"confirmed":true,"synchronous":false`
	synchronous  = `"confirmed":true,"synchronous":true`
	unconfirmed  = `"confirmed":false,"synchronous":false`
)

// An asynchronous batch takes its time, changes nothing before, and says then
// what it made: the k-th created resource for the k-th create.
func TestAsynchronousBatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSandbox(t, open())
		path := "/organizations/" + s.OrganizationID(0) + "/actionBatches"
		brokers := "/networks/" + s.NetworkID(0, 1) + "/mqttBrokers"
		create := func(name string) string {
			return `{"resource":"` + brokers + `","operation":"create","body":{"name":"` + name + `","host":"192.0.2.1","port":1883}}`
		}
		o := ask(t, s, "POST", path, batchBody(asynchronous, create("first"), updatePort(s, 3, "Third"), create("second"))).object(t, 201)
		id := document.Text(o["id"])
		if o["confirmed"] != true || len(o["actions"].([]any)) != 3 || batchState(document.Object(o["status"])) != "pending" {
			t.Errorf("posted: %v", o)
		}
		before := portName(t, s, 3)
		pass(1999 * time.Millisecond)
		if name := portName(t, s, 3); name != before || name == "Third" {
			t.Errorf("changed before its time: %v", name)
		}
		if n := len(ask(t, s, "GET", path+"?status=pending", "").list(t)); n != 1 {
			t.Errorf("%d pending", n)
		}
		pass(time.Millisecond)
		o = ask(t, s, "GET", path+"/"+id, "").object(t, 200)
		made, _ := document.Object(o["status"])["createdResources"].([]any)
		if batchState(document.Object(o["status"])) != "completed" || len(made) != 2 || portName(t, s, 3) != "Third" {
			t.Fatalf("at its time: %v", o)
		}
		for i, name := range []string{"first", "second"} {
			m := document.Object(made[i])
			if m["uri"] != brokers+"/"+document.Text(m["id"]) {
				t.Errorf("created: %v", m)
			}
			if got := ask(t, s, "GET", document.Text(m["uri"]), "").object(t, 200)["name"]; got != name {
				t.Errorf("create %d made %v", i, got)
			}
		}
		if rows := ask(t, s, "GET", path+"?status=completed", "").list(t); len(rows) != 1 || len(rows[0]["actions"].([]any)) != 3 {
			t.Errorf("listed: %v", rows)
		}
		if n := s.Executed("PUT", "/devices/"+s.Serial(0, 1, 1)+"/switch/ports/3", []byte(`{"name":"Third"}`)); n != 1 {
			t.Errorf("executed %d times", n)
		}
		if g := ask(t, s, "DELETE", path+"/"+id, ""); g.status != 400 {
			t.Errorf("delete of a confirmed one: %d", g.status)
		}
	})
}

// A synchronous batch is answered when it has ended.
func TestSynchronousBatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSandbox(t, open())
		s.SetTimes(Times{SynchronousBatch: Duration(300 * time.Millisecond), BatchAction: Duration(100 * time.Millisecond)})
		start := time.Now()
		path := "/organizations/" + s.OrganizationID(0) + "/actionBatches"
		o := ask(t, s, "POST", path, batchBody(synchronous, updatePort(s, 3, "a"), updatePort(s, 4, "b"))).object(t, 201)
		if d := time.Since(start); d != 500*time.Millisecond || batchState(document.Object(o["status"])) != "completed" {
			t.Errorf("after %v: %v", d, o)
		}
		many := make([]string, mostSynchronous+1)
		for i := range many {
			many[i] = updatePort(s, 3, "x")
		}
		if g := ask(t, s, "POST", path, batchBody(synchronous, many...)); g.status != 400 {
			t.Errorf("%d actions: %d", len(many), g.status)
		}
		if g := ask(t, s, "POST", path, batchBody(asynchronous, many...)); g.status != 201 {
			t.Errorf("%d actions: %d %s", len(many), g.status, g.body)
		}
	})
}

// Five at a time, whoever posts them and in whatever mode; a place is free when
// a batch has ended.
func TestFiveBatchesAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSandbox(t, open())
		path := "/organizations/" + s.OrganizationID(0) + "/actionBatches"
		var wg sync.WaitGroup
		for i := range 4 {
			ask(t, s, "POST", path, batchBody(asynchronous, updatePort(s, i, "x"))).object(t, 201)
		}
		wg.Go(func() { ask(t, s, "POST", path, batchBody(synchronous, updatePort(s, 9, "x"))).object(t, 201) })
		synctest.Wait()
		waiting := document.Text(ask(t, s, "POST", path, batchBody(unconfirmed, updatePort(s, 8, "x"))).object(t, 201)["id"])
		for _, g := range []got{ask(t, s, "POST", path, batchBody(asynchronous, updatePort(s, 7, "x"))), ask(t, s, "PUT", path+"/"+waiting, `{"confirmed":true}`)} {
			if g.status != 400 || !contains(g.body, saysBatches) {
				t.Errorf("the sixth: %d %s", g.status, g.body)
			}
		}
		if g := ask(t, s, "POST", "/organizations/"+s.OrganizationID(1)+"/actionBatches", `{"confirmed":true,"actions":[]}`); g.status != 201 {
			t.Errorf("another organization: %d %s", g.status, g.body)
		}
		wg.Wait()
		if o := ask(t, s, "PUT", path+"/"+waiting, `{"confirmed":true}`).object(t, 200); o["confirmed"] != true {
			t.Errorf("when there is room: %v", o)
		}
		pass(2 * time.Second)
		if st := s.Organization(s.OrganizationID(0)); st.Batches != 0 || st.MostBatches != 5 {
			t.Errorf("%d under way, at most %d", st.Batches, st.MostBatches)
		}
	})
}

// A batch of which one action is wrong has done nothing, of whatever kind the
// actions before it were, and says in the vendor's words what was wrong.
func TestBatchIsAtomic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSandbox(t, open())
		org, network := "/organizations/"+s.OrganizationID(0), "/networks/"+s.NetworkID(0, 1)
		if err := s.AddRejection(Rejection{Contains: `"wrong"`, Messages: []string{"Name is wrong"}}); err != nil {
			t.Fatal(err)
		}
		state := func() string {
			var all strings.Builder
			for _, p := range []string{org + "/networks", org + "/devices", network + "/mqttBrokers", network, "/devices/" + s.Serial(0, 1, 1) + "/switch/ports/3"} {
				all.WriteString(ask(t, s, "GET", p, "").body)
			}
			return all.String()
		}
		kept := document.Text(ask(t, s, "POST", network+"/mqttBrokers", `{"name":"kept"}`).object(t, 201)["id"])
		before, executed := state(), len(s.Executions())
		wrong := updatePort(s, 4, "wrong")
		o := ask(t, s, "POST", org+"/actionBatches", batchBody(asynchronous,
			`{"resource":"`+network+`/mqttBrokers","operation":"create","body":{"name":"made"}}`,
			`{"resource":"`+network+`/mqttBrokers/`+kept+`","operation":"update","body":{"name":"changed"}}`,
			`{"resource":"`+network+`/mqttBrokers/`+kept+`","operation":"destroy"}`,
			`{"resource":"`+network+`","operation":"update","body":{"name":"renamed"}}`,
			`{"resource":"/networks/`+s.NetworkID(0, 0)+`","operation":"destroy"}`,
			`{"resource":"`+org+`/networks","operation":"create","body":{"name":"n","productTypes":["switch"]}}`,
			updatePort(s, 3, "right"), wrong)).object(t, 201)
		pass(2 * time.Second)
		o = ask(t, s, "GET", org+"/actionBatches/"+document.Text(o["id"]), "").object(t, 200)
		status := document.Object(o["status"])
		want := "Error occurred while executing update /devices/" + s.Serial(0, 1, 1) + `/switch/ports/4 with {"name":"wrong"}: Name is wrong`
		if status["failed"] != true || status["completed"] != false || document.Texts(status["errors"])[0] != want || len(status["createdResources"].([]any)) != 0 {
			t.Errorf("status: %v", status)
		}
		if after := state(); after != before {
			t.Errorf("before: %s\nafter: %s", before, after)
		}
		if n := len(s.Executions()); n != executed+1 { // the batch itself
			t.Errorf("%d executions", n-executed)
		}
	})
}

// What is wrong at once refuses the POST, confirmed or not, and names no action;
// what shows later passes a preview.
func TestBatchRefusals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSandbox(t, open())
		path := "/organizations/" + s.OrganizationID(0) + "/actionBatches"
		network := "/networks/" + s.NetworkID(0, 1)
		for _, x := range []Rejection{{Contains: "live", AtPost: true, Messages: []string{"VLANs are not enabled for this network"}}, {Contains: "late", Unnamed: true}} {
			if err := s.AddRejection(x); err != nil {
				t.Fatal(err)
			}
		}
		for _, row := range []struct{ action, says string }{
			{`{"resource":"/networks/N_1/groupPolicies","operation":"create"}`, "Not found"},
			{`{"resource":"/networks/` + s.NetworkID(1, 0) + `/groupPolicies","operation":"create"}`, "Not found"},
			{`{"resource":"` + network + `/devices/remove","operation":"create"}`, "create operation is unsupported for /networks/{network_id}/devices/remove."},
			{`{"resource":"` + network + `/nothing","operation":"update"}`, "Unsupported operation"},
			{`{"resource":"` + network + `/clients","operation":"destroy"}`, "destroy operation is unsupported for /networks/{network_id}/clients."},
			{updatePort(s, 1, "live"), "VLANs are not enabled for this network"},
		} {
			for _, flags := range []string{asynchronous, synchronous, unconfirmed} {
				g := ask(t, s, "POST", path, batchBody(flags, updatePort(s, 2, "right"), row.action))
				if o := document.DecodeObject([]byte(g.body)); g.status != 400 || strings.Join(document.Texts(o["errors"]), "|") != row.says {
					t.Errorf("%s %s: %d %s", flags, row.action, g.status, g.body)
				}
			}
		}
		preview := ask(t, s, "POST", path, batchBody(unconfirmed, updatePort(s, 2, "late"))).object(t, 201)
		id := document.Text(preview["id"])
		pass(time.Hour)
		if o := ask(t, s, "GET", path+"/"+id, "").object(t, 200); batchState(document.Object(o["status"])) != "pending" {
			t.Errorf("an unconfirmed one ran: %v", o)
		}
		ask(t, s, "PUT", path+"/"+id, `{"confirmed":true}`).object(t, 200)
		pass(2 * time.Second)
		status := document.Object(ask(t, s, "GET", path+"/"+id, "").object(t, 200)["status"])
		if errs := document.Texts(status["errors"]); status["failed"] != true || errs[0] != saysInvalid {
			t.Errorf("without a name: %v", status)
		}
		again := document.Text(ask(t, s, "POST", path, batchBody(unconfirmed, updatePort(s, 2, "x"))).object(t, 201)["id"])
		if g := ask(t, s, "DELETE", path+"/"+again, ""); g.status != 204 {
			t.Errorf("delete of an unconfirmed one: %d", g.status)
		}
		if g := ask(t, s, "GET", path+"/"+again, ""); g.status != 404 {
			t.Errorf("deleted: %d", g.status)
		}
		forgotten := document.Text(ask(t, s, "POST", path, batchBody(unconfirmed, updatePort(s, 2, "x"))).object(t, 201)["id"])
		pass(7*24*time.Hour - time.Second)
		ask(t, s, "GET", path+"/"+forgotten, "").object(t, 200)
		pass(time.Second)
		if g := ask(t, s, "GET", path+"/"+forgotten, ""); g.status != 404 {
			t.Errorf("after a week: %d", g.status)
		}
		ask(t, s, "GET", path+"/"+id, "").object(t, 200) // was confirmed
	})
}

// Each action of the vendor's list is carried: with the list's resource, and
// with the operation's own path.
func TestEveryAction(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, open())
	path := "/organizations/" + s.OrganizationID(0) + "/actionBatches"
	n := 0
	for _, r := range s.router.routes {
		a := r.op.GetBatchAction()
		if a == nil {
			continue
		}
		n++
		for _, resource := range []string{fillPath(s, a.GetResource()), fillPath(s, r.op.GetPath())} {
			x := s.resolve(&request{s: s, r: ask0(path)}, &action{resource: resource, operation: a.GetOperation()})
			if x == nil || x.route != r {
				t.Errorf("%s %s is not %s", a.GetOperation(), resource, r.op.GetId())
			}
		}
	}
	if n != 334 {
		t.Errorf("%d actions", n)
	}
}

// The answer to a POST is lost, and the batch is there or not: as the fault says.
func TestLostBatch(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{true, false} {
		s := newSandbox(t, Options{LimitsOff: true, BatchTime: time.Hour})
		srv, client := serve(t, s)
		path := "/organizations/" + s.OrganizationID(0) + "/actionBatches"
		if err := s.AddScript(Script{Operation: "createOrganizationActionBatch", Faults: []Fault{{Kind: FaultReset, After: after}}}); err != nil {
			t.Fatal(err)
		}
		if _, err := send(t, client, "POST", srv.URL+"/api/v1"+path, batchBody(asynchronous, updatePort(s, 1, "lost"))); err == nil {
			t.Error("not lost")
		}
		rows := ask(t, s, "GET", path+"?status=pending", "").list(t)
		if there := len(rows) == 1; there != after || there && !contains(string(document.Encode(rows[0]["actions"])), `"lost"`) {
			t.Errorf("after %v: %v", after, rows)
		}
	}
}

// Batches go as a script has them: longer, failed, or without an end.
func TestBatchScripts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSandbox(t, open())
		path := "/organizations/" + s.OrganizationID(0) + "/actionBatches"
		long := Duration(time.Minute)
		for _, x := range []JobScript{{Operation: "createOrganizationActionBatch", Time: &long, Times: 1}, {Path: path, Failed: "Something went wrong", Times: 1}, {Endless: true, Times: 1}} {
			if err := s.AddJobScript(x); err != nil {
				t.Fatal(err)
			}
		}
		var ids []string
		for i := range 4 {
			ids = append(ids, document.Text(ask(t, s, "POST", path, batchBody(asynchronous, updatePort(s, i+1, "scripted"))).object(t, 201)["id"]))
		}
		states := func() (out []string) {
			for _, id := range ids {
				out = append(out, batchState(document.Object(ask(t, s, "GET", path+"/"+id, "").object(t, 200)["status"])))
			}
			return out
		}
		pass(2 * time.Second)
		if got := fmt.Sprint(states()); got != "[pending failed pending completed]" {
			t.Errorf("after two seconds: %v", got)
		}
		pass(time.Hour)
		if got := fmt.Sprint(states()); got != "[completed failed pending completed]" {
			t.Errorf("after an hour: %v", got)
		}
	})
}

// What is looked at when a batch is posted, is not looked at again when it runs.
func TestBatchIsCheckedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSandbox(t, open())
		path := "/organizations/" + s.OrganizationID(0) + "/actionBatches"
		id := document.Text(ask(t, s, "POST", path, batchBody(asynchronous, updatePort(s, 1, "fine"))).object(t, 201)["id"])
		if err := s.AddRejection(Rejection{Contains: "fine", AtPost: true}); err != nil {
			t.Fatal(err)
		}
		pass(2 * time.Second)
		if o := ask(t, s, "GET", path+"/"+id, "").object(t, 200); batchState(document.Object(o["status"])) != "completed" {
			t.Errorf("%v", o)
		}
	})
}
