package batch

import (
	"encoding/json"
	"strings"
)

// A document is an action batch as the Dashboard shows it.
type document struct {
	ID        string
	Confirmed bool
	Status    struct {
		Completed, Failed bool
		Errors            []string
		CreatedResources  []created
	}
	Actions []struct {
		Resource, Operation string
		Body                json.RawMessage
	}
}

// A created resource. Its id was a number once.
type created struct {
	ID  any
	URI string
}

// readDocument reads one batch; false for what is none.
func readDocument(body []byte) (d document, ok bool) {
	return d, json.Unmarshal(body, &d) == nil && d.ID != ""
}

// ended tells whether the batch has.
func (d *document) ended() bool { return d.Status.Completed || d.Status.Failed }

// carries tells whether the batch has these actions, in their order, by value.
func (d *document) carries(actions []Action) bool {
	if len(d.Actions) != len(actions) {
		return false
	}
	for i, have := range d.Actions {
		want := actions[i]
		if strings.Trim(have.Resource, "/") != strings.Trim(want.Resource, "/") || have.Operation != want.Operation || !same(orNothing(have.Body), orNothing(want.Body)) {
			return false
		}
	}
	return true
}

// orNothing is a body; an empty object counts as none, which the Dashboard may show
// for it.
func orNothing(body []byte) []byte {
	switch string(body) {
	case "", "null", "{}":
		return nil
	}
	return body
}

// made gives the addresses of what the creating actions of a batch have made; empty
// ones where the Dashboard's list does not fit the actions.
func (d *document) made(actions []Action) []string {
	out := make([]string, len(actions))
	var creating []int
	for i, a := range actions {
		if a.Operation == actionCreate {
			creating = append(creating, i)
		}
	}
	if len(d.Status.CreatedResources) != len(creating) {
		return out
	}
	for k, i := range creating {
		uri := d.Status.CreatedResources[k].URI
		if _, below, ok := strings.Cut(uri, "/api/v1/"); ok {
			uri = below
		}
		uri = "/" + strings.Trim(uri, "/")
		id, ok := strings.CutPrefix(uri, actions[i].Resource+"/")
		if !ok || id == "" || strings.Contains(id, "/") {
			return make([]string, len(actions))
		}
		out[i] = uri
	}
	return out
}

// bodyOf is the body of a POST that makes a batch.
func bodyOf(actions []Action, confirmed, synchronous bool) ([]byte, error) {
	type action struct {
		Resource  string          `json:"resource"`
		Operation string          `json:"operation"`
		Body      json.RawMessage `json:"body,omitempty"`
	}
	out := struct {
		Confirmed   bool     `json:"confirmed"`
		Synchronous bool     `json:"synchronous"`
		Actions     []action `json:"actions"`
	}{confirmed, synchronous, make([]action, len(actions))}
	for i, a := range actions {
		out.Actions[i] = action{a.Resource, a.Operation, a.Body}
	}
	return json.Marshal(out)
}

// rowsOf are the documents of a list.
func rowsOf(body []byte) (rows []json.RawMessage, err error) {
	return rows, json.Unmarshal(body, &rows)
}
