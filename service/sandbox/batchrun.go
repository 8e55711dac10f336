package sandbox

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/merakibroker/merakibroker/service/sandbox/document"
)

// A batch is an action batch that was accepted.
type batch struct {
	path        string // of its own resource
	org         *orgState
	actions     []action
	requests    []*request // one for each action
	synchronous bool
	takes       time.Duration
	script      JobScript
}

// planBatch turns actions into requests. What the Dashboard finds wrong at once
// refuses the batch as a whole, with a 400 that names no action: an operation
// that batches cannot carry, a thing that is not there. The rest is found when
// the batch runs.
func (s *Sandbox) planBatch(c *request, list any, synchronous bool) (*batch, *response) {
	b := &batch{org: c.org, actions: actionsOf(list), synchronous: synchronous}
	most := mostAsynchronous
	if synchronous {
		most = mostSynchronous
	}
	if len(b.actions) > most {
		return nil, refusal(http.StatusBadRequest, saysTooManyActions)
	}
	for i := range b.actions {
		a := &b.actions[i]
		x := s.resolve(c, a)
		if x == nil {
			return nil, refusal(http.StatusBadRequest, s.unsupported(a))
		}
		if !x.known || x.at.Org != c.at.Org || s.store.isGone(x.path) {
			return nil, refusal(http.StatusBadRequest, saysNotFound)
		}
		x.inBatch = true
		if a.body != nil {
			x.body, x.doc = document.Encode(a.body), a.body
		}
		if bad := s.rejections.find(x, whenPosted); bad != nil {
			return nil, refusal(http.StatusBadRequest, bad.words()...)
		}
		b.requests = append(b.requests, x)
	}
	return b, nil
}

// endBatch does the actions of a batch, all or none, in order.
func (s *Sandbox) endBatch(b *batch, now time.Time) {
	b.org.mu.Lock()
	b.org.batches--
	b.org.mu.Unlock()
	doc := s.store.get(b.path)
	if doc == nil {
		return // a reset came between
	}
	o := document.DecodeObject(doc.body)
	made, problem := s.runBatch(b, now)
	status := map[string]any{"completed": problem == "", "failed": problem != "", "errors": []any{}, "createdResources": made}
	if problem != "" {
		status["errors"] = []any{problem}
	}
	o["status"] = status
	s.store.put(b.path, &resource{body: document.Encode(o), shape: doc.shape})
	b.org.version.Add(1)
}

// runBatch gives the created resources, the k-th for the k-th action that
// creates, or the text of the error after which everything is as it was.
func (s *Sandbox) runBatch(b *batch, now time.Time) (made []any, problem string) {
	made = []any{}
	if b.script.Failed != "" {
		return made, b.script.Failed
	}
	restore := func() {}
	for _, x := range b.requests {
		if changesInventory(x.route) {
			restore = s.inventory.Snapshot()
			break
		}
	}
	s.store.begin()
	for i, x := range b.requests {
		x.now = now
		if problem = s.runAction(&b.actions[i], x); problem != "" {
			s.store.rollback()
			restore()
			return []any{}, problem
		}
		if x.created != "" {
			made = append(made, map[string]any{"id": x.created, "uri": x.path + "/" + x.created})
		}
	}
	s.store.commit()
	for _, x := range b.requests {
		s.countWrite(x)
	}
	return made, ""
}

// runAction does one action; it gives the text of the error, or nothing.
func (s *Sandbox) runAction(a *action, x *request) string {
	s.locate(x) // what was there when the batch was posted may have gone
	no := refusal(http.StatusNotFound, saysNotFound)
	if x.known {
		no = s.perform(x)
	}
	if x.done != nil {
		x.done()
		x.done = nil
	}
	switch {
	case no.status < 300:
		return ""
	case no.unnamed:
		return no.reasons()
	}
	return "Error occurred while executing " + a.operation + " " + a.resource + " with " + string(document.Encode(a.body)) + ": " + no.reasons()
}

// resolve finds the operation that an action stands for; nil when no batch can
// carry it. The vendor's list gives its resource, or a part of it, and a word.
// The operation's own path is accepted as well, as clients send it.
func (s *Sandbox) resolve(c *request, a *action) *request {
	path := a.path()
	for _, r := range s.router.actions[a.operation] {
		if r.op.GetPath() == r.op.GetBatchAction().GetResource() {
			continue // found by its path below, without a search
		}
		if filled, ok := fill(r.op.GetBatchAction().GetResource(), r.op.GetPath(), path); ok {
			return s.actionRequest(c, r.verb, filled)
		}
	}
	for verb := range verbNames {
		if r, _ := s.router.find(verb, path[1:], nil); r != nil && r.op.GetBatchAction().GetOperation() == a.operation {
			return s.actionRequest(c, verb, path)
		}
	}
	return nil
}

// fill matches a path against a template and puts the values of its parameters
// into another template, which has the same ones.
func fill(template, into, path string) (string, bool) {
	want, have := strings.Split(template, "/"), strings.Split(path, "/")
	if len(want) != len(have) {
		return "", false
	}
	for i, w := range want {
		switch {
		case strings.HasPrefix(w, "{"):
			into = strings.ReplaceAll(into, w, have[i])
		case w != have[i]:
			return "", false
		}
	}
	return into, true
}

// actionRequest is the request that an action would be alone.
func (s *Sandbox) actionRequest(c *request, verb int, path string) *request {
	x := &request{s: s, now: c.now, sent: path, path: path, allowed: c.allowed, id: c.id}
	x.r = &http.Request{Method: verbNames[verb], URL: &url.URL{Path: path}, Header: c.r.Header, Host: c.r.Host, TLS: c.r.TLS}
	s.locate(x)
	return x
}

// unsupported are the vendor's words for an action that no batch can carry.
func (s *Sandbox) unsupported(a *action) string {
	for verb := range verbNames {
		if r, _ := s.router.find(verb, a.path()[1:], nil); r != nil {
			return a.operation + " operation is unsupported for " + snakeParameters(r.op.GetPath()) + "."
		}
	}
	return "Unsupported operation"
}

// snakeParameters writes a path's parameters as the vendor's errors do: {network_id}.
func snakeParameters(path string) string {
	var b strings.Builder
	inside := false
	for _, c := range path {
		inside = c == '{' || inside && c != '}'
		if inside && c >= 'A' && c <= 'Z' {
			b.WriteByte('_')
			c += 'a' - 'A'
		}
		b.WriteRune(c)
	}
	return b.String()
}

// changesInventory says whether a write is one of those in inventorywrites.go.
func changesInventory(r *route) bool {
	switch r.op.GetId() {
	case "createOrganizationNetwork", "deleteNetwork", "combineOrganizationNetworks", "claimNetworkDevices", "removeNetworkDevices",
		"claimIntoOrganization", "claimIntoOrganizationInventory", "releaseFromOrganizationInventory", "updateNetwork", "updateDevice", "updateOrganization":
		return true
	}
	return false
}
