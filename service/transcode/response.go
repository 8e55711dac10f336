package transcode

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/merakibroker/merakibroker/service/fault"
)

// A Page is what the Link header said about the pages around an answer.
type Page struct {
	NextStartingAfter, PreviousEndingBefore string
	HasNext                                 bool
}

// Response reads a JSON document and appends the response message to dst, as
// protobuf wire. A page is appended where the response has a page_info; nil
// leaves it absent. Every difference from the contract is given to drift, which
// may be nil; the package comment has the table. A document that is not JSON is
// a Malformed fault, and dst comes back as it was; drifts before the place
// where it broke have been given already.
//
// The wire is at most seven times as long as the document (a list of one-digit
// numbers in a free-form value), and mostly shorter. A response that had the whole
// document in one field before has it there, too, which is that much again.
func (p *Plan) Response(dst, doc []byte, page *Page, drift func(path string, d Drift)) ([]byte, error) {
	kept := len(dst)
	// Names become numbers: three quarters of the document is more than an
	// answer with the usual names needs, and a wrong guess costs a copy only.
	if need := len(doc) - len(doc)/4; cap(dst)-kept < need {
		dst = slices.Grow(dst, need+64)
	}
	r := reader{src: doc, dst: dst, drift: drift, both: p.both}
	if !r.document(p) {
		return dst[:kept], p.malformed(&r)
	}
	if r.errors != nil {
		return dst[:kept], p.answeredWithErrors(&r)
	}
	for _, f := range p.beside {
		r.beside(f)
	}
	if page != nil && p.page != 0 {
		r.dst = appendPage(r.dst, p.page, page)
	}
	return r.dst, nil
}

func (p *Plan) malformed(r *reader) error {
	return &fault.Error{
		Kind:      fault.Malformed,
		Operation: p.operation,
		Detail: fmt.Sprintf("the Dashboard's answer is not JSON: %s at byte %d of %d; none of it was used: a read can be repeated, a write has been executed",
			r.why, r.at, len(r.src)),
	}
}

// answeredWithErrors is the fault of a 200 that holds errors where the contract
// has a list: an empty list would read as if there were none.
func (p *Plan) answeredWithErrors(r *reader) error {
	return &fault.Error{
		Kind: fault.Malformed, Reason: "ANSWERED_WITH_ERRORS", Operation: p.operation, Messages: r.errors, NoRetry: true,
		Detail: "the Dashboard answered 200 with errors in place of the list; its messages say what to change",
	}
}

// ErrorsOf gives the errors of a document that is an object with errors and no
// items; nil when it is another one. Where the contract has a list they stand in its
// place, and are no rows of it. Mostly they are a list of texts; one text, or
// an object of them, says no less that there is no list.
func ErrorsOf(doc []byte) []string {
	var answer struct{ Errors, Items json.RawMessage }
	if err := json.Unmarshal(doc, &answer); err != nil || len(answer.Items) > 0 && string(answer.Items) != "null" {
		return nil
	}
	var list []json.RawMessage
	var object map[string]json.RawMessage
	switch one := answer.Errors; {
	case json.Unmarshal(one, &list) == nil:
	case json.Unmarshal(one, &object) == nil && len(object) > 0, len(one) > 0 && one[0] == '"' && string(one) != `""`:
		list = []json.RawMessage{one}
	}
	var all []string
	for _, one := range list[:min(len(list), maxErrors)] {
		text := string(one)
		if s := ""; json.Unmarshal(one, &s) == nil {
			text = s
		}
		all = append(all, shown(text))
	}
	return all
}

// errorsKey is the key of the Dashboard's own errors.
const errorsKey = `"errors"`

// maxErrors bounds the Dashboard's messages that a fault repeats.
const maxErrors = 16

// A reader is one pass over one document.
type reader struct {
	src []byte
	// dst takes the wire. A message in it is complete up to its last field; its
	// length stands in front, in a slot that end fills.
	dst   []byte
	drift func(string, Drift)
	// both: a free field has the document as well.
	both bool
	// depth counts the objects and lists that are open.
	depth int
	// elements counts the lists and maps that are open around the object that is
	// being read, and freeLevel the messages of the free value.
	elements, freeLevel int
	// kept are the properties that go into additional_properties.
	kept properties
	// path holds the fields on the way to the object that is being read. Only
	// objects with known properties count, and the contract nests a dozen.
	level int
	path  [32]*field
	// Where and why the document is broken.
	at  int
	why string
	// errors are the Dashboard's own, in an answer that should have been a list.
	errors []string
}

// maxDepth bounds objects and lists inside each other. The deepest answer in
// the vendor's document has 11.
const maxDepth = 200

// document reads all of it; false when it is not JSON.
func (r *reader) document(p *Plan) bool {
	i := space(r.src, 0)
	if i == len(r.src) {
		return true // 204, or 200 with nothing: an empty message
	}
	if i = r.root(p, i); i < 0 {
		return false
	}
	if i = space(r.src, i); i < len(r.src) {
		r.fail(i, "something follows the document")
		return false
	}
	return true
}

// root reads the document by its first byte: an object is the response's
// fields, a list its items, unless the contract has another field for all of it.
func (r *reader) root(p *Plan, i int) int {
	start, c := len(r.dst), r.src[i]
	if c == '{' && p.properties {
		next := r.object(p.response, i+1)
		switch {
		case next < 0:
		case p.both:
			r.beside(p.root)
		case p.root != nil:
			r.otherForm(p, start)
			r.errors = ErrorsOf(r.src)
		case p.collects && !hasField(r.dst[start:], p.rows.number) && bytes.Contains(r.src, []byte(errorsKey)):
			r.errors = ErrorsOf(r.src)
		}
		return next
	}
	next := misplaced
	switch {
	case p.root != nil && (c != 'n' || p.root.kind == kindValue):
		next = r.value(p.root, i)
	case p.root == nil && c == '[' && p.rows != nil:
		if next = r.value(p.rows, i); next >= 0 {
			r.otherForm(p, start)
		}
	default:
		r.report(documentField, LeftOut)
	}
	if next >= broken {
		return next
	}
	r.dst, r.depth = r.dst[:start], 0
	return r.whole(p.response, i)
}

// documentField stands for the document as a whole in a report.
var documentField = new(field)

// otherForm notes that an object came for a list of rows, or the reverse: by
// additional_properties, which is there and may be empty.
func (r *reader) otherForm(p *Plan, start int) {
	how := Converted
	if !hasField(r.dst[start:], p.rows.number) {
		how = LeftOut
	}
	r.report(documentField, how)
	if tag := p.response.additional; tag != 0 && !hasField(r.dst[start:], int32(tag>>3)) {
		r.dst = append(appendVarint(r.dst, uint64(tag)), 0)
	}
}

// beside appends the whole document to a field, if it fits there. What differs has
// been reported.
func (r *reader) beside(f *field) {
	drift, kept := r.drift, len(r.dst)
	r.drift = nil
	if i := space(r.src, 0); i < len(r.src) && r.value(f, i) < 0 {
		r.dst, r.depth, r.elements, r.freeLevel = r.dst[:kept], 0, 0, 0
	}
	r.drift = drift
}

// wholeKey is the property that stands for a document that is no object, as in
// the vendor's own framework.
const wholeKey = "_json"

// whole keeps the document at i as it came: the properties of an object under
// their own names, anything else under _json.
func (r *reader) whole(m *message, i int) int {
	if m.additional == 0 {
		return r.skip(i)
	}
	drift := r.drift
	r.drift = nil // it has been reported
	if r.src[i] == '{' {
		i = r.object(&message{additional: m.additional}, i+1)
		r.drift = drift
		return i
	}
	r.dst = openSlot(r.dst, m.additional, 1)
	from := len(r.dst)
	r.dst = openSlot(r.dst, tagFields, 1)
	entry := len(r.dst)
	r.dst = append(append(r.dst, tagKey, byte(len(wholeKey))), wholeKey...)
	r.dst = openSlot(r.dst, tagValue, 1)
	value := len(r.dst)
	if i = r.free(nil, i); i >= 0 {
		r.dst, _ = closeSlot(r.dst, value, 1)
		r.dst, _ = closeSlot(r.dst, entry, 1)
		r.dst, _ = closeSlot(r.dst, from, 1)
	}
	r.drift = drift
	return i
}

// appendPage writes a PageInfo.
func appendPage(dst []byte, tag uint32, page *Page) []byte {
	dst = append(appendVarint(dst, uint64(tag)), 0)
	from := len(dst)
	dst = appendToken(dst, 1<<3|wireBytes, page.NextStartingAfter)
	dst = appendToken(dst, 2<<3|wireBytes, page.PreviousEndingBefore)
	if page.HasNext {
		dst = append(dst, 3<<3|wireVarint, 1)
	}
	dst, _ = closeSlot(dst, from, 1)
	return dst
}

// appendToken writes a page token. It comes out of a URL, where anything can
// stand; a proto string is UTF-8.
func appendToken(dst []byte, tag byte, token string) []byte {
	if token == "" {
		return dst
	}
	token = strings.ToValidUTF8(token, string(utf8.RuneError))
	dst = appendVarint(append(dst, tag), uint64(len(token)))
	return append(dst, token...)
}
