package transcode

import (
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
// numbers in a free-form value), and mostly shorter.
func (p *Plan) Response(dst, doc []byte, page *Page, drift func(path string, d Drift)) ([]byte, error) {
	kept := len(dst)
	// Names become numbers: three quarters of the document is more than an
	// answer with the usual names needs, and a wrong guess costs a copy only.
	if need := len(doc) - len(doc)/4; cap(dst)-kept < need {
		dst = slices.Grow(dst, need+64)
	}
	r := reader{src: doc, dst: dst, drift: drift}
	if !r.document(p) {
		return dst[:kept], p.malformed(&r)
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

// A reader is one pass over one document.
type reader struct {
	src []byte
	// dst takes the wire. A message in it is complete up to its last field; its
	// length stands in front, in a slot that end fills.
	dst   []byte
	drift func(string, Drift)
	// depth counts the objects and lists that are open.
	depth int
	// path holds the fields on the way to the object that is being read. Only
	// objects with known properties count, and the contract nests a dozen.
	level int
	path  [32]*field
	// Where and why the document is broken.
	at  int
	why string
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

func (r *reader) root(p *Plan, i int) int {
	if p.root != nil {
		return r.value(p.root, i)
	}
	switch r.src[i] {
	case '{':
		return r.object(p.response, i+1)
	case 'n':
		return r.literal(i, "null")
	case '[':
		if p.rows != nil {
			r.report(p.rows, Converted)
			return r.value(p.rows, i)
		}
	}
	if i = r.skip(i); i >= 0 && r.drift != nil {
		r.drift(documentPath, LeftOut)
	}
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

// Document writes a response message as the JSON document that it came from:
// Response the other way round. Pages are not part of a document. A root that
// is absent is null.
func (p *Plan) Document(wire []byte) ([]byte, error) {
	w := writer{out: make([]byte, 0, 2*len(wire)+16)}
	if !p.document(&w, wire) {
		return nil, w.fault(p)
	}
	return w.out, nil
}

func (p *Plan) document(w *writer, b []byte) bool {
	if p.root == nil {
		return w.object(p.response, b)
	}
	if b = w.inOrder(p.response, b); b == nil {
		return false
	}
	for i := 0; i < len(b); {
		tag, at := uvarint(b, i)
		if tag>>3 != uint64(p.root.number) {
			i = skipValue(b, at, tag)
			continue
		}
		next, some := w.records(p.root, b, i)
		if next < 0 {
			return w.in(p.root.name)
		}
		if some {
			return true
		}
		i = next
	}
	switch {
	case p.root.shape == list:
		w.out = append(w.out, "[]"...)
	case p.root.shape == dict:
		w.out = append(w.out, "{}"...)
	default:
		w.out = append(w.out, "null"...)
	}
	return true
}
