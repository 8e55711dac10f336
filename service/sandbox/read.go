package sandbox

import (
	"net/http"
	"strings"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/merakibroker/merakibroker/service/sandbox/document"
	"github.com/merakibroker/merakibroker/service/sandbox/inventory"
)

// execute does what a request asks for, and answers it. A write that took effect
// is counted.
func (s *Sandbox) execute(c *request) *response {
	s.alone.RLock()
	defer s.alone.RUnlock()
	var a *response
	if c.undocumented {
		a = s.performUndocumented(c)
	} else {
		a = s.perform(c)
	}
	if verbOf(c.r.Method) != verbGet && a.status < 300 {
		s.countWrite(c)
	}
	return a
}

// countWrite takes note of a write that took effect.
func (s *Sandbox) countWrite(c *request) {
	s.store.record(c.r.Method, c.sent, c.org.id, c.body, c.now)
	c.org.written(c.route)
}

// perform does what a request asks for, without counting it.
func (s *Sandbox) perform(c *request) *response {
	d := s.form(c.route)
	if c.route.verb == verbGet {
		return s.read(c, d)
	}
	if no := c.readBody(); no != nil {
		return no
	}
	if no := s.rejected(c); no != nil {
		return no
	}
	if no := s.refusedOnWire(c); no != nil {
		return no
	}
	return s.write(c, d)
}

// readBody reads the body as JSON. It is an object, except where the operation's
// body is another value.
func (c *request) readBody() *response {
	if len(c.body) == 0 {
		return nil
	}
	v, err := document.Decode(c.body)
	if err != nil {
		return refusal(http.StatusBadRequest, "There was a problem in the JSON you submitted: it cannot be read")
	}
	if _, ok := v.(map[string]any); !ok && c.route.op.GetRequestField() == "" {
		return refusal(http.StatusBadRequest, "There was a problem in the JSON you submitted: it is not an object")
	}
	c.doc = v
	return nil
}

func (s *Sandbox) read(c *request, d *answerForm) *response {
	switch c.route.op.GetId() {
	case "getOrganizationApiRequests":
		return s.apiRequests(c, d)
	case "getOrganizationApiRequestsOverview":
		return s.apiOverview(c)
	case "getOrganizationApiRequestsOverviewResponseCodesByInterval":
		return s.apiByInterval(c)
	}
	k := cacheKey{route: c.route.index, org: c.org.id, tls: c.r.TLS != nil, host: c.r.Host, path: c.path, query: c.r.URL.RawQuery}
	version := c.org.version.Load()
	open := c.allowed == nil || d.kind != rowsOrganizations
	if open {
		if a := s.cache.get(&k, version); a != nil {
			return a
		}
	}
	var a *response
	if d.rows != nil {
		if s.store.isGone(c.path) {
			return refusal(http.StatusNotFound, saysNotFound)
		}
		a = s.list(c, d)
	} else {
		a = s.single(c, d)
	}
	if open && a.cacheable && !c.underway {
		s.cache.put(&k, version, a)
	}
	return a
}

// resource is the path under which the store keeps what a request is about. The
// inventory's operation and /devices/{serial} show one and the same device.
func (c *request) resource() string {
	if c.route.op.GetId() == "getOrganizationInventoryDevice" {
		return "/devices/" + c.param("serial")
	}
	return c.path
}

// single answers one resource.
func (s *Sandbox) single(c *request, d *answerForm) *response {
	path := c.resource()
	if s.store.isGone(path) {
		return refusal(http.StatusNotFound, saysNotFound)
	}
	doc := s.store.get(path)
	if doc == nil && s.writtenOnly(c) {
		return refusal(http.StatusNotFound, saysNotFound)
	}
	if d.shape == nil {
		return &response{status: d.status, body: []byte("{}"), cacheable: true} // an object without properties
	}
	made := func(dst []byte) []byte { return s.made(dst, c, d, path) }
	if doc == nil || d.doc != nil {
		return &response{status: d.status, body: made(nil), cacheable: true}
	}
	return &response{status: d.status, body: document.Encode(s.shown(c, doc, d.shape, made)), cacheable: true}
}

// writtenOnly says whether a path exists only after a write: nothing is made up there.
func (s *Sandbox) writtenOnly(c *request) bool {
	return strings.Contains(c.path, "/actionBatches/")
}

// builder prepares to make up what a request is about.
func (s *Sandbox) builder(c *request, d *answerForm) document.Builder {
	m := document.Builder{Inventory: s.inventory, At: c.at, Params: c.params, APIDisabled: s.disabled[c.org.id]}
	if n := len(c.params); n > 0 && strings.HasSuffix(c.route.op.GetPath(), "}") && d.rows == nil {
		last := c.params[n-1]
		m.Key, m.ID = d.key, last.Value
		if d.subject == document.SubjectNone {
			m.At = s.inventory.Near(c.at, rowOf(last))
		}
	}
	return m
}

// rowOf guesses which row of its collection an id belongs to, so that a resource
// names the same network when it is read alone and when it is listed.
func rowOf(p document.Param) int {
	v, ok := inventory.ParseNumber(p.Value)
	switch {
	case !ok:
		return 0
	case p.Name == "number":
		return int(v)
	case v < 1_000_000:
		return int(max(0, v-1))
	}
	return int(v % 1_000_000)
}

// made writes the resource of a path as it was before the first write.
func (s *Sandbox) made(dst []byte, c *request, d *answerForm, path string) []byte {
	m := s.builder(c, d)
	return d.build(dst, m, s.seed(path))
}

// build writes a whole made-up answer.
func (d *answerForm) build(dst []byte, m document.Builder, seed uint64) []byte {
	if d.doc != nil {
		return m.Field(dst, d.doc, document.Mix(seed^d.doc.Hash), d.subject, 0)
	}
	return m.Object(dst, d.shape, seed, d.subject, 0)
}

// shown gives a written resource in the shape in which an operation shows it.
func (s *Sandbox) shown(c *request, doc *resource, shape *document.Shape, made func([]byte) []byte) map[string]any {
	stored := document.DecodeObject(doc.body)
	if stored == nil {
		stored = map[string]any{}
	}
	if s.wire.Load().Shapes {
		stored = document.Merge(stored, doc.extra)
	}
	if doc.job != nil && doc.job.show(stored, doc.shape, s.opts.Now()) {
		c.underway = true
	}
	if doc.shape == shape {
		return stored
	}
	return document.Overlay(document.DecodeObject(made(nil)), stored, doc.shape, shape)
}

// Encoded answers are kept for the next request of the same, so that a benchmark
// measures the broker and not the sandbox.
const (
	cacheBytes  = 32 << 20 // of all shards together
	cacheShards = 16
	// cacheOverhead is what an entry costs beside its body: key, map, headers, in bytes.
	cacheOverhead = 256
)

type cacheKey struct {
	route             int
	org               string // the owner of what the path names: version below is the owner's count
	tls               bool
	host, path, query string
}

type cached struct {
	version  uint64 // of the organization when the answer was made
	response *response
}

func (e cached) size(k cacheKey) int {
	return len(e.response.body) + len(k.path) + len(k.query) + cacheOverhead
}

type cache struct{ shards [cacheShards]cacheShard }

type cacheShard struct {
	mu    sync.Mutex
	kept  *simplelru.LRU[cacheKey, cached]
	bytes int
}

func (c *cache) init() {
	for i := range c.shards {
		s := &c.shards[i]
		dropped := func(k cacheKey, e cached) { s.bytes -= e.size(k) }
		s.kept, _ = simplelru.NewLRU(cacheBytes/cacheShards/cacheOverhead, dropped) // the size is above zero: cannot fail
	}
}

func (c *cache) shard(k *cacheKey) *cacheShard {
	return &c.shards[document.Hash(k.path)%cacheShards]
}

// get gives an answer as it would be made again; nil when it is not known.
func (c *cache) get(k *cacheKey, version uint64) *response {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.kept.Get(*k)
	if !ok || e.version != version {
		return nil
	}
	return e.response
}

func (c *cache) put(k *cacheKey, version uint64, a *response) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := cached{version, a}
	s.kept.Remove(*k)
	s.kept.Add(*k, e)
	for s.bytes += e.size(*k); s.bytes > cacheBytes/cacheShards && s.kept.Len() > 1; {
		s.kept.RemoveOldest()
	}
}

func (c *cache) reset() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.kept.Purge()
		s.mu.Unlock()
	}
}
