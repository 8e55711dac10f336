package batch

import (
	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/broker"
)

// A Write is one of a list.
type Write struct {
	// ID is the caller's name of it, and Group of the group that it belongs to, which
	// is done together or not at all; empty for none.
	ID, Group string
	// Call is the write as it goes as itself, allowed as far as is known.
	Call *broker.Call
	// Err is why the write cannot be made whoever owns what it is about; a
	// *fault.Error. Call is nil then.
	Err error
	// Content stands for the write in a digest of the list where Call is nil.
	Content []byte
}

// An Action is a write as an action batch carries it.
type Action struct {
	Resource  string
	Operation string
	Body      []byte // a JSON object, or nil
}

// The words of actions that create, change and delete.
const (
	actionCreate  = "create"
	actionUpdate  = "update"
	actionDestroy = "destroy"
)

// A State is what became of a write.
type State uint8

const (
	// Done: the Dashboard has made it.
	Done State = iota + 1
	// Failed: it was refused, or what became of it is not known; Err says which.
	Failed
	// NotTried: nothing was made of it; Err says why.
	NotTried
	// Pending: it stands in a batch that had not ended when the waiting did.
	Pending
	// Valid: the Dashboard has taken it in a batch that was deleted again.
	Valid
)

// A Result is what became of one write.
type Result struct {
	// Index is its place in the list.
	Index int
	State State
	// Resource is the path of what was written, and Created the id of what was
	// created; empty where the Dashboard did not tell.
	Resource, Created string
	// Err is a *fault.Error. Of a write that is done, it is why its resource could not
	// be read back.
	Err error
	// Batch is the id of the action batch that carried it; empty when none did.
	Batch string
	// Answer is the resource, where the caller wants it read back, and Operation what
	// gave it.
	Answer    *broker.Answer
	Operation *apiv1.Operation
}
