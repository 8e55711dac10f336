package transcode

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
)

// copyFields copies what two messages have in common by name and type, as the
// examples in each language do.
func copyFields(to, from protoreflect.Message) {
	from.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		into := to.Descriptor().Fields().ByName(fd.Name())
		switch {
		case into == nil || !sameType(into, fd):
		case fd.IsMap():
			entries := to.Mutable(into).Map()
			v.Map().Range(func(key protoreflect.MapKey, v protoreflect.Value) bool {
				entries.Set(key, v)
				return true
			})
		case fd.IsList():
			for i, list := 0, to.Mutable(into).List(); i < v.List().Len(); i++ {
				list.Append(v.List().Get(i))
			}
		default:
			to.Set(into, v)
		}
		return true
	})
}

func sameType(a, b protoreflect.FieldDescriptor) bool {
	if a.IsMap() != b.IsMap() || a.IsList() != b.IsList() || a.Kind() != b.Kind() {
		return false
	}
	if a.IsMap() {
		return a.MapKey().Kind() == b.MapKey().Kind() && sameType(a.MapValue(), b.MapValue())
	}
	return a.Message() == nil || a.Message().FullName() == b.Message().FullName()
}

// TestWriteBack: of every resource that is read by a GET and written by a PUT of
// the same path, an answer with something in every field, and in
// additional_properties, is copied into the request. What is sent says of each
// property what was read, and of every property that the request has.
func TestWriteBack(t *testing.T) {
	t.Parallel()
	reads := make(map[string]*corner)
	all := served(t)
	for _, c := range all {
		if c.op.GetVerb() == apiv1.Verb_VERB_GET {
			reads[c.op.GetPath()] = c
		}
	}
	r := filler{rand.New(rand.NewPCG(11, 12)), oddTexts, true}
	pairs, rows := 0, 0
	for _, put := range all {
		get := reads[put.op.GetPath()]
		if put.op.GetVerb() != apiv1.Verb_VERB_PUT || get == nil {
			continue
		}
		if get.plan.rows != nil && put.method.Input().Fields().ByName("items") == nil {
			rows++
			continue // a row of the list is written: TestWriteBackOfRows
		}
		pairs++
		for i := range put.plan.request.fields {
			name := put.plan.request.fields[i].name
			if put.plan.bindings[i].location == inBody && get.method.Output().Fields().ByName(protoreflect.Name(name)) == nil {
				t.Errorf("%s: %s can be written and is no part of the resource", put.op.GetId(), name)
			}
		}
		written := dynamicpb.NewMessage(get.method.Output())
		r.message(written, 0)
		if put.plan.whole >= 0 { // the document is the list alone
			clearAllBut(written, "items")
		}
		wire, err := proto.Marshal(written)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := get.plan.Document(wire)
		if err != nil {
			t.Fatal(err)
		}
		compareRoundTrip(t, get.plan, doc)
		if wire, err = get.plan.Response(nil, doc, nil, nil); err != nil {
			t.Fatal(err)
		}
		read, request := dynamicpb.NewMessage(get.method.Output()), dynamicpb.NewMessage(put.method.Input())
		if err := proto.Unmarshal(wire, read); err != nil {
			t.Fatal(err)
		}
		copyFields(request, read)
		if wire, err = proto.Marshal(request); err != nil {
			t.Fatal(err)
		}
		sent, err := put.plan.Request(withParameters(t, put.plan, put.method.Input(), wire))
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		checkWriteBack(t, put, doc, sent.Body)
	}
	t.Logf("%d resources are read and written; of %d a row", pairs, rows)
	if pairs < 146 {
		t.Errorf("%d resources are too few", pairs)
	}
}

func clearAllBut(m protoreflect.Message, name protoreflect.Name) {
	m.Range(func(fd protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		if fd.Name() != name {
			m.Clear(fd)
		}
		return true
	})
}

// TestWriteBackOfRows: where a list is read and a PUT on its path or on that of an
// element writes one row, what both have is of one type. Of an element with a GET of
// its own TestWriteBack says more.
func TestWriteBackOfRows(t *testing.T) {
	t.Parallel()
	lists := make(map[string]*corner)
	all := served(t)
	for _, c := range all {
		if c.op.GetVerb() == apiv1.Verb_VERB_GET && c.plan.rows != nil && c.plan.rows.message != nil {
			lists[c.op.GetPath()] = c
		}
	}
	pairs := 0
	for _, put := range all {
		path := put.op.GetPath()
		if i := strings.LastIndex(path, "/{"); i > 0 && strings.HasSuffix(path, "}") && strings.Count(path[i+1:], "/") == 0 {
			path = path[:i]
		}
		list := lists[path]
		if put.op.GetVerb() != apiv1.Verb_VERB_PUT || list == nil {
			continue
		}
		row := list.method.Output().Fields().ByName(protoreflect.Name(list.plan.rows.name)).Message()
		common := 0
		for i := range put.plan.request.fields {
			f := &put.plan.request.fields[i]
			fd := put.method.Input().Fields().ByNumber(protoreflect.FieldNumber(f.number))
			other := row.Fields().ByName(fd.Name())
			if other == nil || put.plan.bindings[i].location != inBody {
				continue
			}
			if common++; !sameType(fd, other) {
				t.Errorf("%s: %s has another type in the rows of %s", put.op.GetId(), f.name, list.op.GetId())
			}
		}
		if common > 0 {
			pairs++
		}
	}
	if t.Logf("%d lists whose rows are written", pairs); pairs < 50 {
		t.Errorf("%d lists whose rows are written are too few", pairs)
	}
}

// checkWriteBack compares what is sent with what was read.
func checkWriteBack(t *testing.T, put *corner, doc, body []byte) {
	t.Helper()
	was, err1 := decode(doc)
	sent, err2 := decode(body)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if put.plan.whole >= 0 {
		var d difference
		if d.compare("$", was, sent, &put.plan.request.fields[put.plan.whole], false); len(d.found) > 0 {
			t.Errorf("%s: %q", put.op.GetId(), d.found)
		}
		return
	}
	read, written := was.(map[string]any), sent.(map[string]any)
	for name, value := range written {
		var d difference
		if d.compare(name, read[name], value, (&field{kind: kindMessage, message: put.plan.request}).inside(name), false); len(d.found) > 0 {
			back, _ := json.Marshal(value)
			t.Errorf("%s: %q: %.300s", put.op.GetId(), d.found, back)
		}
	}
	for i := range put.plan.request.fields {
		f := &put.plan.request.fields[i]
		_, there := read[f.json()]
		if _, goes := written[f.json()]; there && !goes && put.plan.bindings[i].location == inBody {
			t.Errorf("%s: %s was read and is not sent: the field has another type in the answer", put.op.GetId(), f.name)
		}
	}
}
