package transcode

import (
	"encoding/binary"
	"strings"
)

// A Plan turns the requests of one RPC into what HTTP carries, and the answers
// back into protobuf wire. It does not change once compiled: any number of
// goroutines may use it at once.
type Plan struct {
	operation string
	// The request.
	request *message
	// bindings tells, for each field of the request, where it goes.
	bindings []binding
	// template is the path, cut at its parameters.
	template []piece
	// names are the parameters of the path, in their order.
	names []string
	// body: the operation documents a body, so one is sent, empty or not.
	body bool
	// whole is the index of the field that is the whole body; -1 when there is none.
	whole int
	// nulls and empties are the indexes of null_fields and empty_fields; -1 when absent.
	nulls, empties int
	// list is the list that an update is for; empty when it has none.
	list string
	// required is what the document requires of the body.
	required requirement
	// extends: the body takes additional properties.
	extends bool

	// The response.
	response *message
	// root takes the whole document; nil when the document's properties are the
	// response's fields.
	root *field
	// rows is the list named items, of a response with or without a root.
	rows *field
	// collects: a read of rows in an object, which has no errors of its own.
	collects bool
	// properties: a document that is an object is read into the response's fields,
	// as there is no root, or the root is a list, or both is set.
	properties bool
	// both: the root takes any object, and the response has fields of properties as
	// well, because the document has been described since, or was before. An object
	// goes into the root and into the fields.
	both bool
	// beside are fields that take the whole document, where it fits, beside what
	// stands in the others.
	beside []*field
	// page is the wire tag of the page_info field; 0 when there is none.
	page uint32
}

// A binding is where a field of the request goes.
type binding struct {
	location location
	// param is the index among the path's parameters.
	param int
	// key is the parameter's name in a query, escaped, "[]" included for a list.
	key string
}

type location uint8

const (
	nowhere location = iota
	inPath
	inQuery
	inBody
	// unsent: a retired field that nothing can be sent for.
	unsent
)

// A piece of a path template: text, and the request field that follows it.
type piece struct {
	text string
	// field is the index of the request's field; -1 after the last parameter.
	field int
}

// A message is what the transcoder has to know about a message type. It is
// shared by all plans of a Compiler.
type message struct {
	// fields in the order of their numbers, which is the order of the vendor's
	// document: a reader that expects them in this order is mostly right.
	fields []field
	// slots finds a field by its JSON name: open addressing, index+1, 0 is free.
	slots []uint16
	shift uint8
	// additional is the wire tag of additional_properties; 0 when there is none.
	additional uint32
	// bare: the JSON array stands where the message would; fields[0] is the list.
	bare bool
}

// A field of a message, or (as the elem of a list or map) one value in it.
type field struct {
	// key is the name as it stands in a compact JSON object: `"lanIp":`.
	key string
	// name is the field's name in the proto, for errors about a request.
	name string
	// message describes the type of a kindMessage or kindBare.
	message *message
	// elem describes one value of a list or map.
	elem *field
	// retired: the property has a newer field. older are the retired fields of this
	// one's property, the newest first.
	retired *retirement
	older   []*field
	number  int32
	// tag is the number with the wire type that we write.
	tag   uint32
	kind  kind
	shape shape
}

// hiddenKey is the key of a field that never stands in a document. No JSON
// name begins so: every name begins with a quote.
const hiddenKey = "\x00"

// json is the field's name in JSON, for drift. An elem carries the path from
// its list or map: `ports[]`, `ports.*`.
func (f *field) json() string {
	if len(f.key) < 3 {
		return ""
	}
	return f.key[1 : len(f.key)-2]
}

type shape uint8

const (
	single shape = iota
	list
	dict // a map: the keys are strings
)

type kind uint8

const (
	kindString kind = iota
	kindBool
	kindInt
	kindDouble
	kindTime    // google.protobuf.Timestamp
	kindStruct  // google.protobuf.Struct
	kindValue   // google.protobuf.Value
	kindList    // google.protobuf.ListValue
	kindMessage // an object with known properties
	kindBare    // a list inside a list or map
)

// Wire types of the protobuf encoding.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// wire is the wire type of one value.
func (k kind) wire() uint32 {
	switch k {
	case kindBool, kindInt:
		return wireVarint
	case kindDouble:
		return wireFixed64
	default:
		return wireBytes
	}
}

// scalar kinds are packed in lists.
func (k kind) packed() bool { return k == kindBool || k == kindInt || k == kindDouble }

// byNumber finds a field by number, looking from the index next on first:
// writers put fields in ascending order. -1 when there is none.
func (m *message) byNumber(number uint64, next int) int {
	fields := m.fields
	if next < len(fields) && uint64(fields[next].number) <= number {
		for ; next < len(fields); next++ {
			if n := uint64(fields[next].number); n >= number {
				if n == number {
					return next
				}
				return -1
			}
		}
		return -1
	}
	low, high := 0, len(fields)
	for low < high {
		middle := int(uint(low+high) >> 1)
		if uint64(fields[middle].number) < number {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low < len(fields) && uint64(fields[low].number) == number {
		return low
	}
	return -1
}

// byKey finds a field by its JSON name; -1 when there is none.
func (m *message) byKey(name []byte) int {
	if len(m.slots) == 0 {
		return -1
	}
	mask := len(m.slots) - 1
	for at := int(hash(name) >> m.shift); ; at = (at + 1) & mask {
		slot := m.slots[at]
		if slot == 0 {
			return -1
		}
		if k := m.fields[slot-1].key; len(k) == len(name)+3 && k[1:len(k)-2] == string(name) {
			return int(slot - 1)
		}
	}
}

// index fills slots, at most half full, with the fields that stand in a document.
func (m *message) index(stands func(field int) bool) {
	bits := uint8(1)
	for 1<<bits < 2*len(m.fields) {
		bits++
	}
	m.slots = make([]uint16, 1<<bits)
	m.shift = 64 - bits
	for i := range m.fields {
		if m.fields[i].key == hiddenKey || !stands(i) {
			continue
		}
		at := int(hash([]byte(m.fields[i].json())) >> m.shift)
		for m.slots[at] != 0 {
			at = (at + 1) & (len(m.slots) - 1)
		}
		m.slots[at] = uint16(i + 1)
	}
}

// hash spreads a short name over 64 bits, the upper ones best. It reads the
// first and the last eight bytes only: names that share both and the length
// meet in one slot and are told apart by comparing.
func hash(b []byte) uint64 {
	const k1, k2 = 0x9e3779b97f4a7c15, 0xc2b2ae3d27d4eb4f
	var head, tail uint64
	switch n := len(b); {
	case n >= 8:
		head, tail = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[n-8:])
	case n >= 4:
		head, tail = uint64(binary.LittleEndian.Uint32(b)), uint64(binary.LittleEndian.Uint32(b[n-4:]))
	case n > 0:
		head = uint64(b[0]) | uint64(b[n/2])<<8 | uint64(b[n-1])<<16
	}
	h := (head ^ uint64(len(b))*k2) * k1
	h ^= h >> 32
	return (h + tail) * k2
}

// plainName tells whether a JSON name can stand between quotes as it is, so
// that comparing bytes is enough to recognise it.
func plainName(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < 0x20 || r == '"' || r == '\\' || r == 0xfffd }) < 0
}
