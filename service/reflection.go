package service

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/reflection"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// RegisterReflection serves the descriptors of all RPCs on g, which is this
// server itself or the one of the admin port. The old v1alpha goes along: most
// command-line tools still ask for it first.
func (s *Server) RegisterReflection(g grpc.ServiceRegistrar) {
	options := reflection.ServerOptions{Services: s.grpc, DescriptorResolver: resolver{s.contract.Files()}}
	reflectionv1.RegisterServerReflectionServer(g, reflection.NewServerV1(options))
	reflectionv1alpha.RegisterServerReflectionServer(g, reflection.NewServer(options))
}

// A resolver looks in the contract first, then among what the binary links:
// health and reflection themselves.
type resolver struct{ contract *protoregistry.Files }

func (r resolver) FindFileByPath(path string) (protoreflect.FileDescriptor, error) {
	if f, err := r.contract.FindFileByPath(path); err == nil {
		return f, nil
	}
	return protoregistry.GlobalFiles.FindFileByPath(path)
}

func (r resolver) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	if d, err := r.contract.FindDescriptorByName(name); err == nil {
		return d, nil
	}
	return protoregistry.GlobalFiles.FindDescriptorByName(name)
}
