//go:build openapi

package transcode

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// A difference compares a document with what came back from the wire. Two
// things are the same to protobuf and not to JSON: an empty list or map and an
// absent one, and two spellings of one instant.
type difference struct {
	found   []string
	empties int
}

func (d *difference) compare(path string, want, got any) {
	switch want := want.(type) {
	case map[string]any:
		got, ok := got.(map[string]any)
		if !ok {
			d.found = append(d.found, fmt.Sprintf("%s: %v became %v", path, want, got))
			return
		}
		for key, value := range want {
			back, there := got[key]
			switch {
			case there:
				d.compare(path+"."+key, value, back)
			case isEmpty(value):
				d.empties++
			default:
				d.found = append(d.found, path+"."+key+" is lost")
			}
		}
		for key := range got {
			if _, there := want[key]; !there {
				d.found = append(d.found, path+"."+key+" is invented")
			}
		}
	case []any:
		got, _ := got.([]any)
		if len(got) != len(want) {
			d.found = append(d.found, fmt.Sprintf("%s: %d elements became %d", path, len(want), len(got)))
			return
		}
		for i := range want {
			d.compare(fmt.Sprintf("%s[%d]", path, i), want[i], got[i])
		}
	default:
		if !sameScalar(want, got) {
			d.found = append(d.found, fmt.Sprintf("%s: %v became %v", path, want, got))
		}
	}
}

func isEmpty(v any) bool {
	switch v := v.(type) {
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

func sameScalar(want, got any) bool {
	if want == got {
		return true
	}
	switch want := want.(type) {
	case json.Number:
		got, ok := got.(json.Number)
		a, err1 := want.Float64()
		b, err2 := got.Float64()
		return ok && err1 == nil && err2 == nil && a == b && max(len(want), len(got)) < 16
	case string:
		got, _ := got.(string)
		a, ok1, _ := refTime(want)
		b, ok2, _ := refTime(got)
		return ok1 && ok2 && a.Equal(b)
	}
	return false
}

func decode(t *testing.T, doc []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%.200s: %v", doc, err)
	}
	return v
}

// requestWire writes the request message whose body is doc: the reader does it,
// told to take the request's body fields for a response.
func requestWire(t testing.TB, p *Plan, d protoreflect.MessageDescriptor, doc []byte, masks bool) (wire []byte, drifts []string) {
	t.Helper()
	body := bodyMessage(p)
	var err error
	drift := func(path string, d Drift) { drifts = append(drifts, path+" "+d.String()) }
	as := &Plan{operation: p.operation, response: body}
	if wire, err = as.Response(nil, doc, nil, drift); err != nil {
		t.Fatal(err)
	}
	var parsed any
	if err := json.Unmarshal(doc, &parsed); err != nil {
		t.Fatal(err)
	}
	message := dynamicpb.NewMessage(d)
	if err := proto.Unmarshal(wire, message); err != nil {
		t.Fatal(err)
	}
	for i, piece := range p.template {
		if piece.field >= 0 {
			fd := d.Fields().ByNumber(protoreflect.FieldNumber(p.request.fields[piece.field].number))
			v := protoreflect.ValueOfString(fmt.Sprintf("p %d", i))
			if fd.Kind() == protoreflect.Int64Kind {
				v = protoreflect.ValueOfInt64(int64(i))
			}
			message.Set(fd, v)
		}
	}
	if empties := emptyPaths(body, "", parsed); masks && len(empties) > 0 {
		mask := message.Mutable(d.Fields().ByName("empty_fields")).Message()
		list := mask.Mutable(mask.Descriptor().Fields().ByName("paths")).List()
		for _, path := range empties {
			list.Append(protoreflect.ValueOfString(path))
		}
	}
	if wire, err = (proto.MarshalOptions{Deterministic: true}).Marshal(message); err != nil {
		t.Fatal(err)
	}
	return wire, drifts
}

// bodyMessage is the request with only the fields of its body.
func bodyMessage(p *Plan) *message {
	m := &message{fields: slices.Clone(p.request.fields)}
	for i := range m.fields {
		if p.bindings[i].location != inBody {
			m.fields[i].key = hiddenKey
		}
	}
	m.index()
	return m
}

// emptyPaths lists what empty_fields has to name: the lists and maps of a body
// that are empty.
func emptyPaths(m *message, prefix string, v any) (paths []string) {
	object, _ := v.(map[string]any)
	for i := range m.fields {
		f := &m.fields[i]
		value, there := object[f.json()]
		if !there {
			continue
		}
		path := prefix + f.name
		switch value := value.(type) {
		case []any:
			if len(value) == 0 && f.shape == list {
				paths = append(paths, path)
			}
			for n, element := range value {
				if f.kind == kindMessage {
					paths = append(paths, emptyPaths(f.message, fmt.Sprintf("%s.%d.", path, n), element)...)
				}
			}
		case map[string]any:
			switch {
			case f.shape == dict && len(value) == 0:
				paths = append(paths, path)
			case f.shape == dict && f.kind == kindMessage:
				for key, element := range value {
					paths = append(paths, emptyPaths(f.message, path+"."+key+".", element)...)
				}
			case f.shape == single && f.kind == kindMessage:
				paths = append(paths, emptyPaths(f.message, path+".", value)...)
			}
		}
	}
	return paths
}
