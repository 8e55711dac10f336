package transcode

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/merakibroker/merakibroker/service/fault"
)

// A Request is what HTTP carries of a request message.
type Request struct {
	// Path is below the API's root: /organizations/123/devices.
	Path string
	// Query has no question mark in front.
	Query string
	// Body is nil when the operation takes none.
	Body []byte
	// Params are the values of the path's parameters, not escaped, in their order.
	Params []string
}

// A request and room for its parameters: no path of the vendor's has more.
type requestCell struct {
	Request
	params [4]string
}

// maxBody bounds the JSON of a request: escapes can make it several times as long
// as its message.
const maxBody = 16 << 20

// Request reads a request message and writes path, query and body. What cannot
// be sent as it was meant is a BadRequest fault that names the field: a
// parameter of the path that is missing, a field that the contract does not
// have, a number that JSON does not have, text that is not UTF-8, a field mask
// that names what is not there.
func (p *Plan) Request(wire []byte) (*Request, error) {
	var w writer
	var room [4]param
	params := room[:]
	if len(p.names) > len(params) {
		params = make([]param, len(p.names))
	}
	r, ok := p.compose(&w, wire, params[:len(p.names)])
	if !ok {
		return nil, w.fault(p)
	}
	return r, nil
}

func (p *Plan) compose(w *writer, wire []byte, params []param) (*Request, bool) {
	w.bound = maxBody
	masks, b, ok := p.survey(w, wire, params)
	if !ok {
		return nil, false
	}
	w.url.Grow(p.urlSize(len(b), params))
	if !w.path(p, params) {
		return nil, false
	}
	w.query = w.url.Len()
	cell := new(requestCell)
	if p.body {
		w.out = make([]byte, 0, 2*len(b)+64)
	}
	if !p.fields(w, b, masks) || !p.complete(w) {
		return nil, false
	}
	if p.body {
		cell.Body = w.out
	}
	p.fillURL(w, cell, params)
	return &cell.Request, true
}

// survey passes over the top of the message once: it finds the parameters of
// the path and the masks, and puts the wire in order when it is not.
func (p *Plan) survey(w *writer, b []byte, params []param) (root *mask, ordered []byte, ok bool) {
	m := p.request
	var nulls, empties []byte
	done := -1
	for i := 0; i < len(b); {
		tag, at := uvarint(b, i)
		if at < 0 {
			return nil, nil, w.broken()
		}
		n := m.byNumber(tag>>3, max(done, 0))
		if n < 0 && tag>>3 == additionalNumber {
			return nil, nil, w.declaredOnly()
		}
		if n < 0 {
			return nil, nil, w.strange(tag >> 3)
		}
		f := &m.fields[n]
		next := skipValue(b, at, tag)
		if next < 0 {
			w.broken()
			return nil, nil, w.in(f.name)
		}
		if n < done || n == done && f.shape == single {
			if b = w.inOrder(m, b); b == nil {
				return nil, nil, false
			}
			clear(params)
			nulls, empties, w.extra = nil, nil, nil
			i, done = 0, -1
			continue
		}
		done = n
		switch {
		case n == p.nulls && tag&7 == wireBytes:
			nulls = append(nulls, b[i:next]...)
		case n == p.empties && tag&7 == wireBytes:
			empties = append(empties, b[i:next]...)
		case f.tag == m.additional && !p.extends:
			return nil, nil, w.declaredOnly()
		case f.tag == m.additional && tag&7 == wireBytes:
			if w.extra, _ = payload(b, at); len(w.extra) == 0 {
				w.extra = nil
			}
		case p.bindings[n].location == nowhere && tag&7 != uint64(f.kind.wire()):
			w.wrongType(tag)
			return nil, nil, w.in(f.name)
		case p.bindings[n].location == inPath:
			params[p.bindings[n].param] = param{value: b[at:next], tag: tag}
		}
		i = next
	}
	if len(nulls)+len(empties) > 0 {
		if root, ok = p.masks(w, nulls, empties); !ok {
			return nil, nil, false
		}
	}
	return root, b, true
}

// fields writes query and body.
func (p *Plan) fields(w *writer, b []byte, root *mask) bool {
	m := p.request
	if root != nil {
		return p.masked(w, b, root)
	}
	if p.body && p.whole < 0 {
		w.out = append(w.out, '{')
	}
	done := -1
	for i := 0; i < len(b); {
		tag, at := uvarint(b, i)
		done = m.byNumber(tag>>3, max(done, 0))
		f := &m.fields[done]
		if old := f.retired; old != nil {
			if old.replaced(b) {
				if i = w.superseded(m, f, b, b, i); i < 0 {
					return false
				}
				continue
			}
			f = &old.as
		}
		switch p.bindings[done].location {
		case inQuery:
			i = w.parameter(p.bindings[done].key, f, b, i)
		case inBody:
			if p.whole >= 0 {
				i = w.wholeBody(f, b, i)
			} else {
				i = w.member(f, b, i)
			}
		case unsent:
			return w.unsent(f)
		default:
			i = skipValue(b, at, tag)
		}
		if i < 0 {
			return false
		}
	}
	return p.finish(w, b, nil)
}

// finish closes the body, with the request's additional properties at its end.
func (p *Plan) finish(w *writer, b []byte, root *mask) bool {
	switch {
	case w.extra != nil:
		if !p.extend(w, b, root) || len(w.out) > w.bound && !w.tooLong() {
			return w.in(additionalName)
		}
	case len(w.out) > w.bound:
		return w.tooLong()
	case !p.body:
	case p.whole < 0 && len(w.out) == 1 && p.list != "":
		w.fail("the update would change nothing: an empty list looks like an absent one; to empty it, name it in empty_fields; nothing was sent")
		return w.in(p.list)
	case p.whole < 0:
		w.closeObject(0)
	case len(w.out) == 0:
		f := &p.request.fields[p.whole]
		w.fail("it is the whole body, and it is missing; to send an empty one, name it in empty_fields; nothing was sent")
		return w.in(f.name)
	}
	return true
}

// wholeBody writes the field that is the body.
func (w *writer) wholeBody(f *field, b []byte, i int) int {
	next, _ := w.records(f, b, i)
	if next < 0 {
		w.in(f.name)
	}
	return next
}

// urlSize guesses the length of path and query: half of the characters need
// escapes, and a request without a body is all URL.
func (p *Plan) urlSize(wire int, params []param) int {
	n := len("&name=") * 4
	for i := range p.template {
		n += len(p.template[i].text)
	}
	if !p.body {
		return n + 2*wire
	}
	for i := range params {
		n += 2 * len(params[i].value)
	}
	return n
}

// fillURL cuts path, query and parameters out of one string.
func (p *Plan) fillURL(w *writer, cell *requestCell, params []param) {
	end := w.url.Len()
	for i := range params {
		// A value that is escaped in the path goes behind the URL as it was.
		if p.request.fields[p.template[i].field].kind != kindString {
			continue
		}
		if text, _ := payload(params[i].value, 0); len(text) != params[i].end-params[i].start {
			params[i].start = w.url.Len()
			w.url.Write(text)
			params[i].end = w.url.Len()
		}
	}
	all := w.url.String()
	cell.Path, cell.Query = all[:w.query], all[w.query:end]
	if len(params) > 0 {
		cell.Params = cell.params[:0]
	}
	for i := range params {
		cell.Params = append(cell.Params, all[params[i].start:params[i].end])
	}
}

// fail notes what is wrong, at the place that the callers will name.
func (w *writer) fail(format string, args ...any) bool {
	w.err = fault.Bad("", format, args...)
	return false
}

// in puts the name of the field that the failure is in before its path.
func (w *writer) in(name string) bool {
	if w.named {
		return false
	}
	if w.err.Field != "" && w.err.Field[0] != '[' {
		name += "."
	}
	w.err.Field = name + w.err.Field
	return false
}

// at does the same with the index in a list.
func (w *writer) at(index int) bool {
	return w.in("[" + strconv.Itoa(index) + "]")
}

// maxShown bounds what a fault repeats of the caller's own names.
const maxShown = 1024

// shown is a caller's text as it can stand in a fault: short, and UTF-8, as a
// status is.
func shown(text string) string {
	if len(text) > maxShown {
		text = text[:maxShown] + "..."
	}
	return strings.ToValidUTF8(text, string(utf8.RuneError))
}

// fault is the failure as the caller gets it.
func (w *writer) fault(p *Plan) *fault.Error {
	w.err.Operation, w.err.Field = p.operation, shown(w.err.Field)
	if w.err.Field != "" {
		w.err.Detail = w.err.Field + ": " + w.err.Detail
	}
	return w.err
}

func (w *writer) broken() bool {
	return w.fail("the request is not protobuf: a record breaks off or has no known type; nothing was sent")
}

func (w *writer) tooLong() bool {
	return w.fail("the body would be longer than %d bytes; nothing was sent", w.bound)
}

func (w *writer) wrongType(tag uint64) bool {
	return w.fail("wire type %d is not that of the contract's field; nothing was sent", tag&7)
}

// strange refuses a field number. Of a contract from which nothing is ever
// removed this says which side is older.
func (w *writer) strange(number uint64) bool {
	w.fail("this broker's contract has no field with the number %d here: the client was built from a newer contract, or from another one; update the broker, or leave the field out; nothing was sent", number)
	return w.in(strconv.FormatUint(number, 10))
}

// declaredOnly refuses additional properties where there is no body for them.
func (w *writer) declaredOnly() bool {
	w.fail("a query takes only what the contract declares; BrokerService.Call takes the rest; nothing was sent")
	return w.in(additionalName)
}
