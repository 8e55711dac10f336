package sandbox

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/merakibroker/merakibroker/service/sandbox/document"
	"github.com/merakibroker/merakibroker/service/sandbox/inventory"
)

// fillPath puts ids of the world into an operation's path.
func fillPath(s *Sandbox, path string) string {
	for _, p := range []struct{ name, value string }{
		{"organizationId", s.OrganizationID(0)}, {"networkId", s.NetworkID(0, 1)}, {"serial", s.Serial(0, 1, 1)}, {"number", "1"}, {"portId", "2"},
	} {
		path = strings.ReplaceAll(path, "{"+p.name+"}", p.value)
	}
	for {
		i := strings.IndexByte(path, '{')
		if i < 0 {
			return path
		}
		j := strings.IndexByte(path, '}')
		path = path[:i] + "600000000000000001" + path[j+1:]
	}
}

// TestEveryOperation asks for every operation of the contract once and holds the
// answer against the response's descriptor.
func TestEveryOperation(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, open())
	// Each gets a world of its own where it would take away what the next needs.
	if len(s.router.routes) < 900 {
		t.Fatalf("only %d operations", len(s.router.routes))
	}
	for _, r := range s.router.routes {
		id, method := r.op.GetId(), [...]string{"GET", "PUT", "POST", "DELETE"}[r.verb]
		path, body := fillPath(s, r.op.GetPath()), ""
		if r.verb == verbPut || r.verb == verbPost {
			body = "{}"
		}
		switch id {
		case "createOrganization", "cloneOrganization", "combineOrganizationNetworks":
			body = `{"name":"New"}`
		case "createOrganizationNetwork":
			body = `{"name":"New","productTypes":["switch"]}`
		case "getOrganizationActionBatch", "updateOrganizationActionBatch", "deleteOrganizationActionBatch":
			o := ask(t, s, "POST", fillPath(s, "/organizations/{organizationId}/actionBatches"), "{}").object(t, 201)
			path = fillPath(s, "/organizations/{organizationId}/actionBatches") + "/" + document.Text(o["id"])
		}
		if r.op.GetRequestField() != "" {
			body = "[]"
		}
		g := ask(t, s, method, path, body)
		if r.verb == verbDelete {
			s.Reset()
		}
		d := s.form(r)
		if g.status != d.status {
			t.Errorf("%s: %s %s: %d, want %d: %.200s", id, method, path, g.status, d.status, g.body)
			continue
		}
		if g.status == 204 {
			if g.body != "" {
				t.Errorf("%s: a 204 with a body", id)
			}
			continue
		}
		out := r.method.Descriptor.Output()
		if d.shape == nil {
			continue
		}
		v, err := document.Decode([]byte(g.body))
		if err != nil {
			t.Errorf("%s: not JSON: %v: %.200s", id, err, g.body)
			continue
		}
		if f := r.op.GetResponseField(); f != "" {
			err = fitsField(v, out.Fields().ByName(protoreflect.Name(f)), id)
		} else {
			err = fitsMessage(v, out, id)
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// TestEveryWrite sends a full body to every PUT and POST: what comes back fits,
// and what was sent is in it where the answer has a place for it.
func TestEveryWrite(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, open())
	shown, sent := 0, 0
	for _, r := range s.router.routes {
		id := r.op.GetId()
		if (r.verb != verbPut && r.verb != verbPost) || strings.Contains(id, "ActionBatch") {
			continue
		}
		in := s.shapes.Of(r.method.Descriptor.Input())
		m := document.Builder{Inventory: s.inventory, At: inventory.Nowhere()}
		o := document.DecodeObject(m.Object(nil, in, 99, document.SubjectNone, 0))
		for _, p := range r.params {
			delete(o, p)
		}
		body := document.Encode(o)
		if f := r.op.GetRequestField(); f != "" {
			fd := r.method.Descriptor.Input().Fields().ByName(protoreflect.Name(f))
			name, _ := document.Binding(fd)
			body = document.Encode(o[name])
		}
		g := ask(t, s, [...]string{"GET", "PUT", "POST", "DELETE"}[r.verb], fillPath(s, r.op.GetPath()), string(body))
		if id == "combineOrganizationNetworks" { // of networks that are not there
			if g.status != 400 {
				t.Errorf("%s: %d %s", id, g.status, g.body)
			}
			continue
		}
		if g.status != s.form(r).status {
			t.Errorf("%s: %d %.200s", id, g.status, g.body)
			continue
		}
		out := r.method.Descriptor.Output()
		if g.status == 204 || s.form(r).shape == nil {
			continue
		}
		v, err := document.Decode([]byte(g.body))
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		if f := r.op.GetResponseField(); f != "" {
			err = fitsField(v, out.Fields().ByName(protoreflect.Name(f)), id)
		} else {
			err = fitsMessage(v, out, id)
		}
		if err != nil {
			t.Error(err)
		}
		back, _ := v.(map[string]any)
		for k, x := range o {
			if f := s.form(r).shape.Find(k); f != nil && back != nil && f.Kind != document.KindObject && k != s.form(r).key && k != "status" && k != "url" {
				if fit, ok := f.Conform(x); ok {
					sent++
					if string(document.Encode(fit)) == string(document.Encode(back[k])) {
						shown++
					} else {
						t.Logf("%s: %s was sent as %v and is %v", id, k, x, back[k])
					}
				}
			}
		}
	}
	if shown < sent*95/100 || sent < 500 {
		t.Errorf("%d of %d values that were sent are shown", shown, sent)
	}
}

// fitsMessage is the test's own reading of a descriptor, apart from shape's.
func fitsMessage(v any, m protoreflect.MessageDescriptor, at string) error {
	if m.Fields().Len() == 1 {
		if name, _ := document.Binding(m.Fields().Get(0)); name == "[]" {
			return fitsField(v, m.Fields().Get(0), at)
		}
	}
	switch m.FullName() {
	case "google.protobuf.Timestamp":
		s, _ := v.(string)
		if _, err := time.Parse(time.RFC3339, s); err != nil {
			return fmt.Errorf("%s: not an instant: %v", at, v)
		}
		return nil
	case "google.protobuf.Value":
		return nil
	case "google.protobuf.ListValue":
		if _, ok := v.([]any); !ok {
			return fmt.Errorf("%s: not a list: %v", at, v)
		}
		return nil
	}
	o, ok := v.(map[string]any)
	if !ok {
		return fmt.Errorf("%s: not an object: %v", at, v)
	}
	if m.FullName() == "google.protobuf.Struct" {
		return nil
	}
	byName := map[string]protoreflect.FieldDescriptor{}
	for i := range m.Fields().Len() {
		name, _ := document.Binding(m.Fields().Get(i))
		byName[name] = m.Fields().Get(i)
	}
	for k, x := range o {
		fd := byName[k]
		if fd == nil {
			return fmt.Errorf("%s: unknown property %q", at, k)
		}
		if x == nil {
			continue
		}
		if err := fitsField(x, fd, at+"."+k); err != nil {
			return err
		}
	}
	return nil
}

func fitsField(v any, fd protoreflect.FieldDescriptor, at string) error {
	switch {
	case fd.IsMap():
		o, ok := v.(map[string]any)
		if !ok {
			return fmt.Errorf("%s: not a map: %v", at, v)
		}
		for k, x := range o {
			if err := fitsSingle(x, fd.MapValue(), at+"."+k); err != nil {
				return err
			}
		}
		return nil
	case fd.IsList():
		l, ok := v.([]any)
		if !ok {
			return fmt.Errorf("%s: not a list: %v", at, v)
		}
		for _, x := range l {
			if err := fitsSingle(x, fd, at+"[]"); err != nil {
				return err
			}
		}
		return nil
	}
	return fitsSingle(v, fd, at)
}

func fitsSingle(v any, fd protoreflect.FieldDescriptor, at string) error {
	ok := false
	switch fd.Kind() {
	case protoreflect.MessageKind:
		return fitsMessage(v, fd.Message(), at)
	case protoreflect.StringKind:
		_, ok = v.(string)
	case protoreflect.BoolKind:
		_, ok = v.(bool)
	case protoreflect.Int64Kind:
		n, is := v.(json.Number)
		_, err := n.Int64()
		ok = is && err == nil
	case protoreflect.DoubleKind:
		_, ok = v.(json.Number)
	}
	if !ok {
		return fmt.Errorf("%s: %v is no %s", at, v, fd.Kind())
	}
	return nil
}
