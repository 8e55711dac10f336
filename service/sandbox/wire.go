package sandbox

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/merakibroker/merakibroker/service/sandbox/document"
	"github.com/merakibroker/merakibroker/service/sandbox/wireshape"
)

// Wire says where the sandbox answers as the Dashboard does, and not as the
// vendor's document has it. Its JSON is what PUT /_sim/wire takes.
type Wire struct {
	// Shapes gives the operations of package wireshape the shapes that users have
	// seen: other types, lists for objects, properties without documentation.
	Shapes bool `json:"shapes"`
	// Items names operations whose bare list comes as {"items": [...], "meta": ...}.
	Items []string `json:"items,omitempty"`
	// EndlessEvents gives pages of events a link backward even when they are empty,
	// for ever, as users have seen it.
	EndlessEvents bool `json:"endlessEvents,omitempty"`
	// Errors names operations that answer 200 with {"errors": [...]}.
	Errors []string `json:"errors,omitempty"`
}

// SetWire changes how answers look from now on.
func (s *Sandbox) SetWire(w Wire) error {
	for _, id := range slices.Concat(w.Items, w.Errors) {
		if s.router.byID[id] == nil {
			return fmt.Errorf("sandbox: there is no operation %q", id)
		}
	}
	s.wire.Store(&w)
	return nil
}

// onWire gives an answer the shape that it has on the wire.
func (s *Sandbox) onWire(c *request, a *response) *response {
	w := s.wire.Load()
	if c.route == nil || a.status >= 300 || len(a.body) == 0 {
		return a
	}
	id := c.route.op.GetId()
	items, errors := slices.Contains(w.Items, id), slices.Contains(w.Errors, id)
	if !w.Shapes && !items && !errors {
		return a
	}
	v, err := document.Decode(a.body)
	if err != nil {
		return a
	}
	if w.Shapes {
		v = wireshape.Rewrite(c.route.op.GetPath(), c.r.Method, v)
	}
	switch {
	case errors:
		v = map[string]any{"errors": []any{"Something went wrong"}}
	case items:
		v = wireshape.AsItems(v)
	}
	out := *a // what is kept of answers stays as it was
	out.body = document.Encode(v)
	return &out
}

// extra keeps what a write says in properties that the documented answer lacks;
// what was said before stays.
func (s *Sandbox) extra(c *request, path string) map[string]any {
	names := wireshape.Extra(c.route.op.GetPath())
	if names == nil {
		return nil
	}
	out := map[string]any{}
	if doc := s.store.get(path); doc != nil {
		out = document.Merge(out, doc.extra)
	}
	for _, name := range names {
		if v, ok := c.object()[name]; ok {
			out[name] = v
		}
	}
	return out
}

// refusedOnWire refuses a write that follows the document where the Dashboard
// does not.
func (s *Sandbox) refusedOnWire(c *request) *response {
	if !s.wire.Load().Shapes {
		return nil
	}
	if says := wireshape.Refuse(c.route.op.GetPath(), c.doc); says != "" {
		return refusal(http.StatusBadRequest, says)
	}
	return nil
}
