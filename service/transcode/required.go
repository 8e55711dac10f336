package transcode

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A requirement is what the document requires in one place of the body.
type requirement struct {
	// key is the property's name in JSON, and name its field's in the proto.
	key, name string
	// must: the property has to be there.
	must bool
	// list: the place is a list, whose elements are the objects; values: it is a map,
	// whose values are.
	list, values bool
	// inside is required of the object here, or of each element or value.
	inside []requirement
}

// maxRequired bounds what is required of one object: a bit for each.
const maxRequired = 64

// require adds the path of a required list to the plan. Whether it is there is
// looked up in the body as written: fields, masks and additional properties can all
// put it there.
func (p *Plan) require(path string) error {
	at, m := &p.required, p.request
	parts := strings.Split(path, ".")
	for i, part := range parts {
		if part == "*" {
			at.values = true
			continue
		}
		key, isList := strings.CutSuffix(part, "[]")
		if key == "" && i == 0 && isList && p.whole >= 0 { // the body itself is the list
			at.list, m = true, p.request.fields[p.whole].message
			continue
		}
		f := -1
		if m != nil {
			f = m.byKey([]byte(key))
		}
		if f < 0 || i == 0 && p.bindings[f].location != inBody {
			return fmt.Errorf("required_lists: %q leads to nothing", path)
		}
		n := at.of([]byte(key))
		if n < 0 {
			if n = len(at.inside); n == maxRequired {
				return fmt.Errorf("required_lists: more than %d in one object", maxRequired)
			}
			at.inside = append(at.inside, requirement{key: key, name: m.fields[f].name})
		}
		at, m = &at.inside[n], m.fields[f].message
		at.list = at.list || isList
	}
	at.must = true
	return nil
}

// complete refuses a body without a list that the document requires.
func (p *Plan) complete(w *writer) bool {
	if len(p.required.inside) == 0 {
		return true
	}
	r := reader{src: w.out, depth: -maxDepth} // what the writer has made is never too deep
	_, missing := r.missing(&p.required, 0)
	if missing == "" {
		return true
	}
	if p.whole >= 0 {
		missing = p.request.fields[p.whole].name + missing
	}
	place := strings.NewReplacer("[", ".", "]", "").Replace(missing)
	w.fail("the Dashboard requires it, and an empty list or map looks like an absent one: to send an empty one, name %q in empty_fields; nothing was sent", shown(place))
	w.err.Field = missing
	return false
}

// missing finds what is required in the value at i and is not there: the path of
// its field, "" when nothing is missing. The document is our own, without white space.
func (r *reader) missing(need *requirement, i int) (next int, path string) {
	if len(need.inside) == 0 {
		return r.skip(i), ""
	}
	switch c := r.byteAt(i); {
	case need.list && c == '[':
		return r.missingElement(need, i+1)
	case !need.list && c == '{':
		return r.missingMember(need, i+1)
	}
	return r.skip(i), "" // null, or what additional properties have put there, as it came
}

// missingElement looks through a list, from behind its bracket.
func (r *reader) missingElement(need *requirement, i int) (next int, path string) {
	if r.byteAt(i) == ']' {
		return i + 1, ""
	}
	for n, more := 0, true; more; n++ {
		if r.byteAt(i) != '{' {
			i = r.skip(i)
		} else if i, path = r.missingMember(need, i+1); path != "" {
			return i, joined("["+strconv.Itoa(n)+"]", path)
		}
		i, more = r.more(i, ']')
	}
	return i, ""
}

// missingMember looks through an object or a map, from behind its brace.
func (r *reader) missingMember(need *requirement, i int) (next int, path string) {
	var found uint64
	for more := r.byteAt(i) != '}'; more; {
		name, colon, _ := r.text(i + 1)
		inner, step := &requirement{}, ""
		if need.values {
			inner, step = &requirement{inside: need.inside}, "["+string(name)+"]"
		} else if n := need.of(name); n >= 0 {
			inner, step = &need.inside[n], need.inside[n].name
			found |= 1 << n
		}
		if i, path = r.missing(inner, colon+1); path != "" {
			return i, joined(step, path)
		}
		if i, more = r.more(i, '}'); !more {
			i--
		}
	}
	for n := range need.inside {
		if in := &need.inside[n]; !need.values && in.must && found&(1<<n) == 0 {
			return i, in.name
		}
	}
	return i + 1, ""
}

// of finds the requirement of a property; -1 when there is none.
func (need *requirement) of(name []byte) int {
	return slices.IndexFunc(need.inside, func(in requirement) bool { return in.key == string(name) })
}

// joined puts a step in front of a path.
func joined(step, path string) string {
	if path[0] == '[' {
		return step + path
	}
	return step + "." + path
}
