package config

import (
	_ "embed" // schema.json
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/merakibroker/merakibroker/service/setting"
)

// Schema is the JSON schema of the configuration. It is generated.
//
//go:embed schema.json
var Schema string

// A schema checks documents. Helm checks with the same library, so that both say the
// same of the same mistake.
type schema struct {
	compiled *jsonschema.Schema
	english  *message.Printer
}

func newSchema() (*schema, error) {
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(Schema))
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	const name = "file:///schema.json"
	if err := compiler.AddResource(name, document); err != nil {
		return nil, err
	}
	compiled, err := compiler.Compile(name)
	return &schema{compiled: compiled, english: message.NewPrinter(language.English)}, err
}

// check says all that is wrong with a document.
func (s *schema) check(document any) setting.Errors {
	var invalid *jsonschema.ValidationError
	if !errors.As(s.compiled.Validate(document), &invalid) {
		return nil
	}
	var wrong setting.Errors
	s.tell(&wrong, invalid)
	return wrong
}

// tell adds what is wrong, in the library's words, and what the schema says that may
// help.
func (s *schema) tell(wrong *setting.Errors, e *jsonschema.ValidationError) {
	at := e.InstanceLocation
	text := e.ErrorKind.LocalizedString(s.english)
	switch k := e.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			one := kind.AdditionalProperties{Properties: []string{name}}
			wrong.Wrong(keyOf(append(slices.Clone(at), name)), "%s%s", one.LocalizedString(s.english), s.meant(at, name))
		}
	case *kind.Required:
		for _, name := range k.Missing {
			one := kind.Required{Missing: []string{name}}
			wrong.Wrong(keyOf(append(slices.Clone(at), name)), "%s", one.LocalizedString(s.english))
		}
	case *kind.Dependency:
		for _, name := range k.Missing {
			one := kind.Dependency{Prop: k.Prop, Missing: []string{name}}
			wrong.Wrong(keyOf(append(slices.Clone(at), name)), "%s", one.LocalizedString(s.english))
		}
	case *kind.AnyOf: // one of several would do
		var each []string
		for _, cause := range e.Causes {
			each = append(each, cause.ErrorKind.LocalizedString(s.english))
		}
		wrong.Wrong(keyOf(at), "%s", strings.Join(each, ", or "))
	case *kind.Enum:
		wrong.Wrong(keyOf(at), "%s%s", text, nearestOf(k))
	default:
		if len(e.Causes) == 0 {
			wrong.Wrong(keyOf(at), "%s%s", text, s.sentence(at))
		}
		for _, cause := range e.Causes {
			s.tell(wrong, cause)
		}
	}
}

// meant asks whether another key was meant: one that is near, or the same one at
// another place.
func (s *schema) meant(at []string, name string) string {
	below := s.at(at)
	if below == nil {
		return ""
	}
	var known []string
	for key := range below.Properties {
		known = append(known, key)
	}
	if near, ok := setting.Nearest(name, known); ok {
		return fmt.Sprintf("; did you mean %s?", near)
	}
	var elsewhere []string
	places(s.compiled, "", name, &elsewhere)
	if len(elsewhere) == 0 || len(elsewhere) > 3 {
		return ""
	}
	slices.Sort(elsewhere)
	return fmt.Sprintf("; did you mean %s?", strings.Join(elsewhere, " or "))
}

// nearestOf asks whether one of the values was meant that a key takes.
func nearestOf(k *kind.Enum) string {
	got, _ := k.Got.(string)
	var known []string
	for _, v := range k.Want {
		known = append(known, fmt.Sprint(v))
	}
	if near, ok := setting.Nearest(got, known); ok {
		return fmt.Sprintf("; did you mean %s?", near)
	}
	return ""
}

// places collects the keys that end in name.
func places(s *jsonschema.Schema, at, name string, found *[]string) {
	for key, below := range s.Properties {
		if key == name {
			*found = append(*found, setting.Join(at, key))
		}
		places(below, setting.Join(at, key), name, found)
	}
	if items, ok := s.Items.(*jsonschema.Schema); ok {
		places(items, at+"[]", name, found)
	}
}

// sentence is the first that the schema says of a key, in parentheses.
func (s *schema) sentence(at []string) string {
	below := s.at(at)
	if below == nil || below.Description == "" {
		return ""
	}
	first, _, _ := strings.Cut(strings.Join(strings.Fields(below.Description), " ")+" ", ". ")
	first = strings.TrimRight(first, ". ")
	name := at[len(at)-1]
	first = strings.TrimPrefix(strings.TrimPrefix(first, "`"+name+"`"), ":")
	first = strings.TrimSpace(first)
	return fmt.Sprintf(" (%s: %s)", name, strings.ReplaceAll(first, "`", ""))
}

// at is the schema of a place in a document; nil where there is none. Of an item in a
// list it is that of the list, where the item's own says nothing.
func (s *schema) at(path []string) *jsonschema.Schema {
	here := s.compiled
	for _, name := range path {
		if items, ok := here.Items.(*jsonschema.Schema); ok {
			here = items
			continue
		}
		if here = here.Properties[name]; here == nil {
			return nil
		}
	}
	return here
}

// keyOf writes a place as a key: policy[0].name.
func keyOf(path []string) string {
	var key string
	for _, name := range path {
		if _, err := strconv.Atoi(name); err == nil {
			name = "[" + name + "]"
		}
		key = setting.Join(key, name)
	}
	return key
}
