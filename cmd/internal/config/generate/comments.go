package main

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/invopop/jsonschema"
)

const module = "github.com/merakibroker/merakibroker"

// commented are the folders with types of the configuration.
var commented = []string{"cmd/internal/config", "service/identity", "service/rest", "service/credential", "service/telemetry"}

// comments are those of types and fields, by their full name in Go.
type comments struct {
	text map[string]string
	err  error
}

func readComments() (*comments, error) {
	r := new(jsonschema.Reflector)
	for _, folder := range commented {
		if err := r.AddGoComments(module, folder, jsonschema.WithFullComment()); err != nil {
			return nil, err
		}
	}
	return &comments{text: r.CommentMap}, nil
}

// field is what a reader of the file is told of a key: the field's own comment, and
// that of its type, in the file's words.
func (c *comments) field(t reflect.Type, name string) string {
	if name == "" { // a type, which is told with the field that is of it
		return ""
	}
	f, _ := t.FieldByName(name)
	key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	if key == "-" {
		return ""
	}
	var told []string
	if own := c.text[fullName(t)+"."+name]; own != "" {
		told = append(told, inWords(own, t, name, "`"+key+"`"))
	}
	below := f.Type
	for below.Kind() == reflect.Pointer || below.Kind() == reflect.Slice {
		below = below.Elem()
	}
	if below.Kind() == reflect.Struct {
		if f.Type.Kind() == reflect.Slice {
			key = "An entry of `" + key + "`"
		} else {
			key = "`" + key + "`"
		}
		told = append(told, c.about(below, key))
	}
	if len(told) == 0 {
		c.err = fmt.Errorf("%s.%s has no comment", t, name)
	}
	return strings.Join(told, "\n\n")
}

// about is the comment of a type, with what stands for its name.
func (c *comments) about(t reflect.Type, as string) string {
	text := c.text[fullName(t)]
	if text == "" {
		c.err = fmt.Errorf("%s has no comment", t)
	}
	return inWords(text, t, t.Name(), as)
}

func fullName(t reflect.Type) string { return t.PkgPath() + "." + t.Name() }

// inWords turns Go's names into those of the file: that of the field or the type
// itself, and those of the fields beside or below it.
func inWords(text string, t reflect.Type, self, as string) string {
	text = regexp.MustCompile(`^(A |An )?`+self+`\b`).ReplaceAllString(text, as)
	for i := range t.NumField() {
		name := t.Field(i).Name
		if strings.ToUpper(name) == name { // TLS, RPC: names of things, too
			continue
		}
		other, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		text = regexp.MustCompile(`\b`+name+`\b`).ReplaceAllString(text, "`"+other+"`")
	}
	return text
}
