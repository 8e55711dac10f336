// Package sandbox is a faithful simulated Meraki Dashboard API on net/http: the
// other side of the wire. The daemon embeds it, the tests and the benchmarks
// read the truth from it.
//
//	inventory/            organizations, networks and devices, and what has changed about them
//	router.go, route.go   every operation of the contract, found by verb and path
//	document/             documents made from response descriptors, the same for
//	                      the same request for ever
//	list.go, page.go      collections and the Link header
//	store.go, write.go,   what was written, and the operations whose effect
//	inventorywrites.go, batch.go  reaches beyond their own path
//	limit.go, auth.go     buckets and keys
//	fault*.go, inject.go  every failure the broker has to survive, by rate and by script
//	telemetry.go, stats.go, control.go  what arrived, as the vendor tells it and as it was
//
// It shares no code with the broker, on purpose: two sides that read a fact the
// same wrong way would agree with each other. Facts about the Dashboard's
// behaviour come from the vendor's documentation of API version 1; where it is
// silent, the comment beside the choice says so.
package sandbox
