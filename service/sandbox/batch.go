package sandbox

import (
	"net/http"
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
	// previewTime is how long a batch that nobody confirms is kept.
	previewTime = 7 * 24 * time.Hour
	saysBatches = "Too many concurrently executing batches. Maximum is 5 confirmed but not yet executed batches."
	// No words are documented for a batch of too many actions, or for one that is deleted too late.
	saysTooManyActions = "Too many actions in the batch"
	saysConfirmed      = "Batch cannot be deleted: it has been confirmed"
)

func (s *Sandbox) createBatch(c *request, d *answerForm) *response {
	body := c.object()
	synchronous, confirmed := body["synchronous"] == true, body["confirmed"] == true
	b, no := s.planBatch(c, body["actions"], synchronous)
	if no != nil {
		return no
	}
	if confirmed && !s.startBatch(c, b) {
		return refusal(http.StatusBadRequest, saysBatches)
	}
	id := madeID(document.Hash(c.path)%1e11, createdFrom+s.store.next())
	o := map[string]any{
		"id": id, "organizationId": c.org.id, "confirmed": confirmed, "synchronous": synchronous,
		"status":  map[string]any{"completed": false, "failed": false, "errors": []any{}, "createdResources": []any{}},
		"actions": body["actions"],
	}
	if body["actions"] == nil {
		o["actions"] = []any{}
	}
	if body["callback"] != nil {
		o["callback"] = body["callback"]
	}
	fit, _ := d.shape.Conform(o)
	doc := &resource{body: document.Encode(fit), shape: d.shape}
	s.store.create(c.path, id, doc)
	if path := c.path + "/" + id; !confirmed {
		s.effects.add(c.now.Add(previewTime), func(time.Time) { s.dropPreview(c.org, path) })
	}
	return s.respondToBatch(c, d, doc, c.path+"/"+id, b, confirmed)
}

// updateBatch changes confirmed and synchronous, and nothing else. To confirm a
// batch starts it.
func (s *Sandbox) updateBatch(c *request, d *answerForm) *response {
	doc := s.store.get(c.path)
	if doc == nil {
		return refusal(http.StatusNotFound, saysNotFound)
	}
	o, body := document.DecodeObject(doc.body), c.object()
	if v, ok := body["synchronous"].(bool); ok && o["confirmed"] != true {
		o["synchronous"] = v
	}
	start := body["confirmed"] == true && o["confirmed"] != true
	b, no := s.planBatch(c, o["actions"], o["synchronous"] == true)
	if start {
		if no != nil {
			return no
		}
		if !s.startBatch(c, b) {
			return refusal(http.StatusBadRequest, saysBatches)
		}
		o["confirmed"] = true
	}
	next := &resource{body: document.Encode(o), shape: doc.shape}
	s.store.put(c.path, next)
	return s.respondToBatch(c, d, next, c.path, b, start)
}

// respondToBatch answers a POST or PUT. A batch that it started ends later; when
// it is synchronous, the answer waits for the end and shows it.
func (s *Sandbox) respondToBatch(c *request, d *answerForm, doc *resource, path string, b *batch, started bool) *response {
	if !started {
		return s.respondWith(c, d, doc, path)
	}
	b.path = path
	if !b.script.Endless {
		s.effects.add(c.now.Add(b.takes), func(now time.Time) { s.endBatch(b, now) })
	}
	if b.synchronous {
		c.extraTime = b.takes
		c.later = func() *response {
			s.settle()
			if doc := s.store.get(path); doc != nil {
				return s.respondWith(c, d, doc, path)
			}
			return refusal(http.StatusNotFound, saysNotFound) // a reset came between
		}
	}
	return s.respondWith(c, d, doc, path)
}

// dropPreview deletes a batch that nobody has confirmed in a week.
func (s *Sandbox) dropPreview(org *orgState, path string) {
	if doc := s.store.get(path); doc != nil && document.DecodeObject(doc.body)["confirmed"] != true {
		s.store.remove(path)
		org.version.Add(1)
	}
}

func (s *Sandbox) deleteBatch(c *request, d *answerForm) *response {
	doc := s.store.get(c.path)
	switch {
	case doc == nil:
		return refusal(http.StatusNotFound, saysNotFound)
	case document.DecodeObject(doc.body)["confirmed"] == true:
		return refusal(http.StatusBadRequest, saysConfirmed)
	}
	s.store.remove(c.path)
	return &response{status: d.status}
}

// startBatch claims one of the places for running batches; false when all are taken.
func (s *Sandbox) startBatch(c *request, b *batch) bool {
	c.org.mu.Lock()
	defer c.org.mu.Unlock()
	if c.org.batches >= mostBatches {
		return false
	}
	c.org.batches++
	c.org.mostBatches = max(c.org.mostBatches, c.org.batches)
	times := s.Times()
	usual := times.Batch
	if b.synchronous {
		usual = times.SynchronousBatch
	}
	usual += times.BatchAction * Duration(len(b.actions))
	b.script, b.takes = s.jobs.next(c, time.Duration(usual))
	return true
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

// An action is one write that a batch carries.
type action struct {
	resource, operation string
	body                any
}

func actionsOf(v any) []action {
	list, _ := v.([]any)
	out := make([]action, 0, len(list))
	for _, v := range list {
		o := document.Object(v)
		out = append(out, action{document.Text(o["resource"]), document.Text(o["operation"]), o["body"]})
	}
	return out
}

// path is the resource as the path of a request.
func (a *action) path() string { return "/" + strings.Trim(a.resource, "/") }
