package transcode

import (
	"strings"
	"unicode/utf8"
)

// A Drift is one way in which an answer differed from the contract. The numbers
// are those of meraki.broker.v1.DriftKind.
type Drift uint8

const (
	// UnknownField: the contract does not have the property; it is in
	// additional_properties.
	UnknownField Drift = 1
	// Converted: the value is of another type, and has been converted without loss.
	Converted Drift = 2
	// LeftOut: the value does not fit its field, which is absent; it is in
	// additional_properties.
	LeftOut Drift = 3
)

var drifts = [...]string{UnknownField: "unknown_field", Converted: "converted", LeftOut: "left_out"}

// String names the drift as metrics do.
func (d Drift) String() string {
	if d > 0 && int(d) < len(drifts) {
		return drifts[d]
	}
	return "none"
}

// documentPath is the drift path of the document as a whole.
const documentPath = "$"

// maxName bounds a key of the Dashboard's inside a drift path.
const maxName = 64

// report counts a drift of the field f of the object that is being read.
func (r *reader) report(f *field, d Drift) {
	if r.drift != nil {
		r.drift(r.pathTo(f.json()), d)
	}
}

// reportKey counts a key that the contract does not have, unless a free field has
// the document with all its keys.
func (r *reader) reportKey(name []byte) {
	if r.drift == nil || r.both {
		return
	}
	if len(name) > maxName {
		name = append(name[:maxName:maxName], "..."...)
	}
	r.drift(r.pathTo(strings.ToValidUTF8(string(name), string(utf8.RuneError))), UnknownField)
}

// pathTo writes the way from the document's root to a name: the JSON names,
// with [] behind a list and .* behind a map when the way leads through them.
func (r *reader) pathTo(name string) string {
	var b strings.Builder
	for _, f := range r.path[:min(r.level, len(r.path))] {
		joinPath(&b, f.json())
	}
	if r.level > len(r.path) {
		joinPath(&b, "...")
	}
	joinPath(&b, name)
	if b.Len() == 0 {
		return documentPath
	}
	return b.String()
}

func joinPath(b *strings.Builder, name string) {
	if b.Len() > 0 && name != "" && name[0] != '[' {
		b.WriteByte('.')
	}
	b.WriteString(name)
}
