package transcode

import (
	"slices"
	"strconv"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// refMask puts null or an empty list or object at a place of the body.
func refMask(op *apiv1.Operation, d protoreflect.MessageDescriptor, object map[string]any, path []string, empty bool) {
	fd := d.Fields().ByName(protoreflect.Name(path[0]))
	if fd == nil || fd.Name() == "additional_properties" {
		panic(&refError{"no field " + path[0]})
	}
	if heir := refHeir(fd); heir != nil {
		fd = heir
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
	if _, marked := value.(extra); marked {
		panic(&refError{"a mask for what is in additional_properties"})
	}
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
