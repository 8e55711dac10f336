package sandbox

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/merakibroker/merakibroker/service/sandbox/document"
)

// jobState reads the state that a job shows.
func jobState(o map[string]any, property string) string {
	switch property {
	case "swaps[].status":
		rows, _ := o["swaps"].([]any)
		if len(rows) == 0 {
			return ""
		}
		return document.Text(document.Object(rows[0])["status"])
	default:
		return document.TextAt(o, property)
	}
}

// Every job of the contract goes through its states in order, from the answer of
// its start to its end.
func TestEveryJob(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, live := 0, 0
		for _, r := range newSandbox(t, open()).router.routes {
			j := r.op.GetJob()
			if j == nil || r.op.GetId() == "createOrganizationActionBatch" {
				continue
			}
			n++
			s := newSandbox(t, open())
			path := fillPath(s, r.op.GetPath())
			start := ask(t, s, "POST", path, `{}`)
			if start.status != 201 && start.status != 207 {
				t.Errorf("%s: %d %s", r.op.GetId(), start.status, start.body)
				continue
			}
			o := document.DecodeObject([]byte(start.body))
			k := s.startJob(&request{s: s, route: r}).kind
			if k.part == "/liveTools/" {
				live++
			}
			read := path + "/" + document.TextAt(o, j.GetProperty())
			saw := []string{jobState(o, k.property)}
			for range 100 {
				o = ask(t, s, "GET", read, "").object(t, 200)
				if state := jobState(o, k.property); state != saw[len(saw)-1] {
					saw = append(saw, state)
				}
				if saw[len(saw)-1] == k.done {
					break
				}
				pass(50 * time.Millisecond)
			}
			if want := append(append([]string(nil), k.states...), k.done); fmt.Sprint(saw) != fmt.Sprint(want) {
				t.Errorf("%s: states %v, want %v", r.op.GetId(), saw, want)
			}
			if o["error"] != nil || o["errors"] != nil {
				t.Errorf("%s: complete with an error: %v", r.op.GetId(), o)
			}
		}
		if n < 17 || live != 14 {
			t.Errorf("%d jobs, %d live tools", n, live)
		}
	})
}

// Jobs fail, end with an error nevertheless, take long and never end, as told.
func TestJobScripts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSandbox(t, open())
		tools := "/devices/" + s.Serial(0, 1, 1) + "/liveTools/"
		ten := Duration(10 * time.Second)
		for _, x := range []JobScript{
			{Operation: "createDeviceLiveToolsArpTable", Failed: "The device is offline"},
			{Operation: "createDeviceLiveToolsPortsStatus", Error: "Some ports did not answer"},
			{Operation: "createDeviceLiveToolsThroughputTest", Time: &ten},
			{Path: tools + "ports/cycle", Endless: true, Error: "Temporary overload, please try again"},
		} {
			if err := s.AddJobScript(x); err != nil {
				t.Fatal(err)
			}
		}
		read := map[string]string{}
		for _, tool := range []string{"arpTable", "ports/status", "throughputTest", "ports/cycle", "ping"} {
			o := ask(t, s, "POST", tools+tool, `{"target":"192.0.2.1","ports":["1"]}`).object(t, 201)
			read[tool] = document.Text(o["url"])
			if read[tool] == "" {
				t.Errorf("%s: %v", tool, o)
			}
		}
		pass(2 * time.Second)
		look := func(tool string) map[string]any { return ask(t, s, "GET", read[tool], "").object(t, 200) }
		if o := look("arpTable"); o["status"] != "failed" || o["error"] != "The device is offline" || o["entries"] != nil {
			t.Errorf("failed: %v", o)
		}
		if o := look("ports/status"); o["status"] != "complete" || fmt.Sprint(o["errors"]) != "[Some ports did not answer]" {
			t.Errorf("complete with an error: %v", o)
		}
		if o := look("ping"); o["status"] != "complete" || document.Object(o["results"]) == nil {
			t.Errorf("as usual: %v", o)
		}
		if o := look("throughputTest"); o["status"] == "complete" {
			t.Errorf("ten seconds: %v", o)
		}
		pass(8 * time.Second)
		if o := look("throughputTest"); o["status"] != "complete" {
			t.Errorf("after ten seconds: %v", o)
		}
		pass(time.Hour)
		if o := look("ports/cycle"); o["status"] != "running" || o["error"] != "Temporary overload, please try again" {
			t.Errorf("endless: %v", o)
		}
	})
}

// A capture has no operation that reads it alone: its state stands in the list.
func TestPacketCapture(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSandbox(t, open())
		path := "/organizations/" + s.OrganizationID(0) + "/devices/packetCapture/captures"
		id := document.Text(ask(t, s, "POST", path, `{"serials":["`+s.Serial(0, 1, 1)+`"],"name":"Ours"}`).object(t, 201)["captureId"])
		state := func() string {
			rows, _ := ask(t, s, "GET", path+"?perPage=100", "").object(t, 200)["items"].([]any)
			for _, row := range rows {
				if o := document.Object(row); document.Text(o["captureId"]) == id {
					return document.Text(o["status"])
				}
			}
			return "not there"
		}
		var saw []string
		for range 5 {
			saw = append(saw, state())
			pass(500 * time.Millisecond)
		}
		if fmt.Sprint(saw) != "[new capturing exporting downloading completed]" {
			t.Errorf("states: %v", saw)
		}
	})
}

// A network that takes time to move changes its owner at the end.
func TestSlowMove(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSandbox(t, open())
		minute := Duration(time.Minute)
		if err := s.AddJobScript(JobScript{Operation: "createNetworkMove", Time: &minute}); err != nil {
			t.Fatal(err)
		}
		from, to, network := s.OrganizationID(0), s.OrganizationID(1), s.NetworkID(0, 1)
		o := ask(t, s, "POST", "/organizations/"+from+"/networks/moves", `{"network":{"id":"`+network+`"},"organizations":{"target":{"id":"`+to+`"}}}`).object(t, 201)
		owner := func() any { return ask(t, s, "GET", "/networks/"+network, "").object(t, 200)["organizationId"] }
		if document.TextAt(o, "result.status") != "pending" || owner() != from {
			t.Errorf("at first: %v of %v", o, owner())
		}
		pass(time.Minute)
		rows, _ := ask(t, s, "GET", "/organizations/"+from+"/networks/moves", "").object(t, 200)["items"].([]any)
		if len(rows) != 1 || document.TextAt(document.Object(rows[0]), "result.status") != "completed" || owner() != to {
			t.Errorf("at last: %v of %v", rows, owner())
		}
	})
}
