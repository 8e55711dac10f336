package model

import (
	"strings"

	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/openapi"
)

// methods are the HTTP verbs of the vendor's three common action words.
var methods = map[string]string{"create": "POST", "update": "PUT", "destroy": "DELETE"}

// batchable finds the operations that an action batch can carry. The vendor's
// list names a resource and an action word. create, update and destroy on an
// operation's own path need no more; the other words (claim, bind, cycle) hang
// on a shorter path, and there the text that describes both is the same.
func (b *builder) batchable() map[string]bool {
	out := make(map[string]bool)
	at := make(map[string][]*openapi.Operation)
	for _, o := range b.document.Operations {
		if o.Method != "GET" {
			at[openapi.Anonymous(o.Path)] = append(at[openapi.Anonymous(o.Path)], o)
		}
	}
	for _, a := range b.document.Actions {
		resource := openapi.Anonymous(a.Resource)
		found := ""
		for _, o := range at[resource] {
			if methods[a.Operation] == o.Method && (found == "" || describes(o, a)) {
				found = o.ID
			}
		}
		if found != "" {
			out[found] = true
			continue
		}
		for _, o := range b.document.Operations {
			if o.Method != "GET" && describes(o, a) && strings.HasPrefix(openapi.Anonymous(o.Path)+"/", resource+"/") {
				found = o.ID
				break
			}
		}
		if found == "" && len(at[resource]) == 1 {
			found = at[resource][0].ID
		}
		if found == "" {
			b.warn("no operation is found for batch action %q on %s", a.Operation, a.Resource)
			continue
		}
		out[found] = true
	}
	return out
}

func describes(o *openapi.Operation, a openapi.Action) bool {
	return a.Summary != "" && (o.Description == a.Summary || o.Summary == a.Summary)
}
