// Package service is the broker's gRPC face, and this comment is the map of the
// house.
//
//	gRPC in -> chain -> identity -> handler: transcode request -+
//	REST in ----------> identity -> contract.Route -------------+-> access -> broker: lane (a slot) -> dashboard: one attempt -> HTTP
//	                                                                            ^                         |
//	                                                                            '---- again ---- judge <--'
//	out <- transcode response, or the JSON as it came  |  fault -> code and details, or status and errors  <--- done
//
// The files here:
//
//	server.go    what is registered, with which limits; serve.go starts and drains
//	chain.go     the stages that every RPC passes, one list
//	handler.go   the one handler of all typed RPCs; stream.go sends pages for the streaming twins,
//	             and the states of jobs
//	metadata.go  what a caller may say beside the request; access.go asks whether it may make the call
//	status.go    the only place that knows gRPC codes; trailer.go fits them into 4 KiB
//	batchrpc.go  BatchService: lists of writes; watchrpc.go is WatchService
//	calls.go     BrokerService: Call, for operations without a typed RPC; budgetrpcs.go tells budgets and
//	             what a call would cost, recordrpcs.go what has been and who spent it;
//	             operatorport.go serves what reads of it on the operator's port
//	limits.go    what a client may make the server hold, and its connections; idlecalls.go and memory.go, with
//	             messagememory.go for requests and answers, count it; docs/bounds.md lists all bounds
//	operatorrpcs.go  OperatorService: what an operator may do, on the operator's port;
//	             describe.go is what it is told
//	metrics.go   Prometheus, and the series of one metric; trace.go shows one call at a time
//
// The other faces: rest (the Dashboard's own API, for clients that are not on
// gRPC) and admin (the operator's port), with page (what an operator sees there in a
// browser).
//
// Between the faces and the broker: access (may this caller make this call, and
// with which key), identity (who calls), credential (API keys and certificates),
// contract (which operations there are, and which one a path is), transcode
// (protobuf wire to HTTP and back), outcome (what became of a write, for the caller
// that asks again), audit (a line for each write, for whoever asks later),
// batch (many writes as few requests, and jobs from their start to their end), watch
// (one poll for everyone who watches the same thing).
//
// The way of a call: broker (a slot, an attempt, again or done), with hold (what an
// operator has stopped for a time), lane (the queue in front of one budget), owner
// (whose budget), record (what became of attempts), usage (who spent what) and
// dashboard (one HTTP attempt) below it, and fault (what can go wrong) below all.
//
// At the edge: store (the connection to the shared store), telemetry (traces and
// logs leave the process), proxyless (gRPC told by a control plane), sandbox (a
// simulated Dashboard to run all of it against), setting (what is wrong with a
// configuration, by key). ratelimit, beside service, holds the arithmetic of the
// budget.
package service
