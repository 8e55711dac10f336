package model

import (
	"cmp"
	"slices"
	"strings"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
)

// nested is what the lock calls rows that are no top-level message.
const nested = "-"

// A group is what the operations of one resource answer with: the operations on
// its own path, the POST on its collection's path, and the rows of that
// collection.
type group struct {
	// path is the resource's own; empty for a group that is none.
	path    string
	members []*member
	name    string
}

// A member is one description of the resource.
type member struct {
	op     *Operation
	object *Object
	path   string
	rank   int
	row    bool
	locked string // the message that carries it already
}

// A shelf is the messages of one section by name.
type shelf struct {
	byName map[string]*Resource
	// lists are the messages of collections: GET, PUT and POST of one list answer
	// with one message.
	lists map[string]string
	// byPath are the resources by their own path, grouped their names.
	byPath  map[string]*Resource
	grouped map[string]bool
	// meta is what the collections have beside their rows.
	meta *Resource
	// rows are the rows of the collections by path, and reads tells the paths on which
	// they are read with a GET, as items of an object.
	rows  map[string]*Type
	reads map[string]bool
	taken map[string]bool // lower case: file systems and languages that ignore case exist
}

// resources gives each operation of a section its response message.
func (b *builder) resources(s *Section) {
	sh := &shelf{
		byName: make(map[string]*Resource), lists: make(map[string]string), byPath: make(map[string]*Resource),
		grouped: make(map[string]bool), rows: make(map[string]*Type), reads: make(map[string]bool), taken: make(map[string]bool),
	}
	sh.taken[strings.ToLower(Pascal(s.Name)+"Service")] = true
	sh.taken[strings.ToLower(MetaName)] = true
	for _, op := range s.Operations {
		if b.locked.Section(op.Option.Id) == "" {
			for b.locked.Holds(s.Name, op.RequestName) {
				op.RequestName += "V2"
			}
		}
		sh.taken[strings.ToLower(op.RequestName)] = true
		if op.shape.collection || op.shape.empty {
			sh.taken[strings.ToLower(op.RPC+"Response")] = true
		}
	}
	elements := itemPaths(s)
	for _, g := range b.groups(s, elements) {
		b.settle(s, sh, g)
	}
	for _, op := range s.Operations {
		b.where = op.Option.Id
		if r := sh.written(op, elements); r != nil {
			b.share(op, r)
		}
	}
	for _, op := range s.Operations {
		b.where = op.Option.Id
		op.Option.ResponseField = op.shape.responseField()
		if was := b.locked.Operation(op.Option.Id); isItems(was.GetResponseField()) || op.shape.free {
			op.Option.ResponseField = was.GetResponseField()
		}
		b.answer(s, sh, op)
		if op.shape.collection && sh.rows[op.Option.Path] == nil {
			i := slices.IndexFunc(op.Response.Object.Props, func(p *Prop) bool { return p.Root && p.Type.Kind == Message })
			if i >= 0 {
				sh.rows[op.Option.Path] = &op.Response.Object.Props[i].Type
			}
		}
		if op.shape.collection && op.shape.rows == items && op.Option.Verb == apiv1.Verb_VERB_GET {
			sh.reads[op.Option.Path] = true
		}
	}
	for _, op := range s.Operations {
		if row := sh.rows[op.Option.Path]; row != nil {
			sh.shareRows(op, row)
		}
	}
}

// groups finds the resources of a section, the best name first.
func (b *builder) groups(s *Section, items map[string]string) []*group {
	byPath := make(map[string]*group)
	add := func(path string, m *member) {
		g := byPath[path]
		if g == nil {
			g = new(group)
			if strings.HasPrefix(path, "/") {
				g.path = path
			}
			byPath[path] = g
		}
		g.members = append(g.members, m)
	}
	var free []*member // answers of free form, which say nothing about the resource
	for _, op := range s.Operations {
		sh := op.shape
		if sh.empty || sh.collection {
			continue
		}
		m := &member{op: op, object: sh.object, locked: b.locked.Response(op.Option.Id)}
		path := op.Option.Path
		switch op.Option.Verb {
		case apiv1.Verb_VERB_GET:
		case apiv1.Verb_VERB_POST:
			m.rank = 2
			if item := items[path]; item != "" {
				path = item
			}
		case apiv1.Verb_VERB_DELETE:
			path = "DELETE " + path // by itself
		default:
			m.rank = 1
		}
		if sh.whole {
			m.path = path
			free = append(free, m)
			continue
		}
		add(path, m)
	}
	for _, m := range free {
		p := m.object.Props[0]
		if byPath[m.path] != nil && p.Type.Label == One && p.Type.Kind == Struct && m.locked == "" {
			m.object, m.op.shape.whole = new(Object), false // what its siblings describe
			add(m.path, m)
			continue
		}
		add("whole "+p.Name+" "+m.path, m) // shared only with its like
	}
	for _, op := range s.Operations {
		row := op.shape.row
		if !op.shape.collection || row.Kind != Message || wrapped(row) {
			continue
		}
		m := &member{op: op, object: row.Object, rank: 3, row: true, locked: b.locked.Row(op.Option.Id)}
		item := items[op.Option.Path]
		if byPath[item] == nil { // a PUT on the item itself that answers with the whole list
			item = op.Option.Path
		}
		switch {
		case m.locked == nested:
		case byPath[item] != nil:
			add(item, m)
		case m.locked != "": // the operations that shared the message are gone
			add("rows "+op.Option.Path, m)
		}
	}
	var out []*group
	for _, g := range byPath {
		slices.SortStableFunc(g.members, func(x, y *member) int {
			return cmp.Or(cmp.Compare(x.rank, y.rank), strings.Compare(x.op.Option.Path, y.op.Option.Path),
				strings.Compare(x.op.Option.Id, y.op.Option.Id))
		})
		out = append(out, g)
	}
	slices.SortFunc(out, func(x, y *group) int {
		p, q := x.members[0], y.members[0]
		return cmp.Or(cmp.Compare(p.rank, q.rank), strings.Compare(p.op.Option.Path, q.op.Option.Path),
			strings.Compare(p.op.Option.Id, q.op.Option.Id))
	})
	return out
}

// settle names the message of a group and unites what its members say. A member
// that the lock has with another message stays there.
func (b *builder) settle(s *Section, sh *shelf, g *group) {
	for _, m := range g.members {
		if m.locked != "" && m.locked != nested {
			g.name = m.locked
			break
		}
	}
	lead := g.members[0].op
	if g.name == "" {
		g.name = b.free(s, sh, resourceName(lead), lead.RPC+"Response")
	}
	for i, m := range g.members {
		name := cmp.Or(m.locked, g.name)
		r := sh.byName[name]
		if r == nil {
			r = &Resource{Name: name, Object: new(Object), Path: lead.Option.Path, Noun: lead.Noun}
			sh.byName[name] = r
			sh.taken[strings.ToLower(name)] = true
		}
		sh.grouped[name] = true
		if i == 0 && g.path != "" && !m.row {
			sh.byPath[g.path] = r
		}
		b.where = m.op.Option.Id
		unite(r.Object, m.object, b.clash)
		m.op.Noun = r.Noun
		if m.row {
			m.op.shape.row.Object, m.op.shape.row.Resource = r.Object, r
		} else {
			m.op.Response = r
		}
	}
}

// answer finishes the response of an operation: collections, and operations that
// answer with nothing yet. Every operation has a message, so that it can grow.
func (b *builder) answer(s *Section, sh *shelf, op *Operation) {
	locked := b.locked.Response(op.Option.Id)
	if op.Response != nil {
		return
	}
	name := locked
	if name == "" {
		name = sh.lists[op.shape.list(op)]
	}
	if name == "" {
		name = op.RPC + "Response"
		for b.locked.Holds(s.Name, name) {
			name += "V2"
		}
	}
	r := sh.byName[name]
	if r == nil {
		r = &Resource{Name: name, Object: new(Object), Path: op.Option.Path, Noun: op.Noun}
		sh.byName[name] = r
	}
	op.Response, op.Noun = r, r.Noun
	if list := op.shape.list(op); sh.lists[list] == "" {
		sh.lists[list] = name
	}
	if op.shape.collection {
		sh.shareMeta(op.shape.object, op)
		unite(r.Object, op.shape.collect(op.shape.row), b.clash)
	} else {
		unite(r.Object, op.shape.object, b.clash)
	}
}

// free is the first of the names that nothing else has.
func (b *builder) free(s *Section, sh *shelf, names ...string) string {
	name := ""
	for _, name = range names {
		if name != "" && !sh.taken[strings.ToLower(name)] && !b.locked.Holds(s.Name, name) {
			return name
		}
	}
	for sh.taken[strings.ToLower(name)] || b.locked.Holds(s.Name, name) {
		name += "V2"
	}
	return name
}

// resourceName is the operationId without its verb, for the verbs that speak
// about the resource itself. What blinkDeviceLeds answers is not a DeviceLeds.
func resourceName(op *Operation) string {
	switch verb(op.Option.Id) {
	case "get", "update", "create":
		return noun(op.Option.Id)
	}
	return ""
}
