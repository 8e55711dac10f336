// Package lock holds what the generator wrote before: the committed protos are
// the lock. A field keeps its number and type for ever, a new one gets the next
// free number, and what has gone stays and is deprecated. Settle is where the
// wanted contract meets the lock.
package lock

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"

	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/model"
)

// A Lock is the contract as it lies on disk. The zero Lock holds nothing.
type Lock struct {
	operations map[string]*operation
	sections   map[string]*section
}

// An operation is one that the lock has: its RPC and, perhaps, the twins that
// stream its pages and the states of the job that it starts.
type operation struct {
	section string
	option  *apiv1.Operation
	unary   protoreflect.MethodDescriptor
	stream  protoreflect.MethodDescriptor
	run     protoreflect.MethodDescriptor
}

// A section is the top-level messages and the service of one package.
type section struct {
	service  protoreflect.ServiceDescriptor
	messages map[string]protoreflect.MessageDescriptor
}

// Sources finds the generated protos below dir: every package there that is not
// written by hand. The keys are paths relative to the parent of dir.
func Sources(dir string) (map[string][]byte, error) {
	out := make(map[string][]byte)
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(p) != ".proto" {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if first, _, _ := strings.Cut(rel, "/"); first == "api" || first == "broker" {
			return nil
		}
		text, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		out[path.Join(filepath.Base(filepath.Clean(dir)), rel)] = text
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	return out, err
}

// Compile links sources. What they import and do not hold is taken from the
// Go packages that this program is linked with: google/protobuf and the options.
func Compile(ctx context.Context, sources map[string][]byte) (*protoregistry.Files, error) {
	compiler := protocompile.Compiler{
		Resolver: protocompile.WithStandardImports(protocompile.CompositeResolver{
			&protocompile.SourceResolver{Accessor: func(p string) (io.ReadCloser, error) {
				text, ok := sources[p]
				if !ok {
					return nil, fs.ErrNotExist
				}
				return io.NopCloser(strings.NewReader(string(text))), nil
			}},
			protocompile.ResolverFunc(linked),
		}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	names := slices.Sorted(maps.Keys(sources))
	result, err := compiler.Compile(ctx, names...)
	if err != nil {
		return nil, err
	}
	set := new(descriptorpb.FileDescriptorSet)
	seen := make(map[string]bool)
	var add func(f protoreflect.FileDescriptor)
	add = func(f protoreflect.FileDescriptor) {
		if seen[f.Path()] {
			return
		}
		seen[f.Path()] = true
		for i := range f.Imports().Len() {
			add(f.Imports().Get(i).FileDescriptor)
		}
		set.File = append(set.File, protoutil.ProtoFromFileDescriptor(f))
	}
	for _, f := range result {
		add(f)
	}
	// Through bytes, so that our options become their Go types.
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(set)
	if err != nil {
		return nil, err
	}
	set.Reset()
	if err := proto.Unmarshal(data, set); err != nil {
		return nil, err
	}
	return protodesc.NewFiles(set)
}

func linked(p string) (protocompile.SearchResult, error) {
	f, err := protoregistry.GlobalFiles.FindFileByPath(p)
	if err != nil {
		return protocompile.SearchResult{}, err
	}
	return protocompile.SearchResult{Desc: f}, nil
}

// Read takes the lock from sources.
func Read(ctx context.Context, sources map[string][]byte) (*Lock, error) {
	l := &Lock{operations: make(map[string]*operation), sections: make(map[string]*section)}
	if len(sources) == 0 {
		return l, nil
	}
	files, err := Compile(ctx, sources)
	if err != nil {
		return nil, fmt.Errorf("the protos that lie there, which are the lock, do not compile: %w", err)
	}
	for p := range sources {
		f, err := files.FindFileByPath(p)
		if err != nil {
			return nil, err
		}
		l.file(f)
	}
	return l, nil
}

func (l *Lock) file(f protoreflect.FileDescriptor) {
	name := strings.TrimSuffix(strings.TrimPrefix(string(f.Package()), "meraki."), ".v1")
	s := l.sections[name]
	if s == nil {
		s = &section{messages: make(map[string]protoreflect.MessageDescriptor)}
		l.sections[name] = s
	}
	for i := range f.Messages().Len() {
		m := f.Messages().Get(i)
		s.messages[string(m.Name())] = m
	}
	for i := range f.Services().Len() {
		s.service = f.Services().Get(i)
		for j := range s.service.Methods().Len() {
			m := s.service.Methods().Get(j)
			option, ok := proto.GetExtension(m.Options(), apiv1.E_Operation).(*apiv1.Operation)
			if !ok || option.GetId() == "" {
				continue
			}
			o := l.operations[option.GetId()]
			if o == nil {
				o = &operation{section: name}
				l.operations[option.GetId()] = o
			}
			switch {
			case !m.IsStreamingServer():
				o.unary, o.option = m, option
			case option.GetPaging() != nil:
				o.stream = m
			default:
				o.run = m
			}
		}
	}
}

// Section names the package that has the operation; empty for a new one.
func (l *Lock) Section(id string) string {
	if o := l.operations[id]; o != nil && o.unary != nil {
		return o.section
	}
	return ""
}

// Operation is its option as it was; nil for a new one.
func (l *Lock) Operation(id string) *apiv1.Operation {
	if l.Section(id) == "" {
		return nil
	}
	return l.operations[id].option
}

// Response names the message that the operation answers with.
func (l *Lock) Response(id string) string {
	if l.Section(id) == "" {
		return ""
	}
	return string(l.operations[id].unary.Output().Name())
}

// Row names the message of the rows of a collection; "-" when it is not a
// top-level message of the package.
func (l *Lock) Row(id string) string {
	if l.Section(id) == "" {
		return ""
	}
	out := l.operations[id].unary.Output()
	f := out.Fields().ByName("items")
	if f == nil || f.Message() == nil || f.Message().Parent() != f.Message().ParentFile() ||
		f.Message().ParentFile().Package() != out.ParentFile().Package() {
		return "-"
	}
	return string(f.Message().Name())
}

// FreeRows reports whether the answer is a list of objects of any form.
func (l *Lock) FreeRows(id string) bool {
	if l.Section(id) == "" {
		return false
	}
	o := l.operations[id]
	f := o.unary.Output().Fields().ByName(protoreflect.Name(o.option.GetResponseField()))
	return f != nil && f.IsList() && f.Message() != nil && messageKind(f.Message()) == model.Struct
}

// FreeAnswer is Struct or Value where one field takes the whole document as
// such, and String where none does.
func (l *Lock) FreeAnswer(id string) model.Kind {
	if l.Section(id) == "" {
		return model.String
	}
	o := l.operations[id]
	f := o.unary.Output().Fields().ByName(protoreflect.Name(o.option.GetResponseField()))
	if f == nil || f.IsList() || f.IsMap() || f.Message() == nil {
		return model.String
	}
	if k := messageKind(f.Message()); free(k) {
		return k
	}
	return model.String
}

// Typed reports whether the answer has fields of properties.
func (l *Lock) Typed(id string) bool {
	if l.Section(id) == "" {
		return false
	}
	fields := l.operations[id].unary.Output().Fields()
	for i := range fields.Len() {
		if f := fields.Get(i); binding(f).GetLocation() != apiv1.Location_LOCATION_NONE && f.Number() != model.AdditionalPropertiesNumber {
			return true
		}
	}
	return false
}

// Described reports whether the request has a body of named fields.
func (l *Lock) Described(id string) bool {
	if l.Section(id) == "" {
		return false
	}
	o := l.operations[id]
	return o.option.GetRequestField() == "" && o.unary.Input().Fields().ByNumber(model.NullFieldsNumber) != nil
}

// Holds reports whether the package has a message of that name.
func (l *Lock) Holds(name, message string) bool { return l.message(name, message) != nil }

func (l *Lock) message(name, message string) protoreflect.MessageDescriptor {
	if s := l.sections[name]; s != nil {
		if m := s.messages[message]; m != nil {
			return m
		}
	}
	return nil
}
