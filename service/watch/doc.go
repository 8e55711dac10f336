// Package watch is one poll for everyone who watches the same thing.
//
// A watcher (watcher.go) names a read and the age that it accepts. Watchers of the same
// read with the same key share a poller (poller.go), which reads anew when the youngest
// of their ages is over, at bulk priority. Replicas share the poll through a store
// (shared.go): who gets to set a key that expires after the age makes the next one and
// leaves the answer there for the others, sealed with the key that read it (sealed.go).
// Without the store, or while it has not answered for longer than a moment, each replica
// polls for itself.
//
// A state (state.go) is an answer taken apart into rows. A watcher holds the state that
// it was sent last, so what it is sent next (update.go) is the difference to the newest
// one, however many there were between. What all of them hold is bounded (holding.go).
package watch
