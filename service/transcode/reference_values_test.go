package transcode

import (
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
)

func (r *reference) free(m protoreflect.Message, n *node, path string) {
	fields := m.Descriptor().Fields()
	set := func(name protoreflect.Name, v protoreflect.Value) { m.Set(fields.ByName(name), v) }
	switch n.kind {
	case 'n':
		set("null_value", protoreflect.ValueOfEnum(0))
	case 't', 'f':
		set("bool_value", protoreflect.ValueOfBool(n.kind == 't'))
	case 's':
		set("string_value", protoreflect.ValueOfString(n.text))
	case '0':
		if v, ok := refDouble(n); ok {
			set("number_value", protoreflect.ValueOfFloat64(v))
		} else {
			r.drift(path, Converted)
			set("string_value", protoreflect.ValueOfString(n.text))
		}
	case '{', '[':
		if r.level+r.freeLevel > maxFree { // too deep for readers of protobuf: its own text
			r.drift(path, Converted)
			set("string_value", protoreflect.ValueOfString(n.text))
			return
		}
		if n.kind == '{' {
			r.freeObject(m.Mutable(fields.ByName("struct_value")).Message(), n, path)
		} else {
			r.freeList(m.Mutable(fields.ByName("list_value")).Message(), n, path)
		}
	}
}

func (r *reference) freeObject(m protoreflect.Message, n *node, path string) {
	entries := m.Mutable(m.Descriptor().Fields().ByName("fields")).Map()
	r.freeLevel += 3
	for i, key := range n.keys {
		v := entries.NewValue()
		r.free(v.Message(), n.values[i], path)
		entries.Set(protoreflect.ValueOfString(key).MapKey(), v)
	}
	r.freeLevel -= 3
}

func (r *reference) freeList(m protoreflect.Message, n *node, path string) {
	list := m.Mutable(m.Descriptor().Fields().ByName("values")).List()
	r.freeLevel += 2
	for _, e := range n.values {
		v := list.NewElement()
		r.free(v.Message(), e, path)
		list.Append(v)
	}
	r.freeLevel -= 2
}

var refNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

// refInt reads a number, or a string that is one. Numbers whose exponent would
// fill the memory of big.Rat are decided by their digits.
func refInt(n *node) (v int64, ok, exact bool) {
	if n.kind != '0' && n.kind != 's' || !refNumber.MatchString(n.text) {
		return 0, false, false
	}
	exact = !strings.ContainsAny(n.text, ".eE")
	mantissa, exponent, _ := strings.Cut(strings.ToLower(n.text), "e")
	if strings.Trim(mantissa, "-0.") == "" {
		return 0, true, exact
	}
	if e, err := strconv.Atoi(exponent); exponent != "" && (err != nil || e > 10000 || e < -10000) {
		return 0, false, false
	}
	rat, ok := new(big.Rat).SetString(n.text)
	if !ok || !rat.IsInt() || !rat.Num().IsInt64() {
		return 0, false, false
	}
	return rat.Num().Int64(), true, exact
}

// refDouble reads a number that a double does not change: neither its value nor,
// where it is not held exactly, its shortest digits.
func refDouble(n *node) (float64, bool) {
	if n.kind != '0' && n.kind != 's' || !refNumber.MatchString(n.text) || len(n.text) > 2048 {
		return 0, false
	}
	v, err := strconv.ParseFloat(n.text, 64)
	if err != nil {
		return 0, false
	}
	mantissa, exponent, _ := strings.Cut(strings.ToLower(n.text), "e")
	if strings.Trim(mantissa, "-0.") == "" {
		return v, true
	}
	if e, err := strconv.Atoi(exponent); exponent != "" && (err != nil || e > 10000 || e < -10000) {
		return 0, false
	}
	want, _ := new(big.Rat).SetString(n.text)
	shortest, _ := new(big.Rat).SetString(strconv.FormatFloat(v, 'e', -1, 64))
	if abs := math.Abs(v); abs < 1e21 && v == math.Trunc(v) {
		shortest = new(big.Rat).SetFloat64(v)
	}
	return v, want.Cmp(shortest) == 0
}

var refInstant = regexp.MustCompile(`^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?(?: ?(Z|z|UTC|[+-]\d\d:?\d\d))?$`)

func refTime(s string) (at time.Time, ok bool) {
	parts := refInstant.FindStringSubmatch(s)
	if parts == nil {
		return at, false
	}
	if len(parts[3]) > 9 && strings.Trim(parts[3][9:], "0") != "" {
		return at, false // more than a Timestamp holds
	}
	fraction := (parts[3] + "000000000")[:9]
	zone := parts[4]
	switch {
	case zone == "", zone == "z", zone == "UTC":
		zone = "Z"
	case len(zone) == 5:
		zone = zone[:3] + ":" + zone[3:]
	}
	if len(zone) == 6 && (zone[1:3] > "23" || zone[4:] > "59") {
		return at, false
	}
	at, err := time.Parse(time.RFC3339Nano, parts[1]+"T"+parts[2]+"."+fraction+zone)
	if at = at.UTC(); err != nil || at.Year() < 1 || at.Year() > 9999 {
		return at, false
	}
	return at, true
}

// refBoth reports whether the root takes any object in a message that has fields of
// properties, too.
func refBoth(d protoreflect.MessageDescriptor, root protoreflect.FieldDescriptor) bool {
	if root == nil || !refIs(root, "google.protobuf.Struct") && !refIs(root, "google.protobuf.Value") || root.IsList() {
		return false
	}
	properties := 0
	for i := range d.Fields().Len() {
		if fd := d.Fields().Get(i); fd != refAdditional(d) {
			if loc, _ := refBinding(fd); loc != apiv1.Location_LOCATION_NONE {
				properties++
			}
		}
	}
	loc, _ := refBinding(root)
	return loc == apiv1.Location_LOCATION_NONE && properties > 0
}
