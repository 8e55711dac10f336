package watch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
)

func pagesOf(documents ...string) [][]byte {
	out := make([][]byte, len(documents))
	for i, d := range documents {
		out[i] = []byte(d)
	}
	return out
}

// TestDifference: what a watcher is sent when one answer follows another.
func TestDifference(t *testing.T) {
	serial := []string{"serial"}
	for _, c := range []struct {
		name             string
		key              []string
		from, to         []string
		changed, removed string // documents; empty for none
	}{
		{"nothing", serial, []string{`[{"serial":"1"}]`}, []string{`[{"serial":"1"}]`}, "", ""},
		{"other words", serial, []string{`[{"serial":"1","a":[1,{"b":2,"c":3}]}]`}, []string{`[ {"a":[1,{"c":3,"b":2}], "serial":"1"} ]`}, "", ""},
		{"order", serial, []string{`[{"serial":"1"},{"serial":"2"}]`}, []string{`[{"serial":"2"},{"serial":"1"}]`}, "", ""},
		{"other pages", serial, []string{`[{"serial":"1"}]`, `[{"serial":"2"}]`}, []string{`[{"serial":"1"},{"serial":"2"}]`}, "", ""},
		{"one changed", serial, []string{`[{"serial":"1","n":1},{"serial":"2"}]`}, []string{`[{"serial":"1","n":1.0},{"serial":"2"}]`}, `[{"serial":"1","n":1.0}]`, ""},
		{"one new", serial, []string{`[{"serial":"1"}]`}, []string{`[{"serial":"1"},{"serial":"2"}]`}, `[{"serial":"2"}]`, ""},
		{"one gone", serial, []string{`[{"serial":"1"},{"serial":"2"}]`}, []string{`[{"serial":"2"}]`}, "", `[{"serial":"1"}]`},
		{"one for another", serial, []string{`[{"serial":"1"}]`}, []string{`[{"serial":"2"}]`}, `[{"serial":"2"}]`, `[{"serial":"1"}]`},
		{"to none", serial, []string{`[{"serial":"1"}]`}, []string{`[]`}, "", `[{"serial":"1"}]`},
		{"numbers are no text", serial, []string{`[{"serial":1}]`}, []string{`[{"serial":"1"}]`}, `[{"serial":"1"}]`, `[{"serial":1}]`},
		{"a key inside", []string{"network.id"}, []string{`[{"network":{"id":"a"},"n":1}]`}, []string{`[{"network":{"id":"a"},"n":2}]`}, `[{"network":{"id":"a"},"n":2}]`, ""},
		{"two keys", []string{"a", "b"}, []string{`[{"a":1,"b":1},{"a":1,"b":2}]`}, []string{`[{"a":1,"b":1,"c":0},{"a":1,"b":2}]`}, `[{"a":1,"b":1,"c":0}]`, ""},
		{"a key twice", serial, []string{`[{"serial":"1","n":1},{"serial":"1","n":2}]`}, []string{`[{"serial":"1","n":1},{"serial":"1","n":3}]`}, `[{"serial":"1","n":3}]`, ""},
		{"a row without its key", serial, []string{`[{"n":1},{"serial":null,"n":2}]`}, []string{`[{"n":1},{"serial":null,"n":3}]`}, `[{"serial":null,"n":3}]`, `[{"serial":null,"n":2}]`},
		{"no key", nil, []string{`[{"n":1},{"n":2},{"n":1}]`}, []string{`[{"n":2},{"n":1}]`}, "", `[{"n":1}]`},
		{"no key, one more", nil, []string{`[{"n":1}]`}, []string{`[{"n":1},{"n":1}]`}, `[{"n":1}]`, ""},
		{"rows of text", nil, []string{`["a","b"]`}, []string{`["b","c"]`}, `["c"]`, `["a"]`},
		{"items", serial, []string{`{"items":[{"serial":"1"}],"meta":{"n":1}}`}, []string{`{"items":[{"serial":"1"},{"serial":"2"}],"meta":{"n":2}}`}, `{"items":[{"serial":"2"}]}`, ""},
		{"items gone", serial, []string{`{"items":[{"serial":"1"}]}`}, []string{`{"items":[]}`}, "", `{"items":[{"serial":"1"}]}`},
		{"items that say the same", serial, []string{`{"items":[{"serial":"1"}],"meta":{"n":1}}`}, []string{`{"items":[{"serial":"1"}],"meta":{"n":2}}`}, "", ""},
		{"one resource", nil, []string{`{"name":"a","tags":["x"]}`}, []string{`{"name":"b","tags":["x"]}`}, `{"name":"b","tags":["x"]}`, ""},
		{"one resource in other words", nil, []string{`{"name":"a","tags":["x"]}`}, []string{`{"tags":["x"],"name":"a"}`}, "", ""},
		{"a list that is one resource now", nil, []string{`[{"a":1}]`}, []string{`{"a":1}`}, `{"a":1}`, ""},
		{"a resource that is a list now", nil, []string{`{"a":1}`}, []string{`[{"a":1}]`}, `[{"a":1}]`, ""},
		{"nothing comes", nil, []string{`{"a":1}`}, []string{``}, `{}`, ""},
	} {
		key := &apiv1.RowKey{Properties: c.key}
		from, err := build(nil, key, pagesOf(c.from...))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		to, err := build(from, key, pagesOf(c.to...))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		changed, removed := "", ""
		if u := difference(from, to, time.Time{}); u != nil {
			for p := range u.Parts(1 << 20) {
				changed, removed = changed+string(p.Changed), removed+string(p.Removed)
			}
		}
		if changed != c.changed || removed != c.removed {
			t.Errorf("%s: changed %s, removed %s; want %s, %s", c.name, changed, removed, c.changed, c.removed)
		}
		if (changed+removed == "") != (from == to) {
			t.Errorf("%s: a state that says the same is another one", c.name)
		}
	}
	for _, broken := range [][]string{{`[{"a":1}`}, {`{"items":[}`}, {`x`}, {`[1]`, `{"a":1}`}, {`{"items":[]}`, `[]`}} {
		if s, err := build(nil, nil, pagesOf(broken...)); err == nil {
			t.Errorf("%s: %+v", broken, s)
		}
	}
}

// TestErrorsAreNoState: errors where a list was are trouble, and the list stays as it was.
func TestErrorsAreNoState(t *testing.T) {
	for _, list := range []string{`[{"a":1}]`, `[]`, `{"items":[{"a":1}],"meta":{}}`} {
		old, err := build(nil, nil, pagesOf(list))
		if err != nil {
			t.Fatal(err)
		}
		for _, doc := range []string{`{"errors":["Too many"]}`, `{"errors":"Too many"}`, `{"errors":{"base":["Too many"]},"items":null}`} {
			if s, err := build(old, nil, pagesOf(doc)); err == nil {
				t.Errorf("%s: %s is the state %+v", list, doc, s)
			}
		}
		for _, doc := range []string{`{"errors":[]}`, `{"errors":["a"],"items":[{"a":2}]}`} {
			if _, err := build(old, nil, pagesOf(doc)); err != nil {
				t.Errorf("%s: %s: %v", list, doc, err)
			}
		}
	}
	one, err := build(nil, nil, pagesOf(`{"a":1}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := build(one, nil, pagesOf(`{"a":1,"errors":["a part has failed"]}`)); err != nil {
		t.Errorf("errors beside a resource: %v", err)
	}
}

// TestUpdatesLeadToTheState: whoever applies the updates in turn has the newest state,
// whatever was left out in between, however it is cut into parts.
func TestUpdatesLeadToTheState(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		var key *apiv1.RowKey
		if seed%2 == 0 {
			key = &apiv1.RowKey{Properties: []string{"id"}}
		}
		var state, sent *State
		has := map[string]int{} // a multiset of rows
		byID := map[string]string{}
		for step := range 30 {
			state = random(t, r, key, state)
			if r.IntN(3) == 0 {
				continue // the watcher does not read
			}
			u := difference(sent, state, time.Time{})
			sent = state
			if u == nil {
				continue
			}
			more := true
			for p := range u.Parts(1 + r.IntN(200)) {
				if p.Whole {
					clear(has)
					clear(byID)
				}
				for _, row := range elements(t, p.Removed) {
					if has[row]--; has[row] == 0 {
						delete(has, row)
					}
					delete(byID, idOf(row))
				}
				for _, row := range elements(t, p.Changed) {
					if was, there := byID[idOf(row)]; key != nil && there {
						if has[was]--; has[was] == 0 {
							delete(has, was)
						}
					}
					has[row]++
					byID[idOf(row)] = row
				}
				more = p.More
			}
			if more {
				t.Fatalf("seed %d: the last part says that more follow", seed)
			}
			want := map[string]int{}
			for _, row := range state.rows {
				want[string(row.text)]++
			}
			if !maps.Equal(has, want) {
				t.Fatalf("seed %d, step %d: has %v, want %v", seed, step, has, want)
			}
		}
	}
}

// random is a state a little different from the one before.
func random(t *testing.T, r *rand.Rand, key *apiv1.RowKey, before *State) *State {
	t.Helper()
	var rows []string
	if before != nil {
		for _, row := range before.rows {
			switch r.IntN(8) {
			case 0: // gone
			case 1:
				rows = append(rows, fmt.Sprintf(`{"id":%s,"n":%d}`, idOf(string(row.text)), r.IntN(3)))
			default:
				rows = append(rows, string(row.text))
			}
		}
	}
	for range r.IntN(4) {
		id := r.IntN(1000)
		if key == nil {
			id = r.IntN(3)
		}
		if key != nil && slices.ContainsFunc(rows, func(row string) bool { return idOf(row) == fmt.Sprint(id) }) {
			continue
		}
		rows = append(rows, fmt.Sprintf(`{"id":%d,"n":%d}`, id, r.IntN(3)))
	}
	r.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	cut := r.IntN(len(rows) + 1)
	s, err := build(before, key, pagesOf("["+strings.Join(rows[:cut], ",")+"]", "["+strings.Join(rows[cut:], ", ")+"]"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func idOf(row string) string {
	var v struct{ ID json.RawMessage }
	_ = json.Unmarshal([]byte(row), &v)
	return string(v.ID)
}

func elements(t *testing.T, document []byte) (out []string) {
	t.Helper()
	var rows []json.RawMessage
	if document != nil {
		if err := json.Unmarshal(document, &rows); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range rows {
		out = append(out, string(row))
	}
	return out
}

// TestPartsHaveASize: no part is larger than it should be, but for one row that is.
func TestPartsHaveASize(t *testing.T) {
	state, err := build(nil, nil, pagesOf("["+strings.Join(append(fleet(500, "a"), fmt.Sprintf("%q", strings.Repeat("x", 3000))), ",")+"]"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for p := range entire(state, time.Time{}).Parts(1000) {
		if len(p.Changed) > 1100 && !bytes.Contains(p.Changed, []byte("xxx")) || p.Whole != (n == 0) {
			t.Errorf("part %d has %d bytes, whole %v", n, len(p.Changed), p.Whole)
		}
		n++
	}
	if n < 16 || n > 22 {
		t.Errorf("%d parts", n)
	}
	for range entire(state, time.Time{}).Parts(1000) {
		break // whoever takes no more is asked no more
	}
}

// TestUnchangedRowsAreKeptOnce: a state takes over the rows of the one before it, so
// that a watcher that does not read holds no second copy of them.
func TestUnchangedRowsAreKeptOnce(t *testing.T) {
	key := &apiv1.RowKey{Properties: []string{"serial"}}
	from, err := build(nil, key, pagesOf("["+strings.Join(fleet(50, "a"), ",")+"]"))
	if err != nil {
		t.Fatal(err)
	}
	rows := fleet(50, "a")
	rows[3] = device(3, "b")
	to, err := build(from, key, pagesOf("["+strings.Join(rows, ", ")+"]"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range to.rows {
		if (&to.rows[i].text[0] == &from.rows[i].text[0]) != (i != 3) {
			t.Errorf("row %d", i)
		}
	}
}

// FuzzBuild: any answers are a state or an error, and a state leads to the next.
func FuzzBuild(f *testing.F) {
	f.Add([]byte(`[{"serial":"1"}]`), []byte(`{"items":[{"serial":{"x":1}}],"meta":null}`), "serial")
	f.Add([]byte(`[null,1,"a",[]]`), []byte(` {} `), "a.b")
	f.Add([]byte(`{"items":null}`), []byte(``), "")
	f.Fuzz(func(t *testing.T, one, two []byte, property string) {
		key := &apiv1.RowKey{Properties: []string{property}}
		from, err := build(nil, key, [][]byte{one})
		if err != nil {
			return
		}
		for range entire(from, time.Time{}).Parts(10) {
		}
		if again, err := build(from, key, [][]byte{one}); err != nil || again != from {
			t.Fatalf("the same answer is another state: %v", err)
		}
		to, err := build(from, key, [][]byte{two})
		if err != nil {
			return
		}
		n := 0
		if u := difference(from, to, time.Time{}); u != nil {
			for p := range u.Parts(10) {
				if p.Changed != nil && !json.Valid(p.Changed) || p.Removed != nil && !json.Valid(p.Removed) {
					t.Fatalf("no JSON: %s, %s", p.Changed, p.Removed)
				}
				n++
			}
		}
		if (n == 0) != (from == to) {
			t.Fatalf("%d parts between states", n)
		}
	})
}

// FuzzUnpack: what stands in the store is pages or an error, within the bound.
func FuzzUnpack(f *testing.F) {
	packed, err := pack([]page{{Path: "/a", Size: 2, body: []byte("[]")}, {Path: "/a", Query: "x=1", Size: 4, body: []byte("null")}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packed)
	f.Add([]byte("\x1f\x8b"))
	f.Fuzz(func(t *testing.T, packed []byte) {
		pages, err := unpack(packed, 1000)
		size := 0
		for _, p := range pages {
			size += len(p.body)
		}
		if err == nil && size > 1000 {
			t.Fatalf("%d bytes", size)
		}
	})
}
