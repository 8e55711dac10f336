package broker

import (
	"container/list"
	"crypto/sha256"
	"strings"
	"sync"
	"time"
)

// A readKey identifies a read: two reads are the same when they have the same
// credential and the same URL. No answer crosses from one credential to another.
type readKey struct{ credential, path, query string }

// keep is how long new answers are stored after the last call that would have
// taken one. Without such calls nothing is stored.
const keep = 10 * time.Minute

// writeMemory is how long the end of a write is remembered, to recognize answers
// that were on their way at that moment. No attempt takes longer.
const writeMemory = 5 * time.Minute

// A cache keeps answers of reads for calls that accept an answer of some age. It
// is bounded in bytes; the answers unused for longest go first. A write drops all
// answers of its organization. An answer that was asked for before the write
// ended is not kept afterwards.
type cache struct {
	limit int64

	mu         sync.Mutex
	entries    map[readKey]*list.Element // of *entry
	used       list.List                 // latest first
	bytes      int64
	wanted     time.Time // of the last call that would take an old answer
	partitions map[string]*partition
	unowned    time.Time // end of the last write of which no owner was known
}

// A partition is the part of the cache that belongs to one organization; ""
// stands for answers without an owner.
type partition struct {
	entries map[*list.Element]struct{}
	written time.Time
}

type entry struct {
	key          readKey
	organization string
	answer       *Answer
	at           time.Time // when it was asked for
	size         int64
}

func newCache(limit int64) *cache {
	return &cache{limit: limit, entries: make(map[readKey]*list.Element), partitions: make(map[string]*partition)}
}

// find gives an answer that was asked for no longer than age ago, or nil.
func (c *cache) find(now time.Time, k readKey, age time.Duration) *Answer {
	if c.limit <= 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wanted = now
	e := c.entries[k]
	if e == nil {
		return nil
	}
	v := e.Value.(*entry)
	if now.Sub(v.at) > age {
		return nil
	}
	c.used.MoveToFront(e)
	return v.answer
}

// put keeps an answer that was asked for at the moment at. It does not when no
// call wants old answers, or when a write has ended since.
func (c *cache) put(now, at time.Time, k readKey, a *Answer) {
	size := int64(len(a.Body)+len(k.path)+len(k.query)) + 512
	if size > c.limit/8 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wanted.IsZero() || now.Sub(c.wanted) > keep {
		return
	}
	if c.partitions[a.Organization] == nil {
		c.tidy(now) // before the new partition is there: tidy would take it for an empty one
	}
	h := c.partition(a.Organization)
	if !h.written.Before(at) || !c.unowned.Before(at) {
		return
	}
	if old := c.entries[k]; old != nil {
		c.drop(old)
	}
	k = readKey{k.credential, strings.Clone(k.path), strings.Clone(k.query)}
	e := c.used.PushFront(&entry{key: k, organization: a.Organization, answer: a, at: at, size: size})
	c.entries[k] = e
	if h.entries == nil {
		h.entries = make(map[*list.Element]struct{})
	}
	h.entries[e] = struct{}{}
	c.bytes += size
	for c.bytes > c.limit {
		c.drop(c.used.Back())
	}
}

// renew notes that an answer with this body would have been given at the moment at.
func (c *cache) renew(at time.Time, k readKey, body [sha256.Size]byte) {
	answer := c.kept(k)
	if answer == nil || sha256.Sum256(answer.Body) != body { // not with the lock held
		return
	}
	renewed := *answer
	renewed.Asked = at
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[k]; e != nil {
		if v := e.Value.(*entry); v.answer == answer && at.After(v.at) {
			v.answer, v.at = &renewed, at
		}
	}
}

// kept is the answer that is kept for a read, whatever its age; nil for none.
func (c *cache) kept(k readKey) *Answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[k]; e != nil {
		return e.Value.(*entry).answer
	}
	return nil
}

// Keep makes an answer that another replica has got serve the reads here that accept
// its age. It is the answer to a read with this call's credential and URL, asked for at
// a.Asked by this replica's clock. What a write here may have changed since is not kept.
func (b *Broker) Keep(c *Call, a *Answer) {
	b.cache.put(time.Now(), a.Asked, readKey{c.Key.Partition(), c.Path, c.Query}, a)
}

// Renew notes that the answer kept for a read would have been the same at the moment
// asked, if its body has this sum.
func (b *Broker) Renew(c *Call, body [sha256.Size]byte, asked time.Time) {
	b.cache.renew(asked, readKey{c.Key.Partition(), c.Path, c.Query}, body)
}

func (c *cache) drop(e *list.Element) {
	v := c.used.Remove(e).(*entry)
	delete(c.entries, v.key)
	delete(c.partitions[v.organization].entries, e)
	c.bytes -= v.size
}

// tidy forgets organizations of which no answer is kept, when there are many.
func (c *cache) tidy(now time.Time) {
	if len(c.partitions) == 0 || len(c.partitions)%1024 != 0 {
		return
	}
	for id, h := range c.partitions {
		if len(h.entries) == 0 && now.Sub(h.written) > writeMemory {
			delete(c.partitions, id)
		}
	}
}

// written drops the answers that a write may have changed: all answers of its
// organization, and all without an owner, such as the list of organizations. A
// write whose owner is not known drops everything. now is when the write was
// answered or given up: no answer that was asked for before now is kept
// afterwards.
func (c *cache) written(now time.Time, organization string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tidy(now)
	if organization == "" {
		c.unowned = now
		for c.used.Len() > 0 {
			c.drop(c.used.Back())
		}
		return
	}
	for _, id := range [...]string{organization, ""} {
		h := c.partition(id)
		h.written = now
		for e := range h.entries {
			c.drop(e)
		}
	}
}

// partition gives the partition of an organization, and makes it where there is
// none.
func (c *cache) partition(id string) *partition {
	h := c.partitions[id]
	if h == nil {
		h = &partition{}
		c.partitions[id] = h
	}
	return h
}
