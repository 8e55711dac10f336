package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/merakibroker/merakibroker/service/setting"
)

// A File is a configuration with the places of its keys, so that what is wrong can be
// told with its line.
type File struct {
	// Config is what the file says, over the defaults.
	*Config
	// Name of the file; empty for the defaults alone.
	Name string

	root  yaml.Node
	flags map[string]string // the flag that has set a key
	wrong setting.Errors    // of the file's shape
}

// Read reads a file over the defaults: a key that the file has with a zero or an empty
// value is not absent. No name gives the defaults. The error is Problems where the file
// cannot be made sense of; what is wrong beyond that Check tells.
func Read(name string) (*File, error) {
	f := &File{Config: Default(), Name: name, flags: make(map[string]string)}
	if name == "" {
		return f, nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, Problems{{Text: err.Error()}}
	}
	return f, f.parse(text)
}

func (f *File) parse(text []byte) error {
	d := yaml.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(&f.root); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		return f.syntax(err)
	}
	var second yaml.Node
	if err := d.Decode(&second); err == nil {
		return Problems{{File: f.Name, Line: second.Line, Text: "a second document begins with ---; the configuration is one document"}}
	} else if !errors.Is(err, io.EOF) {
		return f.syntax(err)
	}
	var document any
	if err := f.root.Decode(&document); err != nil {
		return f.syntax(err) // a key that is there twice
	}
	if top := f.root.Content[0]; document != nil && top.Kind != yaml.MappingNode {
		is := "one value"
		if top.Kind == yaml.SequenceNode {
			is = "a list"
		}
		return Problems{{File: f.Name, Line: top.Line, Text: "the configuration is keys with their values, and this is " + is}}
	}
	schema, err := newSchema()
	if err != nil {
		return err
	}
	if document = plain(document); document != nil {
		f.wrong = schema.check(document)
	}
	// What has the wrong type is told by the schema.
	if err := f.root.Decode(f.Config); err != nil && len(f.wrong) == 0 {
		return f.syntax(err)
	}
	return nil
}

// yamlLine finds the line in an error of the library.
var yamlLine = regexp.MustCompile(`line (\d+): `)

// syntax tells an error of the library, of which each has its line.
func (f *File) syntax(err error) error {
	var several *yaml.TypeError
	if !errors.As(err, &several) {
		several = &yaml.TypeError{Errors: []string{strings.TrimPrefix(err.Error(), "yaml: ")}}
	}
	var problems Problems
	for _, text := range several.Errors {
		p := Problem{File: f.Name, Line: 1, Text: text}
		if at := yamlLine.FindStringSubmatchIndex(text); at != nil {
			p.Line, _ = strconv.Atoi(text[at[2]:at[3]])
			p.Text = text[:at[0]] + text[at[1]:]
		}
		if strings.HasPrefix(p.Text, "invalid map key: ") { // in Go's words
			p.Text = "a key is a list or a map; keys are names"
		}
		problems = append(problems, p)
	}
	return problems
}

// plain gives a document the types of JSON, and leaves out what has no value.
func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			if value = plain(value); value != nil {
				out[key] = value
			}
		}
		return out
	case map[any]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			if value = plain(value); value != nil {
				out[fmt.Sprint(key)] = value
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = plain(v[i])
		}
		return out
	case float64:
		if !math.IsNaN(v) && !math.IsInf(v, 0) { // JSON has neither
			return v
		}
	case nil, string, bool, int, int64, uint64:
		return v
	}
	return fmt.Sprint(v) // a date
}

// Flag tells that a flag has set a key: what is wrong with it is then told of the flag.
func (f *File) Flag(key, flag string) { f.flags[key] = flag }

// Check fills in what depends on other settings, and says all that is wrong as far as
// the settings tell: nothing is opened. The errors are for Explain.
func (f *File) Check() setting.Errors {
	f.complete()
	return append(f.wrong, f.Config.check()...)
}

// Again reads the file's new text, with the same flags over it.
func (f *File) Again(text []byte) (*File, error) {
	next := &File{Config: Default(), Name: f.Name, flags: f.flags}
	err := next.parse(text)
	for key := range f.flags {
		switch key {
		case "listen":
			next.Listen = f.Listen
		case "admin":
			next.Admin = f.Admin
		case "rest":
			next.REST = f.REST
		case "upstream":
			next.Upstream = f.Upstream
		case "sandbox":
			next.Sandbox = f.Sandbox
		}
	}
	return next, err
}

// Differences are the keys beside the policy whose values are others in another file.
// Both have been checked.
func (f *File) Differences(next *File) (keys []string) {
	a, b := reflect.ValueOf(*f.Config), reflect.ValueOf(*next.Config)
	for i := range a.NumField() {
		key := a.Type().Field(i).Tag.Get("yaml")
		if key != "-" && key != "policy" && !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			keys = append(keys, key)
		}
	}
	return keys
}
