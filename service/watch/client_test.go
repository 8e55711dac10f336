package watch

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
)

// A mirror is a client as docs/watch.md has it: by key, removed before changed, part by
// part.
func mirror(t *testing.T, has map[string]string, u *Update, size int) {
	t.Helper()
	if u == nil {
		return
	}
	for p := range u.Parts(size) {
		if p.Whole {
			clear(has)
		}
		for _, row := range elements(t, p.Removed) {
			delete(has, serialOf(row))
		}
		for _, row := range elements(t, p.Changed) {
			has[serialOf(row)] = row
		}
	}
}

// serialOf is the key of a row as a client reads it into a field of text.
func serialOf(row string) string {
	var v struct{ Serial any }
	_ = json.Unmarshal([]byte(row), &v)
	return fmt.Sprint(v.Serial)
}

// TestAClientByKey: keys that repeat, change their spelling or come and go, and documents
// that change their form, leave a client that goes by key with every row that is there.
func TestAClientByKey(t *testing.T) {
	key := &apiv1.RowKey{Properties: []string{"serial"}}
	for name, states := range map[string][]string{
		"a key that was twice":               {`[{"serial":"1","n":1},{"serial":"1","n":1},{"serial":"2"}]`, `[{"serial":"1","n":1},{"serial":"2"}]`},
		"the first of two that differ goes":  {`[{"serial":"1","n":1},{"serial":"1","n":2}]`, `[{"serial":"1","n":2}]`},
		"the second of two that differ goes": {`[{"serial":"1","n":1},{"serial":"1","n":2}]`, `[{"serial":"1","n":1}]`},
		"two that differ change places":      {`[{"serial":"1","n":1},{"serial":"1","n":2}]`, `[{"serial":"1","n":2},{"serial":"1","n":1}]`},
		"the first of two changes":           {`[{"serial":"1","n":1},{"serial":"1","n":2}]`, `[{"serial":"1","n":3},{"serial":"1","n":2}]`},
		"a key in other words":               {`[{"serial":"a/b","n":1},{"serial":"2"}]`, `[{"serial":"a\/b","n":1},{"serial":"2"}]`},
		"a key that becomes text":            {`[{"serial":1},{"serial":2}]`, `[{"serial":"1"},{"serial":2}]`},
		"a resource that becomes a list":     {`{"serial":"1","n":1}`, `[{"serial":"1","n":1}]`, `[{"serial":"1","n":2}]`},
		"a list that becomes a resource":     {`[{"serial":"1","n":1}]`, `{"serial":"1","n":1}`, `{"serial":"1","n":2}`},
	} {
		for _, size := range []int{1, 1 << 20} {
			has := make(map[string]string)
			var before *State
			for i, document := range states {
				state, err := build(before, key, pagesOf(document))
				if err != nil {
					t.Fatal(err)
				}
				u := difference(before, state, time.Time{})
				before = state
				if state.form == single {
					if u == nil {
						continue
					}
					clear(has)
					for p := range u.Parts(size) {
						if p.Removed != nil {
							t.Errorf("%s: a resource is removed: %s", name, p.Removed)
						}
						has[serialOf(string(p.Changed))] = string(p.Changed)
					}
				} else {
					mirror(t, has, u, size)
				}
				want := make(map[string]string)
				for _, r := range state.rows {
					want[serialOf(string(r.text))] = string(r.text)
				}
				for serial, text := range want {
					if has[serial] != text {
						t.Errorf("%s, state %d, parts of %d: %s is %q, want %s", name, i, size, serial, has[serial], text)
					}
				}
				if len(has) != len(want) {
					t.Errorf("%s, state %d: %v, want %v", name, i, has, want)
				}
			}
		}
	}
}

// TestAClientByKeyAtRandom: the same for lists in which keys repeat, are text and numbers,
// and have several spellings, read now and then, and for documents that are no list.
func TestAClientByKeyAtRandom(t *testing.T) {
	key := &apiv1.RowKey{Properties: []string{"serial"}}
	// A list has its keys as text or as numbers.
	spellings := [][]string{{`"1"`, `"\u0031"`, `"2"`, `"a/b"`, `"a\/b"`, `"3"`}, {`1`, `2`, `3`}}
	for seed := range uint64(100) {
		random := rand.New(rand.NewPCG(seed, 11))
		has := make(map[string]string)
		var state, sent *State
		for step := range 20 {
			var rows []string
			keys := spellings[random.IntN(2)]
			for range random.IntN(6) {
				rows = append(rows, fmt.Sprintf(`{"serial":%s,"n":%d}`, keys[random.IntN(len(keys))], random.IntN(3)))
			}
			document := "[" + strings.Join(rows, ",") + "]"
			switch random.IntN(10) {
			case 0:
				document = `{"items":` + document + `,"meta":{}}`
			case 1:
				document = `{"serial":"1","n":0}`
			}
			var err error
			if state, err = build(state, key, pagesOf(document)); err != nil {
				t.Fatal(err)
			}
			if random.IntN(3) == 0 {
				continue // the watcher does not read
			}
			u := difference(sent, state, time.Time{})
			sent = state
			if u != nil {
				for p := range u.Parts(1 + random.IntN(60)) {
					if p.Whole {
						clear(has)
					}
					for i, part := range [][]byte{p.Removed, p.Changed} {
						if part == nil {
							continue
						}
						_, rows, _, err := split(part)
						if err != nil {
							t.Fatal(err)
						}
						for _, row := range rows {
							if delete(has, serialOf(string(row))); i == 1 {
								has[serialOf(string(row))] = string(row)
							}
						}
					}
				}
			}
			want := make(map[string]string)
			for _, r := range state.rows {
				want[serialOf(string(r.text))] = string(r.text)
			}
			if len(has) != len(want) {
				t.Fatalf("seed %d, step %d: %v, want %v", seed, step, has, want)
			}
			for serial, row := range want {
				if !same([]byte(has[serial]), []byte(row)) {
					t.Fatalf("seed %d, step %d: %v, want %v", seed, step, has, want)
				}
			}
		}
	}
}
