// Package batch makes many writes with few requests, and follows what takes time at
// the Dashboard.
//
//	write.go      the writes of a list, as actions of a batch, and what became of them
//	order.go      which writes have to wait for which
//	plan.go       what may go next: batches, and writes by themselves
//	blame.go      which action an error of a failed batch is about
//	job.go        an operation that starts something, and the polls of its state
//	state.go      what a state of a job says: its id, whether it has ended, whether it changed
package batch
