package main

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/transcode"
)

// unservable lists the RPCs for which the server could make no plan, and the
// operations that the contract could not tell apart.
func unservable(files *protoregistry.Files) []string {
	c, err := contract.New(setOf(files))
	if err != nil {
		return []string{err.Error()}
	}
	var out []string
	for _, m := range c.Methods() {
		if _, err := transcode.Compile(m.Descriptor, m.Operation); err != nil {
			out = append(out, fmt.Sprintf("%s: %v", m.Name, err))
		}
	}
	return out
}

func setOf(files *protoregistry.Files) *descriptorpb.FileDescriptorSet {
	set := new(descriptorpb.FileDescriptorSet)
	files.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		set.File = append(set.File, protodesc.ToFileDescriptorProto(f))
		return true
	})
	return set
}

// ours tells the sections' files from the options' and Google's.
func ours(f protoreflect.FileDescriptor) bool {
	p := string(f.Package())
	return strings.HasPrefix(p, "meraki.") && p != "meraki.api.v1" && p != "meraki.broker.v1"
}

func contractOf(t *testing.T, files *protoregistry.Files) *contract.Contract {
	t.Helper()
	c, err := contract.New(setOf(files))
	if err != nil {
		t.Fatal(err)
	}
	return c
}
