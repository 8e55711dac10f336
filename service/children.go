package service

import (
	"maps"
	"sync"
	"sync/atomic"
)

// Children are the series of one metric, found by what their labels are made of. A
// call counts eight times or so; Prometheus itself would hash the text of all labels
// under a lock each time. There are as many keys as there are series, so nothing is
// ever forgotten.
type children[K comparable, M any] struct {
	make  func(K) M
	known atomic.Pointer[map[K]M]
	mu    sync.Mutex // of those that add
}

func newChildren[K comparable, M any](make func(K) M) *children[K, M] {
	return &children[K, M]{make: make}
}

// of finds a series, or makes it.
func (c *children[K, M]) of(k K) M {
	if known := c.known.Load(); known != nil {
		if m, ok := (*known)[k]; ok {
			return m
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	more := make(map[K]M)
	if known := c.known.Load(); known != nil {
		if m, ok := (*known)[k]; ok {
			return m // another has just made it
		}
		maps.Copy(more, *known)
	}
	m := c.make(k)
	more[k] = m
	c.known.Store(&more)
	return m
}
