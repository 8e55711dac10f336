package transcode

import (
	"cmp"
	"slices"
)

// Protobuf allows records in any order. A singular field that stands twice has
// the last value, and a singular message the merge of all, which is the
// concatenation of their records. Nobody's encoder writes such wire without a
// reason, so it is put in order by a copy, and everything else reads ordered wire.

// A record is one field of a message on the wire: its index in the message
// type, and where it begins and ends, tag included.
type record struct {
	field      int
	start, end int
}

// split lists the records of a message.
func (w *writer) split(m *message, b []byte) ([]record, bool) {
	var records []record
	for i := 0; i < len(b); {
		tag, next := uvarint(b, i)
		if next < 0 {
			return nil, w.broken()
		}
		at := m.byNumber(tag>>3, 0)
		if at < 0 {
			return nil, w.strange(tag >> 3)
		}
		if next = skipValue(b, next, tag); next < 0 {
			w.broken()
			return nil, w.in(m.fields[at].name)
		}
		if !m.fields[at].takes(tag & 7) {
			w.wrongType(tag)
			return nil, w.in(m.fields[at].name)
		}
		records = append(records, record{at, i, next})
		i = next
	}
	slices.SortStableFunc(records, func(a, b record) int { return cmp.Compare(a.field, b.field) })
	return records, true
}

// isOrdered tells whether a message's fields are ascending and each singular one stands
// once, as far as the wire can be read.
func isOrdered(m *message, b []byte) bool {
	done := -1
	for i := 0; i < len(b); {
		tag, next := uvarint(b, i)
		if next < 0 {
			break
		}
		at := m.byNumber(tag>>3, max(done, 0))
		if at < 0 {
			break
		}
		if at < done || at == done && m.fields[at].shape == single {
			return false
		}
		if done, i = at, skipValue(b, next, tag); i < 0 {
			break
		}
	}
	return true
}

// inOrder gives a copy of a message with its fields ascending and each singular
// one once; nil when the wire is broken.
func (w *writer) inOrder(m *message, b []byte) []byte {
	records, ok := w.split(m, b)
	if !ok {
		return nil
	}
	out := make([]byte, 0, len(b)+8)
	for len(records) > 0 {
		group := sameField(records)
		records = records[len(group):]
		out = m.fields[group[0].field].appendMerged(out, b, group)
	}
	return out
}

// takes tells whether a record of this wire type can be of the field.
func (f *field) takes(wire uint64) bool {
	switch f.shape {
	case list:
		return wire == uint64(f.kind.wire()) || wire == wireBytes && f.kind.packed()
	case dict:
		return wire == wireBytes
	}
	return wire == uint64(f.kind.wire())
}

// sameField gives the records at the front that are of one field.
func sameField(records []record) []record {
	n := 1
	for n < len(records) && records[n].field == records[0].field {
		n++
	}
	return records[:n]
}

// appendMerged appends what the records of one field mean together.
func (f *field) appendMerged(out, b []byte, group []record) []byte {
	last := group[len(group)-1]
	switch {
	case f.shape != single:
		for _, r := range group {
			out = append(out, b[r.start:r.end]...)
		}
		return out
	case len(group) == 1 || f.kind <= kindDouble:
		return append(out, b[last.start:last.end]...)
	}
	var merged []byte
	for _, r := range group {
		_, at := uvarint(b, r.start)
		p, _ := payload(b, at)
		merged = append(merged, p...)
	}
	out = appendVarint(appendVarint(out, uint64(f.tag)), uint64(len(merged)))
	return append(out, merged...)
}
