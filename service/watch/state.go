package watch

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"strconv"
	"strings"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/transcode"
)

// A form is how a document holds its rows.
type form uint8

const (
	single form = iota // an object that is no list: all of it is one row
	list               // [row, row]
	items              // {"items": [row, row], "meta": {}}
)

// A State is what the pages of one answer held. It does not change once built.
type State struct {
	form form
	rows []row
	// index finds a row by its name.
	index map[string]int
	// last finds the last row with a key, where several have it; nil where none have.
	last map[string]int
	// rest is the first page of the form items without its items; "{}" where that is all.
	rest []byte
	size int64
}

// A row is one element of a list.
type row struct {
	// key is the value of the properties that name the row; where nothing names it,
	// a digest of all of it.
	key string
	// name is the key, and where several rows have the same one, their number.
	name string
	text []byte
}

// rowOverhead is what a row takes in memory beside its text: the row, its key and its
// place in the index.
const rowOverhead = 160

// build takes documents apart, the pages of one answer. It gives old, the state before
// this one, where nothing has changed, and takes over the rows that have not.
func build(old *State, key *apiv1.RowKey, pages [][]byte) (*State, error) {
	b := builder{old: old, key: key.GetProperties(), known: make(map[uint64]*row), times: make(map[string]int), changed: old == nil}
	b.state = &State{index: make(map[string]int)}
	if old != nil {
		b.seed = maphash.MakeSeed()
		for i := range old.rows {
			b.known[maphash.Bytes(b.seed, old.rows[i].text)] = &old.rows[i]
		}
	}
	for i, page := range pages {
		if err := b.page(i, page); err != nil {
			return nil, fmt.Errorf("page %d: %w", i+1, err)
		}
	}
	s := b.state
	if old != nil && (old.form != s.form || len(old.rows) != len(s.rows)) {
		b.changed = true
	}
	if !b.changed {
		return old, nil
	}
	s.size = int64(len(s.rest))
	for _, r := range s.rows {
		s.size += int64(len(r.text)) + rowOverhead
	}
	return s, nil
}

// A builder makes one state.
type builder struct {
	state, old *State
	key        []string
	seed       maphash.Seed
	known      map[uint64]*row // the rows of old, by a hash of their text
	times      map[string]int  // how often a key has come
	changed    bool
}

// page adds one document.
func (b *builder) page(n int, document []byte) error {
	is, rows, rest, err := split(document)
	if err != nil {
		return err
	}
	switch {
	case n == 0 && is == single && b.old != nil && b.old.form != single && transcode.ErrorsOf(document) != nil:
		return errErrors
	case n == 0:
		b.state.form, b.state.rest = is, rest
	case is != b.state.form:
		return fmt.Errorf("it is a %s, and the first page is a %s", is, b.state.form)
	}
	for _, text := range rows {
		if err := b.row(text); err != nil {
			return err
		}
	}
	return nil
}

// String names the form in an error.
func (f form) String() string {
	return [...]string{"single resource", "list", "list of items"}[f]
}

// split finds the rows of a document.
func split(document []byte) (form, []json.RawMessage, []byte, error) {
	document = bytes.TrimSpace(document)
	switch {
	case len(document) == 0:
		return single, []json.RawMessage{[]byte("{}")}, nil, nil // 204, or 200 with nothing
	case document[0] == '[':
		var rows []json.RawMessage
		err := json.Unmarshal(document, &rows)
		return list, rows, nil, err
	case document[0] != '{':
		if !json.Valid(document) {
			return single, nil, nil, errNotJSON
		}
		return single, []json.RawMessage{document}, nil, nil
	}
	var properties map[string]json.RawMessage
	if err := json.Unmarshal(document, &properties); err != nil {
		return single, nil, nil, err
	}
	var rows []json.RawMessage
	if json.Unmarshal(properties["items"], &rows) != nil || rows == nil {
		return single, []json.RawMessage{document}, nil, nil
	}
	delete(properties, "items")
	rest, err := json.Marshal(properties)
	return items, rows, rest, err
}

// row adds one row, as old has it where it has not changed.
func (b *builder) row(text []byte) error {
	r := row{}
	if b.old != nil && b.old.form == b.state.form { // a row's key depends on the form
		if was := b.known[maphash.Bytes(b.seed, text)]; was != nil && bytes.Equal(was.text, text) {
			r = row{key: was.key, text: was.text}
		}
	}
	if r.text == nil {
		key, err := b.keyOf(text)
		if err != nil {
			return err
		}
		r = row{key: key, text: bytes.Clone(text)}
	}
	r.name = r.key
	if n := b.times[r.key]; n > 0 {
		r.name += "\x00" + strconv.Itoa(n)
		if b.state.last == nil {
			b.state.last = make(map[string]int)
		}
		b.state.last[r.key] = len(b.state.rows)
	}
	b.times[r.key]++
	if b.old != nil {
		switch i, there := b.old.index[r.name]; {
		case !there:
			b.changed = true
		default:
			was := &b.old.rows[i]
			if bytes.Equal(was.text, r.text) || same(was.text, r.text) {
				r.text, r.name = was.text, was.name
			} else {
				b.changed = true
			}
		}
	}
	b.state.index[r.name] = len(b.state.rows)
	b.state.rows = append(b.state.rows, r)
	return nil
}

// keyOf is what names a row. The one row of a single resource needs no name.
func (b *builder) keyOf(text []byte) (string, error) {
	if b.state.form == single {
		return "", nil
	}
	if key, ok := keyed(b.key, text); ok {
		return key, nil
	}
	canonical, err := canonical(text)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(canonical)
	return "\x00" + string(sum[:16]), nil // no value of a property begins so
}

// lastOf is the place of the last row with a key, which has to be there.
func (s *State) lastOf(key string) int {
	if i, several := s.last[key]; several {
		return i
	}
	return s.index[key]
}

// named tells whether the key is one that properties make, and not a digest of the row.
func (r *row) named() bool { return r.key != "" && r.key[0] != 0 }

// keyed gives the values of the properties that name a row; false where there are
// none, or the row lacks one of them.
func keyed(properties []string, text []byte) (string, bool) {
	var key strings.Builder
	for i, path := range properties {
		value := json.RawMessage(text)
		for name := range strings.SplitSeq(path, ".") {
			var object map[string]json.RawMessage
			if json.Unmarshal(value, &object) != nil {
				return "", false
			}
			value = object[name]
		}
		if len(value) == 0 || bytes.Equal(value, []byte("null")) {
			return "", false
		}
		if i > 0 {
			key.WriteByte(0)
		}
		key.WriteString(spelled(value))
	}
	return key.String(), key.Len() > 0
}

// spelled is the value of a key in one spelling of the several that it may have.
func spelled(value json.RawMessage) string {
	var text string
	switch {
	case value[0] == '{' || value[0] == '[':
		if canonical, err := canonical(value); err == nil {
			return string(canonical)
		}
	case value[0] == '"' && bytes.IndexByte(value, '\\') >= 0 && json.Unmarshal(value, &text) == nil:
		return `"` + text + `"`
	}
	return string(value)
}

// same tells whether two documents say the same in other words: with their properties
// in another order, or other white space.
func same(a, b []byte) bool {
	x, err := canonical(a)
	if err != nil {
		return false
	}
	y, err := canonical(b)
	return err == nil && bytes.Equal(x, y)
}

// canonical writes a document with its properties in order. Numbers keep their digits.
func canonical(document []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(document))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

// A reading is a state with what is known of it beside its rows.
type reading struct {
	state *State
	// asked is when the Dashboard was asked, by the clock of the replica that did.
	asked time.Time
	// last is when it was asked for the last of several pages.
	last time.Time
	// digest is that of the pages as they came.
	digest [sha256.Size]byte
	pages  []place
	// made are the requests that this replica has made for it.
	made int
}

// A place is where a page was read, and a digest of its body.
type place struct {
	path, query string
	sum         [sha256.Size]byte
}
