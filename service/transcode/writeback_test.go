package transcode

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
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

// otherInRequests are operations whose request has a property of another type
// than the answer.
var otherInRequests = map[string]string{
	"updateOrganizationApplianceVpnSiteToSiteIpsecPeersSlas": "the answer is a collection, and its rows are no part of the resource's message",
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
	pairs := 0
	for _, put := range all {
		get := reads[put.op.GetPath()]
		if put.op.GetVerb() != apiv1.Verb_VERB_PUT || get == nil || get.plan.root != nil && !get.plan.both || put.plan.whole >= 0 {
			continue // no resource, or one that is a list
		}
		pairs++
		for i := range put.plan.request.fields {
			name := put.plan.request.fields[i].name
			if put.plan.bindings[i].location == inBody && get.method.Output().Fields().ByName(protoreflect.Name(name)) == nil && !ofRow(get, name) {
				t.Errorf("%s: %s can be written and is no part of the resource", put.op.GetId(), name)
			}
		}
		written := dynamicpb.NewMessage(get.method.Output())
		r.message(written, 0)
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
	t.Logf("%d resources are read and written", pairs)
	if pairs < 140 {
		t.Errorf("%d resources are too few", pairs)
	}
}

// ofRow tells a field of the rows of a collection.
func ofRow(get *corner, name string) bool {
	rows := get.plan.rows
	return rows != nil && rows.message != nil && slices.ContainsFunc(rows.message.fields, func(f field) bool { return f.name == name })
}

// checkWriteBack compares what is sent with what was read.
func checkWriteBack(t *testing.T, put *corner, doc, body []byte) {
	t.Helper()
	was, err1 := decode(doc)
	sent, err2 := decode(body)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
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
		if _, goes := written[f.json()]; there && !goes && put.plan.bindings[i].location == inBody && otherInRequests[put.op.GetId()] == "" {
			t.Errorf("%s: %s was read and is not sent: the field has another type in the answer", put.op.GetId(), f.name)
		}
	}
}
