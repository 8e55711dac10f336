package sandbox

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/merakibroker/merakibroker/service/sandbox/document"
)

// Action batches, with the documented limits: so many actions when synchronous,
// when not, and so many batches of an organization at a time.
const (
	mostSynchronous  = 20
	mostAsynchronous = 100
	mostBatches      = 5
	saysBatches      = "Too many concurrently executing batches. Maximum is 5 confirmed but not yet executed batches."
)

// An action is one write that a batch carries.
type action struct {
	resource, operation string
	body                map[string]any
}

func (s *Sandbox) createBatch(c *request, d *answerForm) *response {
	body := c.object()
	actions := actionsOf(body["actions"])
	most := mostAsynchronous
	if body["synchronous"] == true {
		most = mostSynchronous
	}
	if len(actions) > most {
		return refusal(http.StatusBadRequest, "Too many actions in the batch")
	}
	calls, problem, bad := s.plan(c, actions)
	if bad != nil {
		return bad
	}
	status := map[string]any{"completed": false, "failed": false, "errors": []any{}, "createdResources": []any{}}
	start, ready := body["confirmed"] == true, c.now
	if start {
		if problem == "" && !s.startBatch(c, body["synchronous"] == true) {
			return refusal(http.StatusBadRequest, saysBatches)
		}
		ready = s.runBatch(c, status, calls, problem, body["synchronous"] == true)
	}
	id := madeID(document.Hash(c.path)%1e11, createdFrom+s.store.next())
	o := map[string]any{
		"id": id, "organizationId": c.org.id, "confirmed": start, "synchronous": body["synchronous"] == true,
		"status": status, "actions": body["actions"],
	}
	if body["actions"] == nil {
		o["actions"] = []any{}
	}
	fit, _ := d.shape.Conform(o)
	doc := &resource{body: document.Encode(fit), shape: d.shape, since: c.now, ready: ready}
	s.store.create(c.path, id, doc)
	return s.respondWith(c, d, doc, c.path+"/"+id)
}

// updateBatch confirms a batch, which starts it.
func (s *Sandbox) updateBatch(c *request, d *answerForm) *response {
	doc := s.store.get(c.path)
	if doc == nil {
		return refusal(http.StatusNotFound, saysNotFound)
	}
	o := document.DecodeObject(doc.body)
	body := c.object()
	if v, ok := body["synchronous"].(bool); ok {
		o["synchronous"] = v
	}
	ready := doc.ready
	if body["confirmed"] == true && o["confirmed"] != true {
		calls, problem, bad := s.plan(c, actionsOf(o["actions"]))
		if bad != nil {
			return bad
		}
		if problem == "" && !s.startBatch(c, o["synchronous"] == true) {
			return refusal(http.StatusBadRequest, saysBatches)
		}
		o["confirmed"] = true
		ready = s.runBatch(c, document.Object(o["status"]), calls, problem, o["synchronous"] == true)
	}
	next := &resource{body: document.Encode(o), shape: doc.shape, since: c.now, ready: ready}
	s.store.put(c.path, next)
	return s.respondWith(c, d, next, c.path)
}

func (s *Sandbox) deleteBatch(c *request, d *answerForm) *response {
	doc := s.store.get(c.path)
	switch {
	case doc == nil:
		return refusal(http.StatusNotFound, saysNotFound)
	case document.DecodeObject(doc.body)["confirmed"] == true:
		return refusal(http.StatusBadRequest, "Batch cannot be deleted: it has been confirmed")
	}
	s.store.remove(c.path)
	return &response{status: d.status}
}

// startBatch claims one of the places for running batches; false when all are taken.
func (s *Sandbox) startBatch(c *request, synchronous bool) bool {
	a := c.org
	a.mu.Lock()
	defer a.mu.Unlock()
	a.batches = slices.DeleteFunc(a.batches, func(end time.Time) bool { return !end.After(c.now) })
	if len(a.batches) >= mostBatches {
		return false
	}
	d := s.opts.BatchTime
	if synchronous {
		d /= 4 // its few actions are done when the answer comes
		c.extraTime = d
	}
	a.batches = append(a.batches, c.now.Add(d))
	return true
}

// runBatch does the actions, all or none, and says when they will be seen as done.
func (s *Sandbox) runBatch(c *request, status map[string]any, calls []*request, problem string, synchronous bool) time.Time {
	if problem != "" {
		status["failed"], status["errors"] = true, []any{problem}
		return c.now
	}
	made := []any{}
	for _, x := range calls {
		a := s.execute(x)
		if a.status >= 300 {
			says := "Error occurred while executing " + verbWord(x) + " " + x.path
			status["failed"], status["errors"] = true, []any{says}
			return c.now
		}
		if x.route.verb == verbPost && len(a.body) > 0 {
			if id := document.Text(document.DecodeObject(a.body)["id"]); id != "" {
				made = append(made, map[string]any{"id": id, "uri": x.path + "/" + id})
			}
		}
	}
	status["completed"], status["createdResources"] = true, made
	if synchronous {
		return c.now
	}
	return c.now.Add(s.opts.BatchTime)
}

// plan turns actions into calls. An action that batches cannot carry is refused
// at once; a thing that is not there makes the batch fail, all of it.
func (s *Sandbox) plan(c *request, actions []action) (calls []*request, problem string, bad *response) {
	for _, a := range actions {
		x, supported := s.resolve(c, a)
		if !supported {
			return nil, "", refusal(http.StatusBadRequest, a.operation+" operation is unsupported for "+a.resource+".")
		}
		if x == nil {
			continue
		}
		if !x.known || x.at.Org != c.at.Org {
			return nil, "Error occurred while executing " + a.operation + " " + a.resource + ": " + saysNotFound, nil
		}
		if a.body != nil {
			x.body, x.doc = document.Encode(a.body), a.body
		}
		calls = append(calls, x)
	}
	return calls, problem, nil
}

// resolve finds the operation that an action stands for. Beside create, update
// and destroy there are some fifty names of actions, which mostly say the last
// part of the path; one that does not is accepted, and has no effect here.
func (s *Sandbox) resolve(c *request, a action) (x *request, supported bool) {
	path := "/" + strings.Trim(a.resource, "/")
	try := func(method, path string) *request {
		x := &request{s: s, now: c.now, path: path, allowed: c.allowed, id: c.id}
		x.r = c.r.Clone(c.r.Context())
		x.r.Method, x.r.URL.RawQuery = method, ""
		s.locate(x)
		if x.route == nil || x.route.op.GetBatchAction() == nil {
			return nil
		}
		return x
	}
	switch a.operation {
	case "create":
		x = try(http.MethodPost, path)
		return x, x != nil && strings.HasPrefix(x.route.op.GetId(), "create")
	case "update":
		x = try(http.MethodPut, path)
		return x, x != nil
	case "destroy":
		x = try(http.MethodDelete, path)
		return x, x != nil
	case "":
		return nil, false
	}
	if x = try(http.MethodPost, path+"/"+a.operation); x == nil {
		x = try(http.MethodPost, path)
	}
	return x, true
}

func actionsOf(v any) []action {
	list, _ := v.([]any)
	out := make([]action, 0, len(list))
	for _, v := range list {
		o := document.Object(v)
		out = append(out, action{document.Text(o["resource"]), document.Text(o["operation"]), document.Object(o["body"])})
	}
	return out
}

func verbWord(c *request) string {
	switch c.route.verb {
	case verbPut:
		return "update"
	case verbDelete:
		return "destroy"
	}
	return "create"
}

// batchState is the word by which batches are filtered.
func batchState(status map[string]any) string {
	switch {
	case status["failed"] == true:
		return "failed"
	case status["completed"] == true:
		return "completed"
	}
	return "pending"
}
