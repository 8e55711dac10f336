package sandbox

import (
	"sync"

	"github.com/merakibroker/merakibroker/service/sandbox/document"
)

// Answers are kept encoded: a benchmark is to measure the broker, not this.
const (
	// cacheBytes bounds what is kept, as two generations of half of it each: the
	// elder is dropped whole when the younger is full.
	cacheBytes  = 32 << 20
	cacheShards = 16
	// An entry costs something beside its body: key, map and headers, in bytes.
	cacheOverhead = 256
)

type cacheKey struct {
	route             int
	org               string // who owns what the path names: version below is its count
	tls               bool
	host, path, query string
}

type cached struct {
	version  uint64 // of the organization when the answer was made
	response *response
}

type cache struct{ shards [cacheShards]cacheShard }

type cacheShard struct {
	mu           sync.Mutex
	young, elder map[cacheKey]cached
	bytes        int
}

func (c *cache) init() {
	for i := range c.shards {
		c.shards[i].young = make(map[cacheKey]cached)
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
	e, ok := s.young[*k]
	if !ok {
		if e, ok = s.elder[*k]; ok {
			s.add(k, e)
		}
	}
	if !ok || e.version != version {
		return nil
	}
	return e.response
}

func (c *cache) put(k *cacheKey, version uint64, a *response) {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(k, cached{version, a})
}

func (s *cacheShard) add(k *cacheKey, e cached) {
	size := len(e.response.body) + len(k.path) + len(k.query) + cacheOverhead
	if s.bytes += size; s.bytes > cacheBytes/2/cacheShards {
		s.elder, s.young, s.bytes = s.young, make(map[cacheKey]cached), size
	}
	s.young[*k] = e
}

func (c *cache) reset() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.young, s.elder, s.bytes = make(map[cacheKey]cached), nil, 0
		s.mu.Unlock()
	}
}
