// Package contract is what the broker serves: every typed RPC and the Dashboard
// operation behind it, read once from the descriptor set that is built from
// proto/. The server, the sandbox and the benchmarks ask it; none of them links
// the generated Go packages of the sections.
package contract

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/merakibroker/merakibroker/gen/descriptors"
	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
)

// A Method is one typed RPC.
type Method struct {
	Descriptor protoreflect.MethodDescriptor
	// Name is the full method name as gRPC writes it: /package.Service/Method.
	Name string
	// Operation is the Dashboard operation that the RPC performs.
	Operation *apiv1.Operation
	// Streaming tells a streaming twin from the RPC that it twins. Runs tells the twin
	// that starts a job and sends its states from the one that sends pages.
	Streaming, Runs bool
}

// GetOperation is the operation; nil of no method.
func (m *Method) GetOperation() *apiv1.Operation {
	if m == nil {
		return nil
	}
	return m.Operation
}

// A Contract is the set of all typed RPCs. It does not change once built.
type Contract struct {
	files   *protoregistry.Files
	methods []*Method
	byName  map[string]*Method
	byID    map[string]*Method
	// byRequest finds a unary RPC by the full name of its request message.
	byRequest map[string]*Method
	// root is the tree of all paths, first the segments that they begin with.
	root  node
	first map[string]bool
}

// Load reads the descriptor set that the binary carries.
func Load() (*Contract, error) {
	c, err := read(descriptors.Set())
	if err != nil {
		return nil, fmt.Errorf("contract: the embedded descriptor set: %w", err)
	}
	return c, nil
}

// New reads a descriptor set. Methods without the operation option are not part
// of the contract; two RPCs of one kind for one operation are an error.
func New(set *descriptorpb.FileDescriptorSet) (*Contract, error) {
	if _, err := protodesc.NewFiles(set); err != nil {
		return nil, fmt.Errorf("contract: %w", err)
	}
	raw, err := proto.Marshal(set)
	if err != nil {
		return nil, fmt.Errorf("contract: %w", err)
	}
	return read(raw)
}

// read makes a contract of an encoded FileDescriptorSet that is known to be sound.
func read(set []byte) (*Contract, error) {
	files, services, err := lazyFiles(set)
	if err != nil {
		return nil, err
	}
	c := &Contract{
		files: files, byName: make(map[string]*Method), byID: make(map[string]*Method), byRequest: make(map[string]*Method),
		first: make(map[string]bool),
	}
	for _, s := range services {
		if err := c.addService(s); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(c.methods, func(a, b *Method) int { return strings.Compare(a.Name, b.Name) })
	return c, nil
}

func (c *Contract) addService(s protoreflect.ServiceDescriptor) error {
	for i := range s.Methods().Len() {
		d := s.Methods().Get(i)
		op, ok := proto.GetExtension(d.Options(), apiv1.E_Operation).(*apiv1.Operation)
		if !ok || op.GetId() == "" {
			continue
		}
		m := &Method{
			Descriptor: d,
			Name:       "/" + string(s.FullName()) + "/" + string(d.Name()),
			Operation:  op,
			Streaming:  d.IsStreamingServer(),
			Runs:       d.IsStreamingServer() && op.GetPaging() == nil,
		}
		if !m.Streaming {
			if other := c.byID[op.GetId()]; other != nil {
				return fmt.Errorf("contract: %s is both %s and %s", op.GetId(), other.Name, m.Name)
			}
			c.byID[op.GetId()] = m
			// By its name, as the generator makes it: to ask for the message itself would
			// build the messages of the whole file.
			c.byRequest[string(s.ParentFile().Package())+"."+string(d.Name())+"Request"] = m
			c.route(m)
		}
		c.byName[m.Name] = m
		c.methods = append(c.methods, m)
	}
	return nil
}

// Files gives the descriptors, for reflection.
func (c *Contract) Files() *protoregistry.Files { return c.files }

// Methods lists every typed RPC, streaming twins included, by name. The slice
// is shared: do not change it.
func (c *Contract) Methods() []*Method { return c.methods }

// Operation finds the unary RPC of an operationId; nil when there is none.
func (c *Contract) Operation(id string) *Method { return c.byID[id] }

// Request finds the unary RPC that takes a message, by the message's type URL or full
// name; nil when there is none. Each request message is that of one operation.
func (c *Contract) Request(name string) *Method {
	return c.byRequest[name[strings.LastIndexByte(name, '/')+1:]]
}

// RPC finds an RPC by its full method name; nil when there is none.
func (c *Contract) RPC(name string) *Method { return c.byName[name] }
