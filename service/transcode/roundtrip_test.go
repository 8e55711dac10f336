package transcode

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/merakibroker/merakibroker/service/fault"
)

// A difference compares a document with what came back from the wire. The
// exceptions are those of the package comment, and hold for what the contract
// declares alone; each is counted.
type difference struct {
	found []string
	// nulls and empties are properties that are absent; times are "" for a date-time.
	nulls, empties, times int
}

// rootField is what the contract has for a document; nil when it declares nothing.
func (p *Plan) rootField(doc any) *field {
	switch doc.(type) {
	case map[string]any:
		if p.properties {
			return &field{kind: kindMessage, message: p.response}
		}
	case []any:
		if p.root == nil {
			return p.rows
		}
	}
	return p.root
}

// inside is what the contract has for a property of an object, or an entry of a map.
func (f *field) inside(key string) *field {
	switch {
	case f == nil || f.shape == list:
		return nil
	case f.shape == dict:
		return f.elem
	case f.kind != kindMessage:
		return nil
	}
	if at := f.message.byKey([]byte(key)); at >= 0 {
		return &f.message.fields[at]
	}
	return nil
}

// element is what the contract has for an element of a list.
func (f *field) element() *field {
	switch {
	case f == nil:
		return nil
	case f.shape == list:
		return f.elem
	case f.shape == single && f.kind == kindBare:
		return f.message.fields[0].elem
	}
	return nil
}

// absent tells a value that may be absent, because the wire has no record for it
// or says the same by none. In an element of a list an empty list is not absent.
func (d *difference) absent(f *field, value any, inElement bool) bool {
	_, isList := value.([]any)
	switch {
	case f == nil:
		return false
	case value == nil:
		d.nulls++
	case value == "" && f.kind == kindTime && f.shape == single:
		d.times++
	case isEmpty(value) && !inElement && (isList && f.shape == list || !isList && f.shape == dict):
		d.empties++
	default:
		return false
	}
	return true
}

// compare wants a value back; f is what the contract has for it.
func (d *difference) compare(path string, want, got any, f *field, inElement bool) {
	switch want := want.(type) {
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok {
			d.deep(path, want, got)
			return
		}
		inElement = inElement || f != nil && f.shape == dict
		for key, value := range want {
			member := f.inside(key)
			if f != nil && f.shape == dict && value == nil {
				member = nil // the whole map is kept
			}
			if back, there := object[key]; there {
				d.compare(path+"."+key, value, back, member, inElement)
			} else if !d.absent(member, value, inElement) {
				d.found = append(d.found, path+"."+key+" is lost")
			}
		}
		for key := range object {
			if _, there := want[key]; !there {
				d.found = append(d.found, path+"."+key+" is invented")
			}
		}
	case []any:
		list, ok := got.([]any)
		if !ok {
			d.deep(path, want, got)
			return
		}
		if len(list) != len(want) {
			d.found = append(d.found, fmt.Sprintf("%s: %d elements became %d", path, len(want), len(list)))
			return
		}
		for i := range want {
			d.compare(fmt.Sprintf("%s[%d]", path, i), want[i], list[i], f.element(), true)
		}
	default:
		if !sameScalar(want, got, f != nil && f.kind == kindTime) {
			d.found = append(d.found, fmt.Sprintf("%s: %#v became %#v", path, want, got))
		}
	}
}

// deep compares an object or a list that may be its own text, where it would
// have been too deep for readers of protobuf.
func (d *difference) deep(path string, want, got any) {
	text, _ := got.(string)
	if back, err := decode([]byte(text)); err == nil && strings.Count(text, "[")+strings.Count(text, "{") > 0 {
		d.compare(path, want, back, nil, true)
		return
	}
	d.found = append(d.found, fmt.Sprintf("%s: %v became %v", path, want, got))
}

func isEmpty(v any) bool {
	switch v := v.(type) {
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

// sameScalar compares numbers by value, a scalar that was converted by its text,
// and date-times as instants.
func sameScalar(want, got any, time bool) bool {
	if want == got {
		return true
	}
	if a, ok := want.(json.Number); ok {
		if b, ok := got.(json.Number); ok {
			return sameValue(a, b)
		}
	}
	a, ok1 := scalarText(want)
	b, ok2 := scalarText(got)
	if ok1 && ok2 && a == b || !time {
		return ok1 && ok2 && a == b
	}
	at, ok1 := refTime(a)
	back, ok2 := refTime(b)
	return ok1 && ok2 && at.Equal(back)
}

// sameValue compares two numbers exactly; one whose exponent is huge, by its text.
func sameValue(a, b json.Number) bool {
	for _, n := range []json.Number{a, b} {
		if _, exponent, _ := strings.Cut(strings.ToLower(n.String()), "e"); len(strings.TrimLeft(exponent, "+-0")) > 4 {
			return a == b
		}
	}
	x, ok1 := new(big.Rat).SetString(a.String())
	y, ok2 := new(big.Rat).SetString(b.String())
	return ok1 && ok2 && x.Cmp(y) == 0
}

func scalarText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return fmt.Sprint(v), true
	}
	return "", false
}

func decode(doc []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	if err = d.Decode(&v); err == nil && d.More() {
		err = fmt.Errorf("something follows")
	}
	return v, err
}

// compareRoundTrip wants a document back from the wire of a response.
func compareRoundTrip(t testing.TB, p *Plan, doc []byte) (d difference) {
	t.Helper()
	wire, err := p.Response(nil, doc, &Page{HasNext: true}, nil)
	if f := fault.As(err); f != nil && f.Reason != "" {
		return d // errors in place of a list
	}
	if err != nil {
		t.Fatalf("%.300s: %v", doc, err)
	}
	back, err := p.Document(wire)
	if err != nil {
		t.Fatalf("%.300s: %v", doc, err)
	}
	want, err1 := decode(doc)
	got, err2 := decode(back)
	if err1 != nil || err2 != nil {
		t.Fatalf("%.300s came back as %.300s: %v, %v", doc, back, err1, err2)
	}
	if want == nil && p.root != nil && p.root.kind == kindValue {
		return d
	}
	d.compare("$", want, got, p.rootField(want), false)
	if len(d.found) > 0 {
		t.Errorf("%s: %.2000s\ncame back as %.2000s:\n%s", p.operation, doc, back, strings.Join(d.found, "\n"))
	}
	return d
}

// TestRoundTrip: whatever comes, comes back.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, id := range responseCorners {
		if id == "deleteThing" {
			continue // google.protobuf.Empty holds nothing
		}
		for _, seed := range responseSeeds() {
			if roundTrips([]byte(seed)) {
				compareRoundTrip(t, cornerOf(t, id).plan, []byte(seed))
			}
		}
	}
}

// roundTrips tells the documents whose way back is promised: they are JSON, have
// each key once, are Unicode, and not deeper than messages may be.
func roundTrips(doc []byte) bool {
	n, err := parseTree(doc)
	return err == nil && depthOf(n) < maxFree && utf8.Valid(doc) && !strings.Contains(strings.ToLower(string(doc)), `\ud`) && onceEach(n) && n.value(wholeKey) == nil
}

func depthOf(n *node) (depth int) {
	for _, v := range n.values {
		depth = max(depth, depthOf(v))
	}
	return depth + 1
}

func onceEach(n *node) bool {
	keys := slices.Sorted(slices.Values(n.keys))
	return len(slices.Compact(keys)) == len(n.keys) && !slices.ContainsFunc(n.values, func(v *node) bool { return !onceEach(v) })
}

// FuzzRoundTrip reads any document and wants it back. The first byte chooses the
// operation.
func FuzzRoundTrip(f *testing.F) {
	for i, seed := range responseSeeds() {
		f.Add(append([]byte{byte(i)}, seed...))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		if len(input) > 0 && roundTrips(input[1:]) {
			compareRoundTrip(t, cornerOf(t, responseCorners[int(input[0])%(len(responseCorners)-1)]).plan, input[1:])
		}
	})
}

// A mutator changes documents at random.
type mutator struct{ *rand.Rand }

// oddValues are of every kind, and of the kinds that are nearly another.
var oddValues = []string{`null`, `true`, `"true"`, `0`, `-1`, `1.5`, `3.29`, `1.0`, `1e3`, `9007199254740993`, `123456789012345678901234567890`, `0.1000000000000000055`, `1e400`,
	`""`, `"text"`, `"12"`, `"012"`, `"1.50"`, `"2024-05-01T10:00:00Z"`, `"2024-05-01 10:00:00 UTC"`, `"yesterday"`, `"é😀\n"`, `[]`, `{}`, `[null]`, `[[]]`, `[1,"a",{}]`, `[{"id":"1"}]`, `{"id":1}`,
	`{"id":"a","name":"b"}`, `{"items":[]}`, `{"0":{"x":[]},"1":null}`, `[true]`, `["a"]`, `[2]`}

func (m mutator) value() any {
	v, _ := decode([]byte(oddValues[m.IntN(len(oddValues))]))
	return v
}

func (m mutator) name() string {
	return []string{"new", "newProperty", "Änderung", "a.b", "", "id2", "errorsBefore", "additional_properties", "additionalProperties", "x y"}[m.IntN(10)]
}

// mutate changes one place somewhere in a value.
func (m mutator) mutate(v any) any {
	switch v := v.(type) {
	case map[string]any:
		keys := slices.Sorted(maps.Keys(v))
		if len(keys) == 0 || m.IntN(8) == 0 {
			v[m.name()] = m.value()
			return v
		}
		key := keys[m.IntN(len(keys))]
		switch m.IntN(8) {
		case 0: // renamed
			v[m.name()] = v[key]
			delete(v, key)
		case 1: // another type
			v[key] = m.value()
		case 2: // a list for what it was
			v[key] = []any{v[key]}
		default:
			v[key] = m.mutate(v[key])
		}
		return v
	case []any:
		if len(v) == 0 || m.IntN(6) == 0 {
			return slices.Insert(v, m.IntN(len(v)+1), m.value())
		}
		at := m.IntN(len(v))
		switch m.IntN(10) {
		case 0:
			v[at] = m.value()
		case 1:
			return v[at] // an element for the list
		default:
			v[at] = m.mutate(v[at])
		}
		return v
	}
	return m.value()
}

// document mutates a document one to three times, at times as a whole.
func (m mutator) document(doc []byte) []byte {
	v, err := decode(doc)
	if err != nil {
		panic(err)
	}
	switch m.IntN(30) {
	case 0:
		v = m.value()
	case 1:
		v = []any{v}
	case 2:
		v = map[string]any{"items": v, "meta": map[string]any{"counts": m.value()}}
	}
	for range m.IntN(3) + 1 {
		v = m.mutate(v)
	}
	doc, err = json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return doc
}
