package owner

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Shards remembers which shard answers for an organization, as redirects have
// taught, so that the next attempt goes there at once. Only a shard that has
// answered well after a redirect is remembered, and one that fails is forgotten.
type Shards struct {
	age time.Duration
	mu  sync.Mutex
	m   *simplelru.LRU[string, shard]
}

type shard struct {
	host string // scheme://host
	at   time.Time
}

// Find gives the shard of an organization; empty for the configured base.
func (h *Shards) Find(organization string) string {
	if organization == "" {
		return ""
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.m.Len() == 0 {
		return ""
	}
	s, ok := h.m.Get(organization)
	if !ok {
		return ""
	}
	if time.Since(s.at) > h.age {
		h.m.Remove(organization)
		return ""
	}
	return s.host
}

// Learn remembers that host answered for an organization after a redirect.
func (h *Shards) Learn(now time.Time, organization, host string) {
	if organization == "" || host == "" {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.m.Add(organization, shard{host, now})
}

// Forget drops a shard that did not answer well.
func (h *Shards) Forget(organization string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.m.Remove(organization)
}
