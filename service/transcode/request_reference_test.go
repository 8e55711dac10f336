package transcode

import (
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
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
		if fd.Message() != nil && fd.Message().FullName() == "google.protobuf.FieldMask" {
			hasBody = true
			continue
		}
		loc, name := refLocation(c.op, fd)
		hasBody = hasBody || loc == apiv1.Location_LOCATION_BODY
		if !m.Has(fd) {
			continue
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
		if v == "" || v == "." || v == ".." {
			return nil, &refError{"path parameter " + name}
		}
		r.params = append(r.params, v)
		r.path = strings.Replace(r.path, "{"+name+"}", strings.ReplaceAll(url.QueryEscape(v), "+", "%20"), 1)
	}
	if hasBody {
		r.body = any(body)
		for _, mask := range []protoreflect.Name{"null_fields", "empty_fields"} {
			fd := fields.ByName(mask)
			if fd == nil || !m.Has(fd) {
				continue
			}
			paths := m.Get(fd).Message().Get(fd.Message().Fields().ByName("paths")).List()
			for i := range paths.Len() {
				refMask(c.op, m.Descriptor(), body, strings.Split(paths.Get(i).String(), "."), mask == "empty_fields")
			}
		}
		if name := c.op.GetRequestField(); name != "" {
			_, key := refBinding(fields.ByName(protoreflect.Name(name)))
			value, there := body[key]
			if !there {
				return nil, &refError{"no body"}
			}
			r.body = value
			if r.body == nil {
				r.body = nullBody
			}
		}
	}
	return r, nil
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
		if inner := fields.Get(i); m.Has(inner) {
			_, name := refBinding(inner)
			object[name] = refJSON(inner, m.Get(inner))
		}
	}
	return object
}

func refNumberText(f float64) json.Number {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		panic(&refError{"not a number"})
	}
	return json.Number(strconv.FormatFloat(f, 'g', -1, 64))
}

// refMask puts null or an empty list or object at a place of the body.
func refMask(op *apiv1.Operation, d protoreflect.MessageDescriptor, object map[string]any, path []string, empty bool) {
	fd := d.Fields().ByName(protoreflect.Name(path[0]))
	if fd == nil {
		panic(&refError{"no field " + path[0]})
	}
	_, name := refBinding(fd)
	if op != nil {
		var loc apiv1.Location
		if loc, name = refLocation(op, fd); loc != apiv1.Location_LOCATION_BODY {
			panic(&refError{"not in the body"})
		}
	}
	value, there := object[name]
	set := func(v any) { object[name] = v }
	refMaskAt(fd, fd.IsList(), fd.IsMap(), value, there, set, path[1:], empty)
}

// A mark is what a mask has put into the body; naming it again is fine, naming
// something in it is not.
type mark struct{ empty bool }

func refMaskAt(fd protoreflect.FieldDescriptor, inList, inMap bool, value any, there bool, set func(any), path []string, empty bool) {
	if old, marked := value.(mark); marked {
		if len(path) > 0 || old.empty != empty {
			panic(&refError{"two masks for one place"})
		}
		return
	}
	if len(path) == 0 {
		if there {
			panic(&refError{"has a value"})
		}
		message := fd.Message()
		if !inList && !inMap && empty && (message == nil || fd.IsMap() && fd.MapValue().Message() == nil ||
			slices.Contains([]protoreflect.FullName{"google.protobuf.Timestamp", "google.protobuf.Value"}, message.FullName())) {
			panic(&refError{"a scalar cannot be empty"})
		}
		set(mark{empty})
		return
	}
	switch {
	case inList:
		list, _ := value.([]any)
		found := false
		for i := range list {
			if path[0] == "*" || path[0] == strconv.Itoa(i) {
				found = true
				refMaskAt(fd, false, false, list[i], true, func(v any) { list[i] = v }, path[1:], empty)
			}
		}
		if !found {
			panic(&refError{"no such element"})
		}
	case inMap:
		object, _ := value.(map[string]any)
		if object == nil {
			object = make(map[string]any)
			set(object)
		}
		keys := []string{path[0]}
		if path[0] == "*" {
			keys = nil
			for key := range object {
				keys = append(keys, key)
			}
			if len(keys) == 0 {
				panic(&refError{"no entries"})
			}
		}
		for _, key := range keys {
			v, there := object[key]
			refMaskAt(fd.MapValue(), false, false, v, there, func(v any) { object[key] = v }, path[1:], empty)
		}
	case fd.Message() == nil, refIs(fd, "google.protobuf.Timestamp"), refIs(fd, "google.protobuf.Struct"),
		refIs(fd, "google.protobuf.Value"), refIs(fd, "google.protobuf.ListValue"):
		panic(&refError{"no fields inside"})
	case refBare(fd):
		inner := fd.Message().Fields().Get(0)
		if path[0] != string(inner.Name()) {
			panic(&refError{"no field " + path[0]})
		}
		list, _ := value.([]any)
		refMaskAt(inner, true, false, list, len(list) > 0, set, path[1:], empty)
	default:
		object, _ := value.(map[string]any)
		if object == nil {
			object = make(map[string]any)
			set(object)
		}
		refMask(nil, fd.Message(), object, path, empty)
	}
}
