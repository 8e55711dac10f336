package main

import (
	"context"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
)

// base is where the Dashboard's paths hang.
const base = "/api/v1"

// writeAnnotations writes a descriptor set in which every RPC has
// google.api.http beside our own option, for tools that read nothing else:
// Envoy's transcoders, grpc-gateway. It says less than our option does: lists of
// a query go without their brackets, null_fields is a field like any other, and
// a query parameter of a write goes into the body.
func writeAnnotations(ctx context.Context, dir, file string) error {
	set, err := compile(ctx, dir)
	if err != nil {
		return err
	}
	// Through bytes, so that our option becomes its Go type.
	data, err := proto.Marshal(set)
	if err != nil {
		return err
	}
	set.Reset()
	if err := proto.Unmarshal(data, set); err != nil {
		return err
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		return err
	}
	http := annotations.File_google_api_annotations_proto
	google := []*descriptorpb.FileDescriptorProto{
		protodesc.ToFileDescriptorProto(annotations.File_google_api_http_proto),
		protodesc.ToFileDescriptorProto(http),
	}
	var out []*descriptorpb.FileDescriptorProto
	for _, f := range set.GetFile() {
		if annotate(f, files) {
			f.Dependency = append(f.Dependency, http.Path())
			out = append(out, google...)
			google = nil
		}
		out = append(out, f)
	}
	set.File = out
	data, err = proto.MarshalOptions{Deterministic: true}.Marshal(set)
	if err != nil {
		return err
	}
	return replace(file, data)
}

// annotate gives the unary RPCs of a file their rules. A streaming twin has the
// same path as the RPC that it twins and is left out.
func annotate(f *descriptorpb.FileDescriptorProto, files *protoregistry.Files) bool {
	done := false
	for _, s := range f.GetService() {
		for _, m := range s.GetMethod() {
			op, ok := proto.GetExtension(m.GetOptions(), apiv1.E_Operation).(*apiv1.Operation)
			if !ok || op.GetId() == "" || m.GetServerStreaming() {
				continue
			}
			in, err := files.FindDescriptorByName(protoreflect.FullName(strings.TrimPrefix(m.GetInputType(), ".")))
			if err != nil {
				continue
			}
			proto.SetExtension(m.Options, annotations.E_Http, rule(op, in.(protoreflect.MessageDescriptor)))
			done = true
		}
	}
	return done
}

// rule is an operation as google.api.http has it.
func rule(op *apiv1.Operation, in protoreflect.MessageDescriptor) *annotations.HttpRule {
	path, body := base+op.GetPath(), ""
	for i := range in.Fields().Len() {
		f := in.Fields().Get(i)
		b, _ := proto.GetExtension(f.Options(), apiv1.E_Binding).(*apiv1.Binding)
		name := f.JSONName()
		if b.GetName() != "" {
			name = b.GetName()
		}
		where, param := b.GetLocation(), "{"+name+"}"
		switch {
		case where == apiv1.Location_LOCATION_PATH, where == 0 && strings.Contains(path, param):
			path = strings.ReplaceAll(path, param, "{"+string(f.Name())+"}")
		case where == apiv1.Location_LOCATION_BODY, where == 0 && op.GetVerb() != apiv1.Verb_VERB_GET && op.GetVerb() != apiv1.Verb_VERB_DELETE:
			body = "*"
		}
	}
	if op.GetRequestField() != "" {
		body = op.GetRequestField()
	}
	r := &annotations.HttpRule{Body: body, ResponseBody: op.GetResponseField()}
	switch op.GetVerb() {
	case apiv1.Verb_VERB_PUT:
		r.Pattern = &annotations.HttpRule_Put{Put: path}
	case apiv1.Verb_VERB_POST:
		r.Pattern = &annotations.HttpRule_Post{Post: path}
	case apiv1.Verb_VERB_DELETE:
		r.Pattern = &annotations.HttpRule_Delete{Delete: path}
	default:
		r.Pattern = &annotations.HttpRule_Get{Get: path}
	}
	return r
}
