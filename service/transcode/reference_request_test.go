package transcode

import (
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
)

// A plainRequest is what a request means, before anything is escaped: written
// plainly over a dynamic message, to judge the writer by.
type plainRequest struct {
	params []string
	path   string
	query  [][2]string
	body   any // nil: none
}

// A refError is thrown where the writer has to refuse: so the reading above stays a
// plain description. plainOf catches it, and nothing else.
type refError struct{ why string }

func (e *refError) Error() string { return e.why }

// unmarshal is proto.Unmarshal, which panics over a map's key of another type.
func unmarshal(wire []byte, m proto.Message) (err error) {
	defer func() {
		if e := recover(); e != nil {
			err = fmt.Errorf("%v", e)
		}
	}()
	return proto.Unmarshal(wire, m)
}

// plainOf reads a request message; an error when the writer has to refuse it.
func plainOf(c *corner, wire []byte) (r *plainRequest, err error) {
	defer func() {
		switch e := recover().(type) {
		case nil:
		case *refError:
			r, err = nil, e
		default:
			panic(e) // a mistake of the reference itself
		}
	}()
	m := dynamicpb.NewMessage(c.method.Input())
	if err := unmarshal(wire, m); err != nil {
		return nil, err
	}
	refKnown(m)
	r = &plainRequest{path: c.op.GetPath()}
	body, hasBody := make(map[string]any), false
	values := make(map[string]string)
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		loc, name := refLocation(c.op, fd)
		switch fd.Name() {
		case "null_fields", "empty_fields":
			hasBody = true
			continue
		case "additional_properties":
			if verb := c.op.GetVerb(); verb == apiv1.Verb_VERB_PUT || verb == apiv1.Verb_VERB_POST {
				hasBody = true
			} else if m.Has(fd) {
				return nil, &refError{"a query takes none"}
			}
			continue
		}
		hasBody = hasBody || loc == apiv1.Location_LOCATION_BODY
		if !m.Has(fd) || refReplaced(m, fd) {
			continue
		}
		if heir := refHeir(fd); heir != nil {
			loc, _ = refLocation(c.op, heir)
		}
		if fd.Options().(*descriptorpb.FieldOptions).GetDeprecated() && (loc == apiv1.Location_LOCATION_NONE || loc == apiv1.Location_LOCATION_PATH) {
			return nil, &refError{"no place for " + name}
		}
		switch loc {
		case apiv1.Location_LOCATION_PATH:
			values[name] = refText(fd, m.Get(fd))
		case apiv1.Location_LOCATION_QUERY:
			r.addQuery(fd, name, m.Get(fd))
		case apiv1.Location_LOCATION_BODY:
			body[name] = refJSON(fd, m.Get(fd))
		}
	}
	for _, part := range strings.Split(c.op.GetPath(), "{")[1:] {
		name, _, _ := strings.Cut(part, "}")
		v := values[name]
		if !refSegment.MatchString(v) || refFile.MatchString(v) {
			return nil, &refError{"path parameter " + name}
		}
		r.params = append(r.params, v)
		r.path = strings.Replace(r.path, "{"+name+"}", strings.ReplaceAll(url.QueryEscape(v), "+", "%20"), 1)
	}
	if hasBody {
		more := refKept(m)
		isProperty := func(name string) bool {
			fd := refBodyField(c.op, m.Descriptor(), name)
			return fd != nil && refWholeField(c.op, m.Descriptor()) != string(fd.Name())
		}
		whole, there := more["_json"]
		if there = there && len(more) == 1 && !isProperty("_json"); there {
			_, object := whole.(map[string]any)
			there = !object
		}
		for name, v := range more {
			if !there && slices.Contains(strings.Split(c.op.GetPath(), "/"), "{"+name+"}") && !isProperty(name) {
				return nil, &refError{"a parameter of the path"}
			}
			refPut(body, name, extra{v})
		}
		for _, mask := range []protoreflect.Name{"null_fields", "empty_fields"} {
			fd := fields.ByName(mask)
			if fd == nil || !m.Has(fd) {
				continue
			}
			paths := m.Get(fd).List()
			for i := range paths.Len() {
				refMask(c.op, m.Descriptor(), body, strings.Split(paths.Get(i).String(), "."), mask == "empty_fields")
			}
		}
		if there && len(body) > 1 {
			return nil, &refError{"_json beside others"}
		}
		if there {
			r.body = refWhole(whole)
			return r, refRequired(c.op, whole)
		}
		if c.op.GetVerb() == apiv1.Verb_VERB_PUT && len(body) == 0 && refHasList(c.op, m.Descriptor()) {
			return nil, &refError{"an update that changes nothing"}
		}
		r.body = any(body)
		if name := refWholeField(c.op, m.Descriptor()); name != "" && len(more) == 0 {
			_, key := refBinding(fields.ByName(protoreflect.Name(name)))
			value, there := body[key]
			if !there {
				return nil, &refError{"no body"}
			}
			r.body = refWhole(value)
		} else if name != "" && len(body) > len(more) {
			return nil, &refError{"more than the whole body"}
		}
	}
	return r, refRequired(c.op, r.body)
}

func refHasList(op *apiv1.Operation, d protoreflect.MessageDescriptor) bool {
	last := op.GetPath()[strings.LastIndex(op.GetPath(), "/")+1:]
	for i := range d.Fields().Len() {
		fd := d.Fields().Get(i)
		if loc, name := refLocation(op, fd); loc == apiv1.Location_LOCATION_BODY && fd.IsList() && strings.HasSuffix(strings.ToLower(last), strings.ToLower(name)) {
			return true
		}
	}
	return false
}

// refWholeField names the field that is the whole body: as the operation says, or
// because the vendor's only property of it is _json.
func refWholeField(op *apiv1.Operation, d protoreflect.MessageDescriptor) string {
	only := 0
	for i := range d.Fields().Len() {
		if loc, _ := refLocation(op, d.Fields().Get(i)); loc == apiv1.Location_LOCATION_BODY {
			only++
		}
	}
	if fd := refBodyField(op, d, "_json"); op.GetRequestField() == "" && fd != nil && only == 1 {
		return string(fd.Name())
	}
	return op.GetRequestField()
}

// refWhole is a value that is the whole body.
func refWhole(v any) any {
	if v == nil {
		return nullBody
	}
	return v
}

// An extra is a value that comes of additional_properties: no mask may name it.
type extra struct{ value any }

// refKept gives what a message's additional_properties hold; nil when it has none.
func refKept(m protoreflect.Message) map[string]any {
	fd := refAdditional(m.Descriptor())
	if fd == nil || !m.Has(fd) {
		return nil
	}
	return refOne(fd, m.Get(fd)).(map[string]any)
}

// refHeir gives the field that has a retired field's property now; nil when the
// field is not retired.
func refHeir(fd protoreflect.FieldDescriptor) protoreflect.FieldDescriptor {
	loc, name := refBinding(fd)
	if loc != apiv1.Location_LOCATION_NONE || !fd.Options().(*descriptorpb.FieldOptions).GetDeprecated() {
		return nil
	}
	return refByKey(fd.ContainingMessage(), name)
}

// refReplaced tells whether a message has a retired field's property in a newer
// one, which has to say the same.
func refReplaced(m protoreflect.Message, fd protoreflect.FieldDescriptor) bool {
	heir := refHeir(fd)
	if heir == nil {
		return false
	}
	_, name := refBinding(fd)
	for _, newer := range append([]protoreflect.FieldDescriptor{heir}, refOlder(m.Descriptor(), name)...) {
		if !m.Has(newer) || newer != heir && newer.Number() <= fd.Number() {
			continue
		}
		if was, is := refJSON(fd, m.Get(fd)), refJSON(newer, m.Get(newer)); fd.IsList() || newer.IsList() || !sameScalar(was, is, true) {
			panic(&refError{"two values for " + name})
		}
		return true
	}
	return false
}

// refPut sets a member that must not be there yet.
func refPut(object map[string]any, name string, v any) {
	if _, there := object[name]; there {
		panic(&refError{"two values for " + name})
	}
	object[name] = v
}

// refBodyField finds the field of the body with a name.
func refBodyField(op *apiv1.Operation, d protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	for i := range d.Fields().Len() {
		if loc, n := refLocation(op, d.Fields().Get(i)); n == name && loc == apiv1.Location_LOCATION_BODY {
			return d.Fields().Get(i)
		}
	}
	return nil
}

// nullBody tells a body that is null from none.
const nullBody = "the body is null"

// refKnown refuses fields that the contract does not have, anywhere.
func refKnown(m protoreflect.Message) {
	if len(m.GetUnknown()) > 0 {
		panic(&refError{"unknown field"})
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap():
			v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				if fd.MapValue().Message() != nil {
					refKnown(v.Message())
				}
				return true
			})
		case fd.Message() == nil:
		case fd.IsList():
			for i := range v.List().Len() {
				refKnown(v.List().Get(i).Message())
			}
		default:
			refKnown(v.Message())
		}
		return true
	})
}

func refLocation(op *apiv1.Operation, fd protoreflect.FieldDescriptor) (apiv1.Location, string) {
	loc, name := refBinding(fd)
	switch {
	case loc != apiv1.Location_LOCATION_UNSPECIFIED:
	case strings.Contains(op.GetPath(), "{"+name+"}"):
		loc = apiv1.Location_LOCATION_PATH
	case op.GetVerb() == apiv1.Verb_VERB_GET || op.GetVerb() == apiv1.Verb_VERB_DELETE:
		loc = apiv1.Location_LOCATION_QUERY
	default:
		loc = apiv1.Location_LOCATION_BODY
	}
	return loc, name
}

func refText(fd protoreflect.FieldDescriptor, v protoreflect.Value) string {
	switch x := refOne(fd, v).(type) {
	case string:
		return x
	case json.Number:
		return x.String()
	default:
		return fmt.Sprint(x)
	}
}

func (r *plainRequest) addQuery(fd protoreflect.FieldDescriptor, key string, v protoreflect.Value) {
	if fd.IsList() {
		for i := range v.List().Len() {
			r.addPair(fd, key+"[]", v.List().Get(i))
		}
		return
	}
	r.addPair(fd, key, v)
}

func (r *plainRequest) addPair(fd protoreflect.FieldDescriptor, key string, v protoreflect.Value) {
	if fd.Message() == nil || refIs(fd, "google.protobuf.Timestamp") {
		r.query = append(r.query, [2]string{key, refText(fd, v)})
		return
	}
	if refKept(v.Message()) != nil {
		panic(&refError{"a query takes none"})
	}
	fields := fd.Message().Fields()
	for i := range fields.Len() {
		inner := fields.Get(i)
		if v.Message().Has(inner) {
			_, name := refBinding(inner)
			if !fd.IsList() {
				name = "[" + name + "]"
			}
			r.addQuery(inner, key+name, v.Message().Get(inner))
		}
	}
}

func refJSON(fd protoreflect.FieldDescriptor, v protoreflect.Value) any {
	switch {
	case fd.IsMap():
		object := make(map[string]any)
		v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
			object[k.String()] = refOne(fd.MapValue(), v)
			return true
		})
		return object
	case fd.IsList():
		all := []any{}
		for i := range v.List().Len() {
			all = append(all, refOne(fd, v.List().Get(i)))
		}
		return all
	}
	return refOne(fd, v)
}

func refOne(fd protoreflect.FieldDescriptor, v protoreflect.Value) any {
	switch fd.Kind() {
	case protoreflect.StringKind:
		return v.String()
	case protoreflect.BoolKind:
		return v.Bool()
	case protoreflect.Int64Kind:
		return json.Number(strconv.FormatInt(v.Int(), 10))
	case protoreflect.DoubleKind:
		return refNumberText(v.Float())
	}
	m := v.Message()
	fields := m.Descriptor().Fields()
	switch m.Descriptor().FullName() {
	case "google.protobuf.Timestamp":
		seconds, nanos := m.Get(fields.ByName("seconds")).Int(), m.Get(fields.ByName("nanos")).Int()
		if nanos < 0 || nanos > 999999999 || seconds < -62135596800 || seconds > 253402300799 {
			panic(&refError{"timestamp"})
		}
		return strings.Replace(time.Unix(seconds, nanos).UTC().Format("2006-01-02T15:04:05.000000000"), ".000000000", "", 1) + "Z"
	case "google.protobuf.Struct":
		return refJSON(fields.ByName("fields"), m.Get(fields.ByName("fields")))
	case "google.protobuf.ListValue":
		return refJSON(fields.ByName("values"), m.Get(fields.ByName("values")))
	case "google.protobuf.Value":
		set := m.WhichOneof(m.Descriptor().Oneofs().Get(0))
		if set == nil {
			panic(&refError{"value without a kind"})
		}
		if set.Name() == "null_value" {
			return nil
		}
		return refOne(set, m.Get(set))
	}
	if refBare(fd) {
		return refJSON(fields.Get(0), m.Get(fields.Get(0)))
	}
	object := make(map[string]any)
	for i := range fields.Len() {
		if inner := fields.Get(i); m.Has(inner) && inner.Name() != "additional_properties" && !refReplaced(m, inner) {
			_, name := refBinding(inner)
			object[name] = refJSON(inner, m.Get(inner))
		}
	}
	for name, v := range refKept(m) {
		refPut(object, name, extra{v})
	}
	return object
}

func refNumberText(f float64) json.Number {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		panic(&refError{"not a number"})
	}
	return json.Number(strconv.FormatFloat(f, 'g', -1, 64))
}

// What may stand in a segment of a path, and the endings that may not.
var (
	refSegment = regexp.MustCompile(`^[A-Za-z0-9._~!$&'()*+,:=@-]*[A-Za-z0-9_~!$&'()*+,:=@-]$`)
	refFile    = regexp.MustCompile(`\.[A-Za-z]+$`)
)
