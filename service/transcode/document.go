package transcode

import "slices"

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
	if b = w.inOrder(p.response, b); b == nil {
		return false
	}
	// Where the field that takes the document begins and ends, and what else there is.
	target := p.root
	if target == nil {
		target = p.rows
	}
	var root, additional []byte
	fields := false
	for i := 0; i < len(b); {
		tag, at := uvarint(b, i)
		next := skipValue(b, at, tag)
		switch {
		case target != nil && tag>>3 == uint64(target.number):
			for next < len(b) {
				more, at := uvarint(b, next)
				if more>>3 != tag>>3 {
					break
				}
				next = skipValue(b, at, more)
			}
			root = b[i:next]
		case tag == uint64(p.response.additional):
			additional, _ = payload(b, at)
			if additional == nil {
				additional = []byte{}
			}
		case slices.ContainsFunc(p.beside, func(f *field) bool { return uint32(tag) == f.tag }): // a copy
		case uint32(tag) != p.page:
			fields = true
		}
		i = next
	}
	if root == nil && !fields {
		if whole, ok := w.wholeOf(additional); !ok || whole != nil {
			return ok && w.free(whole)
		}
	}
	switch {
	case target != nil && !fields && (p.root != nil && additional == nil || p.root == nil && additional != nil && len(additional) == 0):
		return w.rootOf(target, root)
	case p.properties:
		return w.object(p.response, b)
	}
	return w.freeObject(additional)
}

// rootOf writes the field that takes the whole document.
func (w *writer) rootOf(f *field, records []byte) bool {
	if len(records) > 0 {
		next, some := w.records(f, records, 0)
		if next < 0 {
			return w.in(f.name)
		}
		if some {
			return true
		}
	}
	switch {
	case f.shape == list:
		w.out = append(w.out, "[]"...)
	case f.shape == dict:
		w.out = append(w.out, "{}"...)
	default:
		w.out = append(w.out, "null"...)
	}
	return true
}
