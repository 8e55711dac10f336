// Package openapi reads the vendor's OpenAPI 3 document: the operations, their
// parameters and the schemas of what goes in and comes out, with references
// resolved and properties in the document's own order.
package openapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// deepest is how far a document may nest. The vendor's goes to about 40.
const deepest = 512

type kind uint8

const (
	null kind = iota
	boolean
	number
	text
	list
	object
)

// A node is one JSON value. Objects keep the order of their keys: the order of
// properties in the document is the order of fields in a new message.
type node struct {
	kind   kind
	truth  bool
	text   string // of text and number
	items  []*node
	keys   []string
	fields map[string]*node
}

// read parses one JSON value that fills the whole input.
func read(data []byte) (*node, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	n, err := readNode(d, 0)
	if err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("it ends too early")
		}
		return nil, fmt.Errorf("not a JSON document: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("not a JSON document: something follows the first value")
	}
	return n, nil
}

func readNode(d *json.Decoder, depth int) (*node, error) {
	if depth > deepest {
		return nil, fmt.Errorf("nested deeper than %d", deepest)
	}
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case bool:
		return &node{kind: boolean, truth: t}, nil
	case json.Number:
		return &node{kind: number, text: t.String()}, nil
	case string:
		return &node{kind: text, text: t}, nil
	case json.Delim:
		if t == '{' {
			return readObject(d, depth)
		}
		return readList(d, depth)
	}
	return &node{}, nil
}

func readObject(d *json.Decoder, depth int) (*node, error) {
	n := &node{kind: object, fields: make(map[string]*node)}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		key, ok := t.(string)
		if !ok {
			return nil, fmt.Errorf("a key is %v", t)
		}
		v, err := readNode(d, depth+1)
		if err != nil {
			return nil, err
		}
		if _, twice := n.fields[key]; !twice {
			n.keys = append(n.keys, key)
		}
		n.fields[key] = v
	}
	_, err := d.Token()
	return n, err
}

func readList(d *json.Decoder, depth int) (*node, error) {
	n := &node{kind: list}
	for d.More() {
		v, err := readNode(d, depth+1)
		if err != nil {
			return nil, err
		}
		n.items = append(n.items, v)
	}
	_, err := d.Token()
	return n, err
}

// get is the member of an object; nil when there is none. It is safe on nil.
func (n *node) get(key string) *node {
	if n == nil {
		return nil
	}
	return n.fields[key]
}

func (n *node) is(k kind) bool { return n != nil && n.kind == k }

// string is the text of a string or number, empty for anything else.
func (n *node) string() string {
	if n == nil {
		return ""
	}
	return n.text
}

func (n *node) bool() bool { return n != nil && n.truth }

// strings are the texts of a list of strings; what is not a string is passed over.
func (n *node) strings() []string {
	if n == nil {
		return nil
	}
	var out []string
	for _, v := range n.items {
		if v.kind == text {
			out = append(out, v.text)
		}
	}
	return out
}

// literal prints a scalar as it stands in the document.
func (n *node) literal() string {
	switch {
	case n == nil:
		return ""
	case n.kind == boolean && n.truth:
		return "true"
	case n.kind == boolean:
		return "false"
	case n.kind == text:
		return fmt.Sprintf("%q", n.text)
	case n.kind == number:
		return n.text
	}
	return ""
}

// at follows a local reference such as "#/components/schemas/Vlan".
func (n *node) at(ref string) *node {
	path, ok := strings.CutPrefix(ref, "#/")
	if !ok {
		return nil
	}
	for step := range strings.SplitSeq(path, "/") {
		step = strings.ReplaceAll(strings.ReplaceAll(step, "~1", "/"), "~0", "~")
		if n = n.get(step); n == nil {
			return nil
		}
	}
	return n
}
