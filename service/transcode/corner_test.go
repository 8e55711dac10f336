package transcode

import (
	"context"
	"sync"
	"testing"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
)

// A corner is one RPC of testdata/corner.proto with its plan.
type corner struct {
	plan   *Plan
	method protoreflect.MethodDescriptor
	op     *apiv1.Operation
}

// corners compiles testdata/corner.proto once for all tests.
var corners = sync.OnceValues(func() (map[string]*corner, error) {
	service, err := compileProto("corner.proto", "testdata")
	if err != nil {
		return nil, err
	}
	all := make(map[string]*corner)
	compiler := NewCompiler()
	for i := range service.Methods().Len() {
		m := service.Methods().Get(i)
		op := proto.GetExtension(m.Options(), apiv1.E_Operation).(*apiv1.Operation)
		plan, err := compiler.Compile(m, op)
		if err != nil {
			return nil, err
		}
		all[op.GetId()] = &corner{plan, m, op}
	}
	return all, nil
})

// compileProto reads a .proto file below one of the directories, and gives its
// first service. It goes through a serialised descriptor set, as merakid does,
// so that our options are known messages.
func compileProto(name string, dirs ...string) (protoreflect.ServiceDescriptor, error) {
	return compileWith(name, &protocompile.SourceResolver{ImportPaths: append(dirs, "../../proto")})
}

func compileWith(name string, resolver protocompile.Resolver) (protoreflect.ServiceDescriptor, error) {
	compiler := protocompile.Compiler{Resolver: protocompile.WithStandardImports(resolver)}
	files, err := compiler.Compile(context.Background(), name)
	if err != nil {
		return nil, err
	}
	set, seen := new(descriptorpb.FileDescriptorSet), make(map[string]bool)
	var add func(f protoreflect.FileDescriptor)
	add = func(f protoreflect.FileDescriptor) {
		if seen[f.Path()] {
			return
		}
		seen[f.Path()] = true
		for i := range f.Imports().Len() {
			add(f.Imports().Get(i).FileDescriptor)
		}
		set.File = append(set.File, protodesc.ToFileDescriptorProto(f))
	}
	add(files[0])
	wire, err := proto.Marshal(set)
	if err != nil {
		return nil, err
	}
	set = new(descriptorpb.FileDescriptorSet)
	if err := proto.Unmarshal(wire, set); err != nil {
		return nil, err
	}
	var all *protoregistry.Files
	if all, err = protodesc.NewFiles(set); err != nil {
		return nil, err
	}
	f, err := all.FindFileByPath(name)
	if err != nil {
		return nil, err
	}
	return f.Services().Get(0), nil
}

// cornerOf gives one RPC by its operation's id.
func cornerOf(t testing.TB, id string) *corner {
	t.Helper()
	all, err := corners()
	if err != nil {
		t.Fatal(err)
	}
	c := all[id]
	if c == nil {
		t.Fatalf("testdata/corner.proto has no %s", id)
	}
	return c
}
