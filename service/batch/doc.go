// Package batch makes many writes with few requests, and follows what takes time at
// the Dashboard.
//
//	job.go        an operation that starts something, and the polls of its state
//	state.go      what a state of a job says: its id, whether it has ended, whether it changed
package batch
