// Package usage counts who spent what: by caller, organization and operation, in
// windows of a minute, kept for a day.
//
// Of each minute the largest are kept by name (table.go), once for callers,
// organizations and operations together and once for each of them (live.go); what is
// not among them is kept as a sum, so that every way to add up gives the same. A minute
// that has passed is packed (window.go). An answer adds windows up (sum.go).
//
// Bounds, with 10,000 callers in 10,000 organizations: see TestADayIsBounded.
package usage
