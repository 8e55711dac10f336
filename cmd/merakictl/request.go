package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service/contract"
)

// A messages resolves the messages of the contract, and those that the program links.
type messages struct {
	protoregistry.ExtensionTypeResolver
	contract *dynamicpb.Types
}

// resolver finds messages for JSON. Reading the contract does not fail: a test does.
func (a *app) resolver() interface {
	protoregistry.ExtensionTypeResolver
	protoregistry.MessageTypeResolver
} {
	known, err := theContract()
	if err != nil {
		return protoregistry.GlobalTypes
	}
	return messages{protoregistry.GlobalTypes, dynamicpb.NewTypes(known.Files())}
}

func (m messages) FindMessageByName(name protoreflect.FullName) (protoreflect.MessageType, error) {
	if t, err := protoregistry.GlobalTypes.FindMessageByName(name); err == nil {
		return t, nil
	}
	return m.contract.FindMessageByName(name)
}

func (m messages) FindMessageByURL(url string) (protoreflect.MessageType, error) {
	return m.FindMessageByName(protoreflect.FullName(url[strings.LastIndexByte(url, '/')+1:]))
}

// typed makes the request message of an operation from JSON.
func (a *app) typed(m *contract.Method, text []byte) (*anypb.Any, error) {
	request := dynamicpb.NewMessage(m.Descriptor.Input())
	if err := (protojson.UnmarshalOptions{Resolver: a.resolver()}).Unmarshal(text, request); err != nil {
		return nil, &misuse{fmt.Sprintf("%s: the request is not a %s: %s", m.Operation.GetId(), m.Descriptor.Input().FullName(), readable(err))}
	}
	wire, err := proto.Marshal(request)
	if err != nil {
		return nil, err
	}
	return &anypb.Any{TypeUrl: "type.googleapis.com/" + string(m.Descriptor.Input().FullName()), Value: wire}, nil
}

// readable is an error of the library's without what differs from build to build.
func readable(err error) string {
	text := strings.ReplaceAll(err.Error(), "\u00a0", " ")
	return strings.TrimPrefix(text, "proto: ")
}

// get makes the request message of a GET by path and query.
func (a *app) get(path string, query []*brokerv1.QueryParameter) (*anypb.Any, error) {
	known, err := theContract()
	if err != nil {
		return nil, err
	}
	route, err := known.Route("GET", path)
	if err != nil {
		return nil, &misuse{fmt.Sprintf("PATH is %q; %v", path, err)}
	}
	if route.Method == nil {
		return nil, &misuse{fmt.Sprintf("PATH is %q, which is no GET operation of the contract", path)}
	}
	fields := make(map[string]any)
	names := strings.Split(route.Method.Operation.GetPath(), "/")
	for i, value := range strings.Split(route.Path, "/") {
		if name, ok := strings.CutPrefix(names[i], "{"); ok {
			fd := bound(route.Method, strings.TrimSuffix(name, "}"))
			if fd == nil {
				return nil, &misuse{fmt.Sprintf("%s cannot be watched by its path", route.Operation.GetId())}
			}
			fields[string(fd.Name())] = value
		}
	}
	for _, q := range query {
		fd := bound(route.Method, strings.TrimSuffix(q.GetName(), "[]"))
		if fd == nil {
			return nil, &misuse{fmt.Sprintf("%s has no parameter %q", route.Operation.GetId(), q.GetName())}
		}
		name := string(fd.Name())
		var value any = q.GetValue()
		if fd.Kind() == protoreflect.BoolKind {
			value = json.RawMessage(q.GetValue())
		}
		if fd.IsList() {
			list, _ := fields[name].([]any)
			value = append(list, value)
		}
		fields[name] = value
	}
	text, err := json.Marshal(fields)
	if err != nil {
		return nil, &misuse{fmt.Sprintf("the query: %v", err)}
	}
	return a.typed(route.Method, text)
}

// bound is the field that stands for a parameter.
func bound(m *contract.Method, name string) protoreflect.FieldDescriptor {
	fields := m.Descriptor.Input().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		binding, _ := proto.GetExtension(fd.Options(), apiv1.E_Binding).(*apiv1.Binding)
		if binding.GetLocation() == apiv1.Location_LOCATION_NONE {
			continue
		}
		if binding.GetName() == name || binding.GetName() == "" && fd.JSONName() == name {
			return fd
		}
	}
	return nil
}
