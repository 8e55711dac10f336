package transcode

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// bodyPlan reads a request's body as if it were a response.
func bodyPlan(p *Plan, fields *message) *Plan {
	as := &Plan{operation: p.operation, response: &message{fields: slices.Clone(fields.fields), additional: fields.additional}, properties: true}
	for i := range as.response.fields {
		f := &as.response.fields[i]
		if p.bindings[i].location != inBody {
			f.key = hiddenKey
		}
		if i == p.whole {
			as.root, as.properties = f, false
		}
	}
	as.response.index(func(int) bool { return true })
	return as
}

// withParameters fills the parameters of the path.
func withParameters(t testing.TB, p *Plan, d protoreflect.MessageDescriptor, wire []byte) []byte {
	t.Helper()
	message := dynamicpb.NewMessage(d)
	if err := proto.Unmarshal(wire, message); err != nil {
		t.Fatal(err)
	}
	for i, piece := range p.template {
		if piece.field >= 0 {
			fd := d.Fields().ByNumber(protoreflect.FieldNumber(p.request.fields[piece.field].number))
			v := protoreflect.ValueOfString(fmt.Sprintf("p%d", i))
			if fd.Kind() == protoreflect.Int64Kind {
				v = protoreflect.ValueOfInt64(int64(i))
			}
			message.Set(fd, v)
		}
	}
	wire, err := (proto.MarshalOptions{Deterministic: true}).Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	return wire
}

// bodyOf parses a body, without the parameters of the path that an example may
// show among its properties.
func bodyOf(t testing.TB, p *Plan, doc []byte) any {
	t.Helper()
	parsed, err := decode(doc)
	if err != nil {
		t.Fatal(err)
	}
	object, _ := parsed.(map[string]any)
	if whole, there := object[wholeKey]; there && p.whole >= 0 && len(object) == 1 {
		return whole
	}
	if namesPath(p, object) {
		for _, name := range p.names {
			delete(object, name)
		}
	}
	return parsed
}

// namesPath tells a body that has a parameter of the path among its properties.
func namesPath(p *Plan, body map[string]any) bool {
	return slices.ContainsFunc(p.names, func(name string) bool {
		_, there := body[name]
		return there && p.request.byKey([]byte(name)) < 0
	})
}

// requestWire writes the request message whose body is doc: the reader does it,
// told to take the request's body fields for a response.
func requestWire(t testing.TB, p *Plan, d protoreflect.MessageDescriptor, doc []byte, masks bool) (wire []byte, drifts []string) {
	t.Helper()
	parsed := bodyOf(t, p, doc)
	doc, err := json.Marshal(parsed)
	if err != nil {
		t.Fatal(err)
	}
	as := bodyPlan(p, p.request)
	if wire, err = as.Response(nil, doc, nil, func(path string, d Drift) { drifts = append(drifts, path+" "+d.String()) }); err != nil {
		t.Fatal(err)
	}
	if empties := emptyPaths(as.response, "", parsed); masks && len(empties) > 0 {
		message := dynamicpb.NewMessage(d)
		if err := proto.Unmarshal(wire, message); err != nil {
			t.Fatal(err)
		}
		list := message.Mutable(d.Fields().ByName("empty_fields")).List()
		for _, path := range empties {
			list.Append(protoreflect.ValueOfString(path))
		}
		if wire, err = proto.Marshal(message); err != nil {
			t.Fatal(err)
		}
	}
	return withParameters(t, p, d, wire), drifts
}

// emptyPaths lists what empty_fields has to name: the lists and maps of a body
// that are empty. What is empty inside of an element stands in the element's
// additional_properties.
func emptyPaths(m *message, prefix string, v any) (paths []string) {
	object, _ := v.(map[string]any)
	for i := range m.fields {
		f := &m.fields[i]
		value, there := object[f.json()]
		switch {
		case !there:
		case isEmpty(value) && f.shape != single:
			paths = append(paths, prefix+f.name)
		case f.shape == single && f.kind == kindMessage:
			paths = append(paths, emptyPaths(f.message, prefix+f.name+".", value)...)
		}
	}
	return paths
}
