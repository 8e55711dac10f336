package lock

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"

	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/protofile"
)

// gone begins the comment of what the document no longer has.
const gone = "Not in the document since "

// reserve carries over what is reserved already.
func reserve(m *protofile.Message, d protoreflect.MessageDescriptor) {
	for i := range d.ReservedRanges().Len() {
		r := d.ReservedRanges().Get(i)
		m.Reserve(protofile.Range{First: int32(r[0]), Last: int32(r[1]) - 1})
	}
	for i := range d.ReservedNames().Len() {
		m.ReserveName(string(d.ReservedNames().Get(i)))
	}
}

// keepField copies a field as it is.
func keepField(d protoreflect.FieldDescriptor) *protofile.Field {
	f := &protofile.Field{
		Name: string(d.Name()), Number: int32(d.Number()), Type: typeText(d), Comment: comment(d), JSON: d.JSONName(),
		Deprecated: deprecated(d),
	}
	if b := binding(d); b != nil {
		f.Binding = b
	}
	return f
}

func deprecated(d protoreflect.FieldDescriptor) bool {
	o, ok := d.Options().(*descriptorpb.FieldOptions)
	return ok && o.GetDeprecated()
}

func binding(d protoreflect.FieldDescriptor) *apiv1.Binding {
	if !proto.HasExtension(d.Options(), apiv1.E_Binding) {
		return nil
	}
	b, _ := proto.GetExtension(d.Options(), apiv1.E_Binding).(*apiv1.Binding)
	return b
}

// retired reports whether the field has given its property to a newer one.
func retired(d protoreflect.FieldDescriptor) bool {
	return deprecated(d) && binding(d).GetLocation() == apiv1.Location_LOCATION_NONE
}

// replaced reports whether a retired field says by which it was replaced. The
// others have gone where nothing can be sent.
func replaced(d protoreflect.FieldDescriptor) bool {
	lines := comment(d)
	return retired(d) && len(lines) > 0 && strings.HasPrefix(lines[0], replacedBy)
}

// replacedBy begins the comment of a field whose property has another one now.
const replacedBy = "Replaced by "

// wire is the vendor's name of the field's property.
func wire(d protoreflect.FieldDescriptor) string {
	if name := binding(d).GetName(); name != "" {
		return name
	}
	return d.JSONName()
}

// keepRPC copies an RPC whose operation has gone; it stays, deprecated.
func keepRPC(d protoreflect.MethodDescriptor, version string) *protofile.RPC {
	option, _ := proto.GetExtension(d.Options(), apiv1.E_Operation).(*apiv1.Operation)
	return &protofile.RPC{
		Name: string(d.Name()), Comment: farewell(comment(d), version),
		Request: reference(d.Input(), d.ParentFile()), Response: reference(d.Output(), d.ParentFile()),
		Streaming: d.IsStreamingServer(), Deprecated: true, Operation: proto.CloneOf(option),
	}
}

// farewell says once since when something has gone.
func farewell(lines []string, version string) []string {
	for _, l := range lines {
		if strings.HasPrefix(l, gone) {
			return lines
		}
	}
	return append(lines, fmt.Sprintf("%s%s; kept, because a contract does not shrink.", gone, version))
}

// reference names a message from inside a file.
func reference(m protoreflect.MessageDescriptor, from protoreflect.FileDescriptor) string {
	if m.ParentFile().Package() == from.Package() {
		return strings.TrimPrefix(string(m.FullName()), string(from.Package())+".")
	}
	return string(m.FullName())
}

func typeText(d protoreflect.FieldDescriptor) string {
	if d.IsMap() {
		return "map<string, " + bare(d.MapValue()) + ">"
	}
	switch {
	case d.IsList():
		return "repeated " + bare(d)
	case d.HasOptionalKeyword():
		return "optional " + bare(d)
	}
	return bare(d)
}

func bare(d protoreflect.FieldDescriptor) string {
	m := d.Message()
	switch {
	case m == nil:
		return d.Kind().String()
	case m.Parent() == d.ContainingMessage() ||
		d.ContainingMessage().IsMapEntry() && m.Parent() == d.ContainingMessage().Parent():
		return string(m.Name())
	case m.ParentFile().Package() == d.ParentFile().Package() && m.Parent() != m.ParentFile():
		return "." + string(m.FullName())
	}
	return reference(m, d.ParentFile())
}

// comment is the comment above a declaration, line by line.
func comment(d protoreflect.Descriptor) []string {
	text := d.ParentFile().SourceLocations().ByDescriptor(d).LeadingComments
	text = strings.TrimSuffix(text, "\n")
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimPrefix(l, " ")
	}
	return lines
}
