package dashboard

import (
	"bytes"
	"cmp"
	"encoding/json"
	"strings"
)

// Bounds on the messages of one error.
const (
	maxMessages     = 16
	maxMessageBytes = 500
	maxDepth        = 6
	maxTokens       = 4096
)

// messages finds the messages in an error's body, in their order. Shapes seen:
// errors as a list of strings, as an object, as a list of objects; error;
// message; a JSON string; HTML; text; a space; nothing. A body that was cut off
// gives the messages before the cut. The attempt's own secret is replaced twice:
// in the raw body, before shortening could leave a part of the secret, and in the
// decoded texts, where an escape has hidden it.
func messages(body []byte, m *mask) []string {
	b := bytes.TrimSpace(bytes.TrimPrefix([]byte(m.cut(string(body))), []byte("\xef\xbb\xbf")))
	if len(b) == 0 {
		return nil
	}
	switch b[0] {
	case '{', '[', '"':
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		c := collector{d: d, mask: m}
		c.root()
		if len(c.out) > 0 || c.whole {
			return c.out
		}
	case '<':
		if s := clean(htmlText(b), m); s != "" {
			return []string{s}
		}
		return nil
	}
	if s := clean(string(b), m); s != "" {
		return []string{s}
	}
	return nil
}

// A collector walks a JSON document token by token, because the order of an
// object's members matters here, and because a document that was cut off should
// give the messages before the cut.
type collector struct {
	d      *json.Decoder
	mask   *mask
	out    []string
	tokens int
	whole  bool // the document was read to its end
}

// said tells whether a member carries text meant for a reader. It compares names
// in lower case.
func said(name string) bool {
	switch strings.ToLower(name) {
	case "errors", "error", "message", "messages", "error_description", "detail", "details", "title", "reason":
		return true
	}
	return false
}

func (c *collector) add(s string) {
	if s = clean(s, c.mask); s != "" && len(c.out) < maxMessages {
		c.out = append(c.out, s)
	}
}

// next gives the next token; ok is false at the end of the document, where it was
// cut off, and at the bound.
func (c *collector) next() (t json.Token, ok bool) {
	if c.tokens++; c.tokens > maxTokens || len(c.out) >= maxMessages {
		return nil, false
	}
	t, err := c.d.Token()
	return t, err == nil
}

func (c *collector) root() {
	t, ok := c.next()
	if !ok {
		return
	}
	c.whole = c.value(t, "", 0)
}

// value reads one value that is meant for a reader. name goes before the value's
// text: where errors is an object, name is the field that is wrong.
func (c *collector) value(t json.Token, name string, depth int) bool {
	switch t := t.(type) {
	case json.Delim:
		if depth >= maxDepth {
			return false
		}
		if t == '[' {
			return c.list(name, depth)
		}
		return c.object(name, depth)
	case nil:
		return true
	case string:
		c.add(named(name, t))
	default:
		// A number or a boolean says something only together with a name.
		if s := scalar(t); s != "" && name != "" {
			c.add(named(name, s))
		}
	}
	return true
}

func (c *collector) list(name string, depth int) bool {
	for {
		t, ok := c.next()
		if !ok {
			return false
		}
		if t == json.Delim(']') {
			return true
		}
		if !c.value(t, name, depth+1) {
			return false
		}
	}
}

// object reads the members of an object. Where some members carry text, the other
// members only name the thing that the text is about: the first plain one (such
// as "serial") follows the text in brackets. The document itself is an exception,
// because its plain member would be a status or a time.
func (c *collector) object(name string, depth int) bool {
	first := len(c.out)
	var aside []string // what the other members say
	var of string      // the first plain one
	spoke := false
	ok := c.members(func(member string, t json.Token) bool {
		if said(member) {
			spoke = true
			return c.value(t, name, depth+1)
		}
		if _, nested := t.(json.Delim); nested {
			from := len(c.out)
			ok := c.value(t, under(name, member), depth+1)
			aside = append(aside, c.out[from:]...)
			c.out = c.out[:from]
			return ok
		}
		if s := scalar(t); s != "" && len(aside) < maxMessages {
			aside = append(aside, named(under(name, member), s))
			of = cmp.Or(of, member+" "+s)
		}
		return true
	})
	switch {
	case !spoke:
		for _, s := range aside {
			c.add(s)
		}
	case depth > 0 && len(c.out) > first && of != "":
		c.out[first] = clean(c.out[first]+" ("+of+")", c.mask)
	}
	return ok
}

// members calls each with every member's name and the first token of its value.
func (c *collector) members(each func(name string, t json.Token) bool) bool {
	for {
		t, ok := c.next()
		if !ok {
			return false
		}
		name, ok := t.(string)
		if !ok {
			return true // the closing brace
		}
		if t, ok = c.next(); !ok || !each(name, t) {
			return false
		}
	}
}

func scalar(t json.Token) string {
	switch t := t.(type) {
	case string:
		return t
	case json.Number:
		return t.String()
	case bool:
		if t {
			return "true"
		}
		return "false"
	}
	return ""
}

func under(name, member string) string {
	if name == "" {
		return member
	}
	return name + "." + member
}

func named(name, text string) string {
	if name == "" {
		return text
	}
	return name + ": " + text
}
