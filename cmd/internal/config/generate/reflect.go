package main

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/invopop/jsonschema"
	"go.yaml.in/yaml/v3"

	"github.com/merakibroker/merakibroker/cmd/internal/config"
	"github.com/merakibroker/merakibroker/service"
	"github.com/merakibroker/merakibroker/service/contract"
)

// draft is the newest that the libraries of all Helms in use know.
const draft = "http://json-schema.org/draft-07/schema#"

// names are those that rules may name.
type names struct{ sections, operations, rpcs []string }

// vendorSections are sections that the vendor spells otherwise than the contract.
var vendorSections = []string{"campusGateway", "cellularGateway", "switch", "wirelessController"}

func knownNames() (*names, error) {
	contracts, err := contract.Load()
	if err != nil {
		return nil, err
	}
	requests, err := service.PolicyRequests(contracts)
	if err != nil {
		return nil, err
	}
	n := &names{sections: append([]string{"*"}, vendorSections...), rpcs: []string{"*"}}
	for _, r := range requests {
		if r.RPC != "" {
			n.rpcs = append(n.rpcs, r.RPC)
			continue
		}
		n.sections = append(n.sections, r.Section)
		n.operations = append(n.operations, r.Operation)
	}
	for _, list := range []*[]string{&n.sections, &n.operations, &n.rpcs} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return n, nil
}

// operationList is the operations, one a line.
func (n *names) operationList() []byte { return []byte(strings.Join(n.operations, "\n") + "\n") }

// duration is how the schema tells a duration: Go's, of the units that anybody uses.
const duration = `^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`

// reflected is the schema as the fields, their tags and their comments tell it.
func reflected(n *names) (*jsonschema.Schema, error) {
	comments, err := readComments()
	if err != nil {
		return nil, err
	}
	r := &jsonschema.Reflector{
		Anonymous: true, DoNotReference: true, FieldNameTag: "yaml", RequiredFromJSONSchemaTags: true,
		LookupComment: comments.field,
		Mapper: func(t reflect.Type) *jsonschema.Schema {
			if t == reflect.TypeFor[config.Duration]() || t == reflect.TypeFor[time.Duration]() {
				return &jsonschema.Schema{Type: "string", Pattern: duration}
			}
			return nil
		},
	}
	s := r.Reflect(&config.Config{})
	s.Version = ""
	if s.Description = comments.about(reflect.TypeFor[config.Config](), "The configuration"); comments.err != nil {
		return nil, comments.err
	}
	grant := property(s, "policy", "operations")
	for name, list := range map[string][]string{"section": n.sections, "rpc": n.rpcs} {
		p, _ := grant.Items.Properties.Get(name)
		for _, value := range list {
			p.Enum = append(p.Enum, value)
		}
	}
	return s, defaults(s)
}

// property is what is below a schema, through lists.
func property(s *jsonschema.Schema, path ...string) *jsonschema.Schema {
	for _, name := range path {
		if s.Items != nil {
			s = s.Items
		}
		s, _ = s.Properties.Get(name)
	}
	return s
}

// defaults writes what holds where the file says nothing.
func defaults(s *jsonschema.Schema) error {
	text, err := yaml.Marshal(config.Default())
	if err != nil {
		return err
	}
	var values map[string]any
	if err := yaml.Unmarshal(text, &values); err != nil {
		return err
	}
	setDefaults(s, values)
	return nil
}

func setDefaults(s *jsonschema.Schema, values map[string]any) {
	for p := s.Properties.Oldest(); p != nil; p = p.Next() {
		switch v := values[p.Key].(type) {
		case map[string]any:
			setDefaults(p.Value, v)
		case nil, []any:
		default:
			if !reflect.ValueOf(v).IsZero() {
				p.Value.Default = v
			}
		}
	}
}

// required is a schema that asks for keys.
func required(keys ...string) *jsonschema.Schema { return &jsonschema.Schema{Required: keys} }

// with is a schema that asks something of one key.
func with(key string, what *jsonschema.Schema) *jsonschema.Schema {
	s := &jsonschema.Schema{Properties: jsonschema.NewProperties()}
	s.Properties.Set(key, what)
	return s
}

// depend says what has to be where a key is: other keys, or a schema.
func depend(s *jsonschema.Schema, key string, on any) {
	if s == nil {
		panic(fmt.Sprintf("%s depends on something, and is nowhere", key)) // a mistake in conditions.go, which shows when the schema is generated
	}
	if s.Extras == nil {
		s.Extras = make(map[string]any)
	}
	all, _ := s.Extras["dependencies"].(map[string]any)
	if all == nil {
		all = make(map[string]any)
		s.Extras["dependencies"] = all
	}
	all[key] = on
}
