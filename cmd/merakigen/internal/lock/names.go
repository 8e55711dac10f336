package lock

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"

	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/model"
	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/protofile"
)

// unfit are names that a nested message must not have, because generated code
// has another thing of that name inside every message: Builder in Java, Types in
// C#, and the members of C++ and Python messages; Self is a keyword in Rust and
// Swift.
var unfit = []string{
	"builder", "types", "parser", "descriptor", "clear", "swap", "new", "copyfrom", "mergefrom", "clone", "equals",
	"self", "none", "true", "false", "type", "protocol", "extensions",
}

// names are those that one message has given away already.
type names struct {
	fields map[string]bool // as protoc compares default JSON names: lower case, no underscores
	json   map[string]bool
	types  map[string]bool // lower case
	unfit  map[string]bool // lower case: what no nested message here may be called
	// claimed are fields of our own whose names are set aside.
	claimed map[string]bool
	// methods are the fields so far with their accessors, and derived the accessors
	// of all fields, those without a name yet too.
	methods, derived map[string]bool
}

func newNames(old protoreflect.MessageDescriptor, enclosing []string) *names {
	n := &names{
		fields: make(map[string]bool), json: make(map[string]bool), types: make(map[string]bool),
		unfit: make(map[string]bool), claimed: make(map[string]bool),
		methods: make(map[string]bool), derived: make(map[string]bool),
	}
	for _, e := range slices.Concat(unfit, enclosing) {
		n.unfit[strings.ToLower(e)] = true
	}
	if old == nil {
		return n
	}
	for i := range old.Fields().Len() {
		d := old.Fields().Get(i)
		n.fields[plain(string(d.Name()))] = true
		n.json[d.JSONName()] = true
	}
	for i := range old.ReservedNames().Len() {
		n.fields[plain(string(old.ReservedNames().Get(i)))] = true
	}
	for i := range old.Messages().Len() { // map entries too
		n.types[strings.ToLower(string(old.Messages().Get(i).Name()))] = true
	}
	return n
}

func plain(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "")) }

// claim sets the names of our own fields aside before properties are named, so
// that a property called nullFields cannot take the mask's.
func (n *names) claim(p *model.Prop) {
	if p.Location == apiv1.Location_LOCATION_NONE && !n.fields[plain(p.Proto)] && !n.json[protofile.JSONName(p.Proto)] {
		n.fields[plain(p.Proto)] = true
		n.json[protofile.JSONName(p.Proto)] = true
		n.claimed[p.Proto] = true
		n.made(p.Proto, p.Type.Label)
	}
}

// field chooses the proto name and the JSON name of a new field.
func (n *names) field(p *model.Prop, label model.Label) (name, json string) {
	if p.Location == apiv1.Location_LOCATION_NONE && n.claimed[p.Proto] {
		return p.Proto, protofile.JSONName(p.Proto)
	}
	base := p.Proto
	if base == "" {
		base = model.Snake(p.Name)
	}
	if !n.fields[plain(base)] && n.mistaken(base, label) {
		base += "_value"
	}
	name = base
	for i := 2; n.fields[plain(name)] || n.mistaken(name, label); i++ {
		name = fmt.Sprintf("%s_v%d", base, i)
	}
	n.fields[plain(name)] = true
	n.made(name, label)
	json = p.Name
	if p.Proto != "" || n.json[json] || strings.HasPrefix(json, "[") {
		json = protofile.JSONName(name)
	}
	for i := 2; n.json[json]; i++ {
		json = fmt.Sprintf("%sV%d", protofile.JSONName(name), i)
	}
	n.json[json] = true
	if p.Type.Label == model.Map || slices.ContainsFunc(p.Others, func(t model.Type) bool { return t.Label == model.Map }) {
		n.types[plain(name)+"entry"] = true
	}
	return name, json
}

// message chooses the name of a new nested message: the property's.
func (n *names) message(p *model.Prop, t model.Type) string {
	base := model.Pascal(p.Name)
	if p.Proto == "items" || p.Name == "[]" || p.Name == "items" && t.Label == model.Many {
		base = "Item"
	}
	if t.Object.Wrapper {
		base += "List"
	}
	if n.unfit[strings.ToLower(base)] {
		base += "Value"
	}
	name := base
	for i := 2; n.types[strings.ToLower(name)] || n.unfit[strings.ToLower(name)]; i++ {
		name = fmt.Sprintf("%sV%d", base, i)
	}
	n.types[strings.ToLower(name)] = true
	return name
}

// Numbers that no property gets: those of the fields of our own, and those that
// protobuf keeps for itself.
const (
	firstOurs  = model.ItemsNumber
	lastOurs   = model.AdditionalPropertiesNumber
	firstTaken = 19000
	lastTaken  = 19999
)

// nextNumber is the first number after all that were ever used.
func nextNumber(old protoreflect.MessageDescriptor) int32 {
	last := int32(0)
	if old != nil {
		for i := range old.Fields().Len() {
			if n := int32(old.Fields().Get(i).Number()); n < firstOurs || n > lastOurs {
				last = max(last, n)
			}
		}
		for i := range old.ReservedRanges().Len() {
			last = max(last, int32(old.ReservedRanges().Get(i)[1])-1)
		}
	}
	return after(last)
}

func after(n int32) int32 {
	switch n++; {
	case n >= firstOurs && n <= lastOurs:
		return lastOurs + 1
	case n >= firstTaken && n <= lastTaken:
		return lastTaken + 1
	}
	return n
}
