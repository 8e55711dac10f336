package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/model"
)

// A language has names of its own that a field cannot have there: its keywords, or
// methods that each object or message has.
type language struct {
	name string
	// taken are the names, as fields have them.
	taken []string
	// instead says what to write for a field of that name.
	instead string
}

// languages are those whose generated code has another name for such a field, or
// none at all. In the others (Java, PHP, TypeScript) accessors have a prefix, or
// every name can be a property.
func languages() []language {
	return []language{
		{"C++", model.Keywords("C++"), "the name with an underscore behind it: `x.default_()`, `x.set_default_(…)`"},
		{"C#", strings.Fields("types descriptor"), "the property with an underscore behind it: `x.Types_`"},
		{"Go", strings.Fields("reset string proto_message descriptor marshal unmarshal extension_map extension_range_array"), "the field with an underscore behind it, and its getter: `x.String_`, `x.GetString_()`"},
		{"Kotlin", model.Keywords("Kotlin"), "the name in backticks: `` x.`in` ``"},
		{"Python", model.Keywords("Python"), "by its name as text: `getattr(x, \"from\")`, `setattr(x, \"from\", …)`, `Message(**{\"from\": …})`"},
		{"Ruby", strings.Fields(rubyMethods), "by its name in brackets: `x[\"method\"]`; `x.method` is Ruby's own"},
		{"Rust (prost)", model.Keywords("Rust"), "a raw identifier: `x.r#type`"},
		{"Swift", append(model.Keywords("Swift"), "description", "debug_description", "hash_value"), "a keyword in backticks: `` x.`in` ``; `x.description_p` for description"},
	}
}

// rubyMethods are the public ones of every object and of every message.
const rubyMethods = `class clone define_singleton_method display dup enum_for eql extend freeze frozen hash inspect
instance_of instance_variable_defined instance_variable_get instance_variable_set instance_variables is_a itself kind_of
method methods nil object_id private_methods protected_methods public_method public_methods public_send
remove_instance_variable respond_to send singleton_class singleton_method singleton_methods tap then to_enum to_s
to_h to_json to_proto method_missing respond_to_missing`

// nameTable lists the fields that are called as something else in a language.
func nameTable(files *protoregistry.Files) string {
	fields := make(map[string]bool)
	called := 0 // as their message, in C#
	eachSection(files, func(f protoreflect.FileDescriptor) {
		eachMessage(f.Messages(), func(m protoreflect.MessageDescriptor) {
			for i := range m.Fields().Len() {
				name := string(m.Fields().Get(i).Name())
				fields[name] = true
				if model.Pascal(name) == string(m.Name()) {
					called++
				}
			}
		})
	})
	var b strings.Builder
	b.WriteString("| language | fields | write |\n|---|---|---|\n")
	for _, l := range languages() {
		var hit []string
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			if slices.Contains(l.taken, name) {
				hit = append(hit, "`"+name+"`")
			}
		}
		if l.name == "C#" && called > 0 {
			hit = append(hit, fmt.Sprintf("%d that are called as their message", called))
		}
		if len(hit) > 0 {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", l.name, strings.Join(hit, ", "), l.instead)
		}
	}
	return b.String()
}
