// Package sandbox is a simulated Meraki Dashboard API on net/http, faithful to
// the real one: the other side of the wire. The daemon embeds it. Tests and
// benchmarks read from it what really arrived.
//
//	inventory/            organizations, networks and devices, and what has changed about them
//	document/             the JSON of answers, made from response descriptors
//	wireshape/            where the Dashboard answers otherwise than its document says
//	router.go, route.go   every operation of the contract, found by verb and path
//	call.go, auth.go      the way of a request: counted, checked, executed, answered
//	read.go, list.go, page.go      resources, collections and the Link header
//	store.go, write.go, inventorywrites.go  what was written, and writes that reach further
//	batch.go, batchrun.go, job.go, rejection.go  action batches and jobs, and how they fail
//	effects.go            what happens at a time of its own, without a request: changes, ends of batches
//	limit.go, orgstate.go buckets, source addresses, one organization's state
//	undocumented.go       paths and shapes that the vendor's document does not have
//	fault.go, inject.go   every failure that the broker has to survive
//	telemetry.go, stats.go, control.go  what arrived: as the vendor tells it, and as it was
//
// # Use
//
// In a test, New gives a sandbox and Handler its server:
//
//	s, err := sandbox.New(contract, sandbox.Options{})
//	srv := httptest.NewServer(s.Handler())
//	// GET srv.URL + "/api/v1/networks/" + s.NetworkID(0, 1)
//
// The same as a process of its own is cmd/merakisim. Everything that a test sets
// in process can be set over HTTP; GET /_sim/ lists the pages with examples:
//
//	curl -X PUT localhost:8080/_sim/times -d '{"batch":"10s"}'
//
// Time comes from Options.Now, or from time.Now and timers, so that
// testing/synctest works. The sandbox starts no goroutine: what happens without a
// request (a batch that ends, a change) happens when somebody looks next, with
// the time at which it was due.
//
// Faults. A POST whose answer is lost after it was executed, and one that never
// arrived:
//
//	s.AddScript(sandbox.Script{Operation: "createOrganizationActionBatch", Faults: []sandbox.Fault{
//		{Kind: sandbox.FaultReset, After: true}, {Kind: sandbox.FaultReset}}})
//
// Executed and Executions then say what took effect, whatever the client saw.
//
// Writes that are refused for what they say: alone with a 400; in an action batch
// the whole batch fails when it runs, or at its POST where AtPost is set:
//
//	s.AddRejection(sandbox.Rejection{Contains: `"vlan":4095`, Messages: []string{"Vlan is invalid"}})
//
// Jobs and batches that take long, fail, or never end:
//
//	s.AddJobScript(sandbox.JobScript{Operation: "createDeviceLiveToolsPing", Failed: "The device is offline"})
//
// Changes that no request made, for those who watch:
//
//	s.AddChange(sandbox.Change{Path: "/networks/" + id, Body: json.RawMessage(`{"name":"Branch {n}"}`),
//		Every: sandbox.Duration(5 * time.Second), Times: 10})
//
// Replicas behind one egress address: HandlerAt("east") gives them one bucket of
// 100 a second; Stats().Addresses["east"] has what arrived from them.
//
// Answers as on the wire, not as documented, and lists that come with an object
// around them:
//
//	s.SetWire(sandbox.Wire{Shapes: true, Items: []string{"getOrganizationNetworks"}})
//
// # Independence
//
// The package shares no code with the broker, on purpose: two sides that read a
// fact the same wrong way would agree with each other. Facts about the
// Dashboard's behaviour come from the vendor's documentation of API version 1.
// Where it is silent, the comment beside the choice says so.
package sandbox
