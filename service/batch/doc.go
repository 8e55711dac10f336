// Package batch makes many writes with few requests, and follows what takes time at
// the Dashboard.
//
//	batches.go    lists of writes come in: what is wrong with one, whose its writes are
//	list.go       one list on its way, and what is kept under its name
//	journal.go    what the store keeps of a named list, in entries (fact.go)
//	fault.go      what a list is refused with for want of the store
//	takeover.go   a list that the store has: another replica goes on with it
//	reader.go     who reads what becomes of it: when nobody does, nothing more is sent
//	write.go      the writes of a list, as actions of a batch, and what became of them
//	order.go      which writes have to wait for which
//	plan.go       what may go next: batches, and writes by themselves
//	places.go     the batches that an organization may have under way, and when to look at one
//	flight.go     one batch from its POST to its end; document.go reads it
//	ending.go     what follows from how it ended
//	blame.go      which action an error of a failed batch is about
//	single.go     writes that go by themselves
//	job.go        an operation that starts something, and the polls of its state
//	state.go      what a state of a job says: its id, whether it has ended, whether it changed
package batch
