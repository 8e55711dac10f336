// Package usage counts who spent what: by caller, organization and operation, in
// windows of a minute, kept for a day.
//
// Of each minute the largest are kept by name (table.go), once for callers,
// organizations and operations together and once for each of them (live.go); what is
// not among them is kept as a sum, so that every way to add up gives the same. A minute
// that has passed is packed (window.go). An answer adds windows up (sum.go), also those
// that other replicas have left in the store (shared.go).
//
// For metrics there are meters, of the callers and organizations that came first
// (meter.go).
package usage
