package config

import (
	"bytes"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Page is the documentation of the configuration, in Markdown, made of its schema.
func Page(schema []byte) ([]byte, error) {
	var root yaml.Node // JSON is YAML, and a node keeps the order
	if err := yaml.Unmarshal(schema, &root); err != nil {
		return nil, err
	}
	p := &page{}
	top := described{root.Content[0]}
	fmt.Fprintf(p, "# Configuration\n\nGenerated from the fields of `cmd/internal/config`: `go generate ./cmd/internal/config`.\n\n%s\n\n", top.text("description"))
	p.WriteString("`merakid -check -config FILE` says everything that is wrong with a file, each with its line. An editor that knows JSON schemas takes [schema.json](../cmd/internal/config/schema.json).\n")
	p.section("", top)
	return p.Bytes(), nil
}

// A page is one being written.
type page struct{ bytes.Buffer }

// section writes the keys of an object, then the objects below it.
func (p *page) section(at string, s described) {
	required := make(map[string]bool)
	if list := s.get("required"); list != nil {
		for _, n := range list.Content {
			required[n.Value] = true
		}
	}
	var below []func()
	p.WriteString("\n")
	s.each(func(key string, v described) {
		name := key
		if at != "" {
			name = at + "." + key
		}
		object := v
		if items := v.get("items"); items != nil {
			object = described{items}
		}
		if object.get("properties") != nil {
			if object != v {
				name += "[]"
			}
			below = append(below, func() {
				fmt.Fprintf(p, "\n## %s\n\n%s\n", name, v.text("description"))
				p.section(name, object)
			})
			return
		}
		fmt.Fprintf(p, "- **`%s`**: %s. %s\n", name, v.takes(required[key]), strings.Join(strings.Fields(v.text("description")), " "))
	})
	for _, write := range below {
		write()
	}
}

// described is a schema, or a part of it.
type described struct{ *yaml.Node }

func (d described) get(key string) *yaml.Node {
	for i := 0; i+1 < len(d.Content); i += 2 {
		if d.Content[i].Value == key {
			return d.Content[i+1]
		}
	}
	return nil
}

func (d described) text(key string) string {
	if n := d.get(key); n != nil {
		return n.Value
	}
	return ""
}

func (d described) each(f func(string, described)) {
	n := d.get("properties")
	if n == nil {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		f(n.Content[i].Value, described{n.Content[i+1]})
	}
}

// takes says in words what a key takes.
func (d described) takes(required bool) string {
	var words []string
	if required {
		words = append(words, "required")
	}
	words = append(words, d.kind())
	if low, high := d.text("minimum"), d.text("maximum"); low != "" && high != "" {
		words = append(words, fmt.Sprintf("from %s to %s", low, high))
	} else if low != "" {
		words = append(words, "at least "+low)
	}
	if v := d.get("default"); v != nil {
		words = append(words, "default `"+v.Value+"`")
	}
	return strings.Join(words, ", ")
}

func (d described) kind() string {
	if list := d.get("enum"); list != nil {
		var values []string
		for _, n := range list.Content {
			values = append(values, "`"+n.Value+"`")
		}
		return "one of " + strings.Join(values, ", ")
	}
	switch d.text("type") {
	case "array":
		return "list of " + described{d.get("items")}.kind()
	case "boolean":
		return "true or false"
	case "string":
		if strings.Contains(d.text("pattern"), "(ms|s|m|h)") {
			return "duration"
		}
	}
	return d.text("type")
}
