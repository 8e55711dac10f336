package sandbox

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/merakibroker/merakibroker/service/sandbox/document"
	"github.com/merakibroker/merakibroker/service/sandbox/wireshape"
)

// What the vendor's document does not have, and clients ask for all the same.

// plainPath takes the address out of a path that has it twice. The vendor's
// Python SDK believes only hosts that look like the vendor's; with another one
// it asks for /api/v1http://HOST/api/v1/organizations, once it follows a page's
// link. Proxies merge the slashes.
func plainPath(path string) string {
	for _, scheme := range [...]string{"http:/", "https:/"} {
		if rest, ok := strings.CutPrefix(strings.TrimPrefix(path, "/"), scheme); ok {
			if _, after, ok := strings.Cut(rest, "/api/v1"); ok {
				return after
			}
		}
	}
	return path
}

// An alias is a path that the Dashboard answers although it is not documented.
type alias struct {
	template, meant string
	client          string // whose it is
}

var aliases = []alias{
	{"/organizations/{organizationId}/networks/{networkId}", "/networks/{networkId}", "the Terraform provider"},
	{"/organizations/{organizationId}/inventoryDevices", "/organizations/{organizationId}/inventory/devices", "the Python SDK's smart flow"},
}

// meant gives the documented path that a path stands for.
func meant(path string) (string, bool) {
	for _, a := range aliases {
		if p, ok := fill(a.template, a.meant, path); ok {
			return p, true
		}
	}
	return "", false
}

// locateUndocumented finds who pays for a path that is no operation, and what it
// stands for where that is known.
func (s *Sandbox) locateUndocumented(c *request, verb int) {
	first, rest, _ := strings.Cut(c.path[1:], "/")
	id, rest, _ := strings.Cut(rest, "/")
	if plain, err := url.PathUnescape(id); err == nil {
		id = plain
	}
	at, ok := c.at, false
	switch first {
	case "organizations":
		at, ok = s.inventory.Organization(id)
	case "networks":
		at, ok = s.inventory.Network(id)
	case "devices":
		at, ok = s.inventory.Device(id)
	}
	if !ok {
		return
	}
	if path, found := meant(c.path); found && verb >= 0 {
		if r, values := s.router.find(verb, path[1:], nil); r != nil {
			c.path = path
			c.bind(r, values)
			s.locateParameters(c)
			c.known = c.known && c.at.Org == at.Org
			c.at.Org = at.Org // whose path it is pays, whatever is found there
			return
		}
	}
	c.at = at
	c.undocumented = s.opts.AnyPath && verb >= 0 && rest != ""
}

// performUndocumented answers a path of which nothing is known, as a store of
// JSON: what was written is read again, and what was not is an empty object.
func (s *Sandbox) performUndocumented(c *request) *response {
	if s.store.isGone(c.path) {
		return refusal(http.StatusNotFound, saysNotFound)
	}
	var sent map[string]any
	if len(c.body) > 0 {
		if sent = document.DecodeObject(c.body); sent == nil {
			return refusal(http.StatusBadRequest, "There was a problem in the JSON you submitted: it is not an object")
		}
	}
	had := map[string]any{}
	if doc := s.store.get(c.path); doc != nil {
		had = document.DecodeObject(doc.body)
	}
	switch c.r.Method {
	case http.MethodDelete:
		s.store.remove(c.path)
		return &response{status: http.StatusNoContent}
	case http.MethodPost:
		id := madeID(document.Hash(c.path)%1e11, createdFrom+s.store.next())
		doc := &resource{body: document.Encode(document.Merge(map[string]any{"id": id}, sent))}
		s.store.create(c.path, id, doc)
		return &response{status: http.StatusCreated, body: doc.body}
	case http.MethodPut:
		doc := &resource{body: document.Encode(document.Merge(had, sent))}
		s.store.put(c.path, doc)
		return &response{status: http.StatusOK, body: doc.body}
	}
	if ids := s.store.ids(c.path); len(ids) > 0 {
		rows := []any{}
		for _, id := range ids {
			if doc := s.store.get(c.path + "/" + id); doc != nil {
				rows = append(rows, document.DecodeObject(doc.body))
			}
		}
		return &response{status: http.StatusOK, body: document.Encode(rows)}
	}
	return &response{status: http.StatusOK, body: document.Encode(had)}
}

// redirectToShard sends a request to the host where its organization lives; nil
// when that is here, or when all live everywhere. The statuses are those that
// users have seen: 302 for reads, 308 for writes.
func (s *Sandbox) redirectToShard(c *request) *response {
	if len(s.opts.Shards) == 0 || c.at.Org < 0 {
		return nil
	}
	home := strings.TrimSuffix(s.opts.Shards[c.at.Org%len(s.opts.Shards)], "/")
	if home == c.origin() {
		return nil
	}
	status := http.StatusPermanentRedirect
	if c.r.Method == http.MethodGet {
		status = http.StatusFound
	}
	location := home + "/api/v1" + c.sent
	if q := c.r.URL.RawQuery; q != "" {
		location += "?" + q
	}
	return redirectTo(status, location)
}

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
