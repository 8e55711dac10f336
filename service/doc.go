// Package service is the broker's gRPC face, and this comment is the map of the
// house.
//
//	RPC in -> chain -> identity -> handler: transcode request -> broker: lane (a slot) -> dashboard: one attempt -> HTTP
//	                                                                 ^                          |
//	                                                                 '---- again ---- judge <---'
//	RPC out <- handler: transcode response  |  status: fault -> code + details  <--- done ---'
//
// Where to look:
//
//	server.go    what is registered, with which limits; start and drain
//	chain.go     the stages that every RPC passes, one list
//	handler.go   the one handler of all typed RPCs; stream.go pages for the streaming twins
//	metadata.go  what a caller may say beside the request
//	access.go    who calls, what they may, and with which key
//	status.go    the only place that knows gRPC codes; details.go and trailer.go fit them into 4 KiB
//	calls.go     BrokerService: Call, for operations without a typed RPC (route.go finds which one it is);
//	             budgetrpcs.go budgets and what a call would cost, recordrpcs.go and drift.go what has been
//	limits.go    what a client may make the server hold; connections.go, idlecalls.go, and memory.go
//	             with requestmemory.go and responsememory.go count it; docs/bounds.md lists all bounds
//	metrics.go   Prometheus, and the series of one metric; log.go and trace.go one call at a time
//
// The rooms below: contract (which RPCs there are), transcode (protobuf wire to
// HTTP and back), identity and credential (who calls, with which key), broker (the
// way of a call: a slot, an attempt, again or done) with lane (the queue in front of
// one budget), owner (whose budget) and record (what became of attempts) below it,
// dashboard (one HTTP attempt), fault (what can go wrong), telemetry (traces and logs leave the process), proxyless (gRPC
// told by a control plane), and sandbox (a simulated Dashboard to run all of it against).
// admin is the operator's port, where metrics are read.
// ratelimit, beside service, holds the arithmetic of the budget.
package service
