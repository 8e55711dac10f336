package main

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/merakibroker/merakibroker/gen/descriptors"
)

// TestAccessors: no field of the committed contract, those by hand too, has the
// name of another one's accessor in a language.
func TestAccessors(t *testing.T) {
	t.Parallel()
	set := new(descriptorpb.FileDescriptorSet)
	if err := proto.Unmarshal(descriptors.Set(), set); err != nil {
		t.Fatal(err)
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range mistakable(files) {
		t.Error(line)
	}
}

// mistakable lists the fields that are called as C++, C#, Java or Swift call what
// reads or writes another field of the message.
func mistakable(files *protoregistry.Files) []string {
	var out []string
	var walk func(all protoreflect.MessageDescriptors)
	walk = func(all protoreflect.MessageDescriptors) {
		for i := range all.Len() {
			m := all.Get(i)
			for j := range m.Fields().Len() {
				f := m.Fields().Get(j)
				name := f.Name()
				made := []protoreflect.Name{
					"clear_" + name, "set_" + name, "get_" + name, "mutable_" + name, // C++, C#
					name + "_bytes", name + "_builder", name + "_or_builder", // Java
				}
				if f.Cardinality() == protoreflect.Repeated {
					made = append(made, "add_"+name, name+"_size", name+"_count", name+"_list", name+"_map")
				} else {
					made = append(made, "has_"+name, "release_"+name, "set_allocated_"+name)
				}
				for _, other := range made {
					if m.Fields().ByName(other) != nil {
						out = append(out, string(m.FullName())+"."+string(other)+" is an accessor of "+string(name))
					}
				}
			}
			walk(m.Messages())
		}
	}
	files.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		if ours(f) || f.Package().Parent().Parent() == "meraki" {
			walk(f.Messages())
		}
		return true
	})
	slices.Sort(out)
	return out
}
