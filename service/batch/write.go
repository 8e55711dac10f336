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

// actionOf gives a write as an action; false where a batch cannot carry it. That the
// vendor lists the operation is not enough: its row has to name this very path and
// verb, and what it writes is configuration (foldable). A query has no place in an
// action, nor has a body that is no object, and whether a limit of an operation's own
// holds in a batch is not documented.
func actionOf(c *broker.Call) (Action, bool) {
	a := c.Operation.GetBatchAction()
	if !a.GetFoldable() || c.Query != "" || c.Operation.GetLimit() != nil || !plain(c.Path) {
		return Action{}, false
	}
	if len(c.Body) > 0 && c.Body[0] != '{' {
		return Action{}, false
	}
	return Action{Resource: c.Path, Operation: a.GetOperation(), Body: c.Body}, true
}

// plain tells a path whose parameters stand in it as they are.
func plain(path string) bool {
	for i := range len(path) {
		if path[i] == '%' {
			return false
		}
	}
	return true
}

// creates tells a write that makes a child of its path.
func creates(op *apiv1.Operation) bool {
	return op.GetVerb() == apiv1.Verb_VERB_POST && op.GetBatchAction().GetOperation() == actionCreate
}

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
	// Err is a *fault.Error; nil of a write that is done or valid.
	Err error
	// Batch is the id of the action batch that carried it; empty when none did.
	Batch string
	// Answer is the Dashboard's to a write that went by itself, where the list keeps
	// answers.
	Answer *broker.Answer
}
