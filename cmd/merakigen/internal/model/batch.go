package model

import (
	"fmt"
	"strings"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"

	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/openapi"
)

// methods are the verbs of the action words that need no explanation.
var methods = map[string]string{"create": "POST", "update": "PUT", "destroy": "DELETE"}

// batchActions finds the operation of each row of the vendor's list of actions.
// A row names a resource and an action word, and its summary is the operation's.
// The nearest class with an operation decides:
//
//	A: the row's path, and the verb that the action word means
//	B: the row's path, whatever the verb
//	C: a path below the row's
//
// A row with no operation, or with several in its class, is an error: a batch
// that is sent to the wrong operation destroys what it should not touch.
func (b *builder) batchActions() (map[string]*apiv1.BatchAction, error) {
	out := make(map[string]*apiv1.BatchAction)
	for _, a := range b.document.Actions {
		o, exact, err := b.actor(a)
		if err != nil {
			return nil, err
		}
		if out[o.ID] != nil {
			return nil, fmt.Errorf("x-batchable-actions: %s has two rows", o.ID)
		}
		out[o.ID] = &apiv1.BatchAction{
			Resource:  above(o.Path, a.Resource),
			Operation: a.Operation,
			Foldable:  exact && !b.overrides[o.ID].NotFolded,
		}
	}
	return out, nil
}

// actor is the operation of a row, and whether it is of class A.
func (b *builder) actor(a openapi.Action) (op *openapi.Operation, exact bool, err error) {
	resource := openapi.Anonymous(a.Resource)
	for class, fits := range []func(o *openapi.Operation) bool{
		func(o *openapi.Operation) bool {
			return openapi.Anonymous(o.Path) == resource && o.Method == methods[a.Operation]
		},
		func(o *openapi.Operation) bool { return openapi.Anonymous(o.Path) == resource },
		func(o *openapi.Operation) bool { return strings.HasPrefix(openapi.Anonymous(o.Path), resource+"/") },
	} {
		for _, o := range b.document.Operations {
			if o.Method == "GET" || !fits(o) || !describes(o, a) {
				continue
			}
			if op != nil {
				return nil, false, fmt.Errorf("x-batchable-actions: %q on %s is both %s and %s", a.Operation, a.Resource, op.ID, o.ID)
			}
			op, exact = o, class == 0
		}
		if op != nil {
			return op, exact, nil
		}
	}
	return nil, false, fmt.Errorf("x-batchable-actions: no operation is %q on %s", a.Operation, a.Resource)
}

func describes(o *openapi.Operation, a openapi.Action) bool {
	return a.Summary != "" && (o.Description == a.Summary || o.Summary == a.Summary)
}

// above is the part of an operation's path that a row's resource is, with the
// operation's own names of the parameters.
func above(path, resource string) string {
	steps := strings.Split(path, "/")
	return strings.Join(steps[:strings.Count(resource, "/")+1], "/")
}
