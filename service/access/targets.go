package access

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/contract/canonical"
	"github.com/merakibroker/merakibroker/service/fault"
)

// A target is something with an owner that a call names in its query or its body.
type target struct {
	kind apiv1.NamedOwner_Kind
	id   string
}

// A leaf is a scalar of a query or of a JSON document, with the names that lead to it.
type leaf struct {
	names []string // plain: see plainName
	text  string
}

// What is looked at of one call is bounded: what has more cannot be checked. The walk
// goes one call deeper with every level, and each value is looked at with all names
// that lead to it.
const (
	mostLeaves = 100_000
	mostLevels = 200  // of objects and lists inside each other
	mostNames  = 4096 // bytes of the names that lead to a value
)

// paging are the parameters that an operation which the contract does not know may
// have: they name nothing.
var paging = map[string]bool{
	"perpage": true, "startingafter": true, "endingbefore": true, "t0": true, "t1": true, "timespan": true, "resolution": true, "interval": true,
}

// targets gives what a call names. known is what the contract says about the
// operation; of one that it does not know, query and body may name nothing at all,
// since no one can tell what their properties mean. The error is a *fault.Error.
//
// Of an operation with an owner in its path, reads have no targets but organizations:
// the Dashboard looks for networks and devices below that owner. A property that is
// called an organization counts wherever it stands: the caller may send more than the
// contract has.
func targets(op *apiv1.Operation, known bool, query string, body []byte) ([]target, error) {
	leaves, err := leavesOf(query, body)
	if err != nil {
		return nil, &fault.Error{Kind: fault.CallerNotAllowed, Reason: reasonUnchecked, Operation: op.GetId(),
			Detail: fmt.Sprintf("what the call names cannot be checked against the caller's rules: %s; nothing was sent", err)}
	}
	var out []target
	have := make(map[target]bool)
	for _, l := range leaves {
		if !known && !(len(l.names) == 1 && paging[l.names[0]]) {
			return nil, &fault.Error{Kind: fault.CallerNotAllowed, Reason: reasonUnchecked, Operation: op.GetId(),
				Detail: fmt.Sprintf("the contract does not know the operation, so whether %.80q leads out of the caller's organizations cannot be checked; nothing was sent", strings.Join(l.names, "."))}
		}
		t := target{kindOf(op, l.names), l.text}
		if t.kind != apiv1.NamedOwner_KIND_UNSPECIFIED && t.kind != apiv1.NamedOwner_KIND_RESOURCE && !have[t] {
			have[t] = true
			out = append(out, t)
		}
	}
	return out, nil
}

const reasonUnchecked = "NAMES_NOT_CHECKED"

// kindOf tells what a leaf names.
func kindOf(op *apiv1.Operation, names []string) apiv1.NamedOwner_Kind {
	below := op.GetVerb() == apiv1.Verb_VERB_GET && op.GetScope() != apiv1.Scope_SCOPE_NONE
	path := strings.Join(names, ".")
	for _, n := range op.GetNamedOwners() {
		property := plainPath(n.GetProperty())
		if path != property && !strings.HasPrefix(path, property+".") {
			continue
		}
		if below && n.GetKind() != apiv1.NamedOwner_KIND_ORGANIZATION {
			return apiv1.NamedOwner_KIND_UNSPECIFIED
		}
		return n.GetKind()
	}
	last := names[len(names)-1]
	if last == "name" || last == "url" {
		return apiv1.NamedOwner_KIND_UNSPECIFIED
	}
	for _, name := range names {
		noun := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "s"), "id"), "s")
		switch {
		case strings.HasSuffix(noun, "organization"), noun == "org", noun == "destorg", noun == "targetorg":
			return apiv1.NamedOwner_KIND_ORGANIZATION
		case op.GetScope() != apiv1.Scope_SCOPE_NONE:
		case strings.HasSuffix(noun, "network"):
			return apiv1.NamedOwner_KIND_NETWORK
		case strings.HasSuffix(noun, "serial"), strings.HasSuffix(noun, "device"):
			return apiv1.NamedOwner_KIND_DEVICE
		}
	}
	return apiv1.NamedOwner_KIND_UNSPECIFIED
}

// plainName gives a name as every reader of names takes it: organization_ids,
// organizationIds and OrganizationIDs are one.
func plainName(name string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "", " ", "").Replace(name))
}

// plainPath is a property of the contract's as leaves have it.
func plainPath(property string) string {
	return plainName(strings.ReplaceAll(property, "[]", ""))
}

// separates tells what stands between the parameters of a query, for one reader or another.
func separates(c rune) bool { return c == '&' || c == ';' }

// leavesOf takes a query and a body apart.
func leavesOf(query string, body []byte) ([]leaf, error) {
	var out []leaf
	for pair := range strings.FieldsFuncSeq(query, separates) {
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err == nil {
			value, err = url.QueryUnescape(value)
		}
		if err != nil {
			return nil, errors.New("the query is not properly encoded")
		}
		var names []string
		for part := range strings.FieldsFuncSeq(name, func(c rune) bool { return c == '[' || c == ']' || c == '.' }) {
			if strings.Trim(part, "0123456789") != "" {
				names = append(names, plainName(part))
			}
		}
		if len(names) > 0 {
			out = append(out, leaf{names, value})
		}
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return out, nil
	}
	return bodyLeaves(out, body)
}

// bodyLeaves adds the scalars of a JSON document, null left out. Of a name that
// stands twice in an object both count, whichever a reader takes.
func bodyLeaves(out []leaf, body []byte) ([]leaf, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var walk func(names []string, levels, length int) error
	walk = func(names []string, levels, length int) error {
		token, err := d.Token()
		if err != nil {
			return errors.New("the body is not JSON")
		}
		switch v := token.(type) {
		case json.Delim:
			if levels == mostLevels {
				return fmt.Errorf("the body has more than %d objects and lists inside each other", mostLevels)
			}
			for d.More() {
				inner, length := names, length
				if v == '{' {
					key, err := d.Token()
					if err != nil {
						return errors.New("the body is not JSON")
					}
					if length += len(key.(string)); length > mostNames {
						return fmt.Errorf("the names in the body that lead to a value have more than %d bytes", mostNames)
					}
					inner = append(names[:len(names):len(names)], plainName(key.(string)))
				}
				if err := walk(inner, levels+1, length); err != nil {
					return err
				}
			}
			if _, err := d.Token(); err != nil {
				return errors.New("the body is not JSON")
			}
			return nil
		case nil:
			return nil
		}
		if len(out) == mostLeaves {
			return fmt.Errorf("the body has more than %d values", mostLeaves)
		}
		if len(names) == 0 {
			names = []string{""} // a document that is one value, or a list of them
		}
		out = append(out, leaf{names, fmt.Sprint(token)})
		return nil
	}
	if err := walk(nil, 0, 0); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("the body is more than one JSON document")
	}
	return out, nil
}

// mostActions bounds the actions of a batch that are looked at, each as a call of its
// own. The Dashboard takes a hundred.
const mostActions = 1000

// An action is one of a batch: a call without a request of its own.
type action struct {
	operation *apiv1.Operation
	method    *contract.Method // nil when the contract does not know the operation
	scope     apiv1.Scope
	owner     string
	body      json.RawMessage
}

// actions gives those of a batch; none for another operation. The error is a
// *fault.Error.
func (a *Access) actions(op *apiv1.Operation, body []byte) ([]action, error) {
	property := ""
	for _, n := range op.GetNamedOwners() {
		if n.GetKind() == apiv1.NamedOwner_KIND_RESOURCE {
			property, _, _ = strings.Cut(n.GetProperty(), "[]")
		}
	}
	if property == "" || len(body) == 0 {
		return nil, nil
	}
	rows, err := rowsOf(body, property)
	if err != nil {
		return nil, fault.Bad(property, "the %s of the batch cannot be read: %s; nothing was sent", property, err)
	}
	if len(rows) > mostActions {
		return nil, fault.Bad(property, "the batch has %d %s; the Dashboard takes 100, and more than %d are not looked at; nothing was sent", len(rows), property, mostActions)
	}
	out := make([]action, 0, len(rows))
	for i, row := range rows {
		path, err := canonical.Path(row.Resource)
		var scope apiv1.Scope
		var owner string
		if err == nil {
			scope, owner, err = contract.Owner(path)
		}
		if err == nil && owner == "" {
			err = errors.New("names no organization, network or device")
		}
		if err != nil {
			return nil, fault.Bad(property, "%s[%d].resource is %.80q; %s; nothing was sent", property, i, row.Resource, err)
		}
		act := action{scope: scope, owner: owner, body: row.Body}
		if a.Contract != nil {
			act.method = a.Contract.Batched(path, row.Operation)
		}
		if act.operation = act.method.GetOperation(); act.operation == nil {
			act.operation = &apiv1.Operation{Id: contract.UnknownOperation, Verb: apiv1.Verb_VERB_POST, Path: path, Scope: scope}
		}
		out = append(out, act)
	}
	return out, nil
}

// A row is an action as it is sent.
type row struct {
	Resource  string          `json:"resource"`
	Operation string          `json:"operation"`
	Body      json.RawMessage `json:"body"`
}

// rowsOf reads the actions of a batch strictly: a name that stands twice in an object,
// or in another case, could be one action here and another one at the Dashboard.
func rowsOf(body []byte, property string) ([]row, error) {
	document, err := object(body)
	if err != nil {
		return nil, err
	}
	list, ok := document[plainName(property)]
	if !ok {
		return nil, nil
	}
	var raw []json.RawMessage
	if err := json.Unmarshal(list, &raw); err != nil {
		return nil, errors.New("it is not a list")
	}
	rows := make([]row, len(raw))
	for i, r := range raw {
		members, err := object(r)
		if err != nil {
			return nil, err
		}
		for name, into := range map[string]*string{"resource": &rows[i].Resource, "operation": &rows[i].Operation} {
			if text, ok := members[name]; ok && json.Unmarshal(text, into) != nil {
				return nil, fmt.Errorf("the %s of an action is not a text", name)
			}
		}
		rows[i].Body = members["body"]
	}
	return rows, nil
}

// object reads a JSON object whose names differ for every reader.
func object(raw []byte) (map[string]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if token, err := d.Token(); err != nil || token != json.Delim('{') {
		return nil, errors.New("it is not an object")
	}
	out := make(map[string]json.RawMessage)
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, errors.New("it is not JSON")
		}
		name := plainName(key.(string))
		if _, twice := out[name]; twice {
			return nil, fmt.Errorf("%.40q stands twice in one object", key)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, errors.New("it is not JSON")
		}
		out[name] = value
	}
	return out, nil
}
