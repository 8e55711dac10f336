package sandbox

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/merakibroker/merakibroker/service/sandbox/document"
)

// write does what a PUT, POST or DELETE asks for.
func (s *Sandbox) write(c *request, d *answerForm) *response {
	switch c.route.op.GetId() {
	case "createOrganization", "cloneOrganization":
		return s.createOrganization(c, d)
	case "updateOrganization", "updateNetwork", "updateDevice":
		return s.rename(c, d)
	case "deleteOrganization":
		return s.deleteOrganization(c, d)
	case "createOrganizationNetwork":
		return s.createNetwork(c, d)
	case "deleteNetwork":
		return s.deleteNetwork(c, d)
	case "combineOrganizationNetworks":
		return s.combineNetworks(c, d)
	case "createNetworkMove":
		return s.moveNetwork(c, d)
	case "claimNetworkDevices":
		return s.claimDevices(c, d)
	case "removeNetworkDevices":
		return s.removeDevice(c, d)
	case "claimIntoOrganization", "claimIntoOrganizationInventory":
		return s.claimInventory(c, d)
	case "releaseFromOrganizationInventory":
		return s.releaseInventory(c, d)
	case "createOrganizationActionBatch":
		return s.createBatch(c, d)
	case "updateOrganizationActionBatch":
		return s.updateBatch(c, d)
	case "deleteOrganizationActionBatch":
		return s.deleteBatch(c, d)
	}
	if s.store.isGone(c.path) {
		return refusal(http.StatusNotFound, saysNotFound)
	}
	switch c.route.verb {
	case verbDelete:
		return s.remove(c, d)
	case verbPost:
		return s.post(c, d)
	}
	return s.put(c, d)
}

// remove deletes a row, or takes a setting back to what it was.
func (s *Sandbox) remove(c *request, d *answerForm) *response {
	if strings.HasSuffix(c.route.op.GetPath(), "}") {
		s.store.remove(c.path)
	} else {
		s.store.forget(c.path)
	}
	return &response{status: d.status}
}

// readForm is the form of the GET for what a write changes. Resources are stored
// in that form.
func (s *Sandbox) readForm(n *node, d *answerForm) *answerForm {
	if n != nil && n.route[verbGet] != nil {
		if g := s.form(n.route[verbGet]); g.rows == nil && g.doc == nil && g.shape != nil {
			return g
		}
	}
	return d
}

// put merges a body into a resource.
func (s *Sandbox) put(c *request, d *answerForm) *response {
	keep := s.readForm(c.route.node, d)
	if keep.shape == nil || keep.rows != nil || keep.doc != nil {
		return s.echo(c, d)
	}
	made := func(dst []byte) []byte { return s.made(dst, c, keep, c.path) }
	var now map[string]any
	var job *job
	if doc := s.store.get(c.path); doc != nil {
		now = s.shown(c, doc, keep.shape, made)
		job = doc.job
	} else {
		now = document.DecodeObject(made(nil))
	}
	patch, _ := keep.shape.Conform(c.object())
	if p, ok := patch.(map[string]any); ok {
		if strings.HasSuffix(c.route.op.GetPath(), "}") {
			delete(p, keep.key) // the path says which one it is
		}
		now = document.Merge(now, p)
	}
	doc := &resource{body: document.Encode(now), shape: keep.shape, job: job, extra: s.extra(c, c.path)}
	s.store.put(c.path, doc)
	return s.respondWith(c, d, doc, c.path)
}

// post creates a row where the rows of the collection can be read. Otherwise it is
// an action.
func (s *Sandbox) post(c *request, d *answerForm) *response {
	n := c.route.node
	if d.param != "" {
		return s.create(c, d, s.readForm(d.item, d), d.param)
	}
	if g := n.route[verbGet]; g != nil {
		gd := s.form(g)
		switch {
		case gd.rows != nil && gd.row != nil && strings.HasPrefix(c.route.op.GetId(), "create"):
			return s.create(c, d, &answerForm{shape: gd.row, key: gd.key, subject: gd.subject}, "")
		case gd.rows == nil && gd.doc == nil && gd.shape != nil && gd.key == "":
			return s.put(c, d)
		}
	}
	return s.echo(c, d)
}

// create stores a new row.
func (s *Sandbox) create(c *request, d, keep *answerForm, param string) *response {
	shape := keep.shape
	if keep.rows != nil {
		shape = keep.row
	}
	if shape == nil {
		return s.echo(c, d)
	}
	body := c.object()
	key := shape.Identifier(param)
	if own := shape.Find(keep.key); own != nil {
		key = keep.key
	}
	id := document.Text(body[key])
	if id == "" && param != "" {
		id = document.Text(body[param])
	}
	if id == "" || strings.ContainsAny(id, "/?#%") {
		if f := shape.Find(key); f != nil && f.Kind == document.KindInt {
			id = strconv.Itoa(1000 + s.store.next())
		} else {
			id = madeID(document.Hash(c.path)%1e11, createdFrom+s.store.next())
		}
	}
	path := c.path + "/" + id
	m := s.builder(c, d)
	m.Key, m.ID = key, id
	o := document.DecodeObject(m.Object(nil, shape, s.seed(path), keep.subject, 0))
	patch, _ := shape.Conform(body)
	if p, ok := patch.(map[string]any); ok {
		o = document.Merge(o, p)
	}
	c.created = id
	doc := &resource{shape: shape, job: s.startJob(c), extra: s.extra(c, path)}
	if doc.job != nil && shape.Find("url") != nil {
		o["url"] = path
	}
	doc.body = document.Encode(o)
	s.store.create(c.path, id, doc)
	return s.respondWith(c, d, doc, path)
}

// respondWith shows what a write left in the shape of the write's own answer.
func (s *Sandbox) respondWith(c *request, d *answerForm, doc *resource, path string) *response {
	a := &response{status: d.status}
	if d.shape == nil || d.status == http.StatusNoContent {
		return a
	}
	if d.rows == nil && d.doc == nil {
		a.body = document.Encode(s.shown(c, doc, d.shape, func(dst []byte) []byte { return s.made(dst, c, d, path) }))
		return a
	}
	if d.rows != nil && d.row != nil && d.rows == d.doc {
		m := s.builder(c, d)
		made := func(dst []byte) []byte { return m.Object(dst, d.row, s.seed(path), d.subject, 0) }
		a.body = document.Encode([]any{s.shown(c, doc, d.row, made)})
		return a
	}
	a.body = s.made(nil, c, d, path)
	return a
}

// echo answers a write that leaves nothing to be read. What was sent is shown
// again in the properties of the answer that can take it.
func (s *Sandbox) echo(c *request, d *answerForm) *response {
	a := &response{status: d.status}
	if d.shape == nil || d.status == http.StatusNoContent {
		return a
	}
	a.body = s.made(nil, c, d, c.path)
	if d.doc == nil {
		if fit, ok := d.shape.Conform(c.object()); ok {
			a.body = document.Encode(document.Merge(document.DecodeObject(a.body), fit.(map[string]any)))
		}
		return a
	}
	if sent, ok := c.doc.([]any); ok {
		if fit, ok := d.doc.Conform(slices.Clone(sent)); ok {
			a.body = document.Encode(fit)
		}
	}
	return a
}
