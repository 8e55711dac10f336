package sandbox

import (
	"crypto/sha256"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/merakibroker/merakibroker/service/sandbox/document"
)

// Bounds of what is remembered. The oldest goes first.
const (
	mostDocuments  = 200_000
	mostExecutions = 500_000
	// shownBody is how much of a write's body its record keeps, in bytes.
	shownBody = 1024
)

// A resource is a thing that was written, as it was last written.
type resource struct {
	body  []byte
	shape *document.Shape
	extra map[string]any // properties that the document does not have, see wireshape.Extra
	job   *job           // whose state the resource shows; nil: it changes by writes alone
}

// An Execution is a write that took effect.
type Execution struct {
	Method       string    `json:"method"`
	Path         string    `json:"path"`
	Organization string    `json:"organizationId,omitempty"`
	Body         string    `json:"body"`
	Times        int       `json:"times"`
	First        time.Time `json:"first"`
	Last         time.Time `json:"last"`
}

type executionKey struct {
	method, path string
	body         [sha256.Size]byte
}

// A store is what was written, by path.
type store struct {
	mu      sync.RWMutex
	docs    map[string]*resource
	order   []string            // of docs, oldest first; may name some that have gone
	created map[string][]string // collection -> ids, in order, the deleted among them
	gone    map[string]bool     // deleted
	deleted atomic.Int64        // len(gone)
	serial  int                 // of the last created resource

	executed map[executionKey]*Execution
	history  []executionKey

	journaling bool
	journal    []func() // undo what was written since begin, the last first
}

func newStore() *store {
	return &store{docs: map[string]*resource{}, created: map[string][]string{}, gone: map[string]bool{}, executed: map[executionKey]*Execution{}}
}

// get gives what was written at a path; nil when nothing was.
func (s *store) get(path string) *resource {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.docs[path]
}

// reset forgets everything.
func (s *store) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.docs, s.order, s.created, s.gone = map[string]*resource{}, nil, map[string][]string{}, map[string]bool{}
	s.executed, s.history, s.serial = map[executionKey]*Execution{}, nil, 0
	s.deleted.Store(0)
}

func (s *store) put(path string, d *resource) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.putLocked(path, d)
}

func (s *store) putLocked(path string, d *resource) {
	s.keepLocked(path)
	if s.gone[path] {
		delete(s.gone, path)
		s.deleted.Store(int64(len(s.gone)))
	}
	if s.docs[path] == nil {
		s.order = append(s.order, path)
	}
	s.docs[path] = d
	for len(s.docs) > mostDocuments {
		oldest := s.order[0]
		s.order = s.order[1:]
		delete(s.docs, oldest)
	}
}

// create stores a new row of a collection.
func (s *store) create(collection, id string, d *resource) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.putLocked(collection+"/"+id, d)
	if !slices.Contains(s.created[collection], id) {
		if before := s.created[collection]; s.journaling {
			s.journal = append(s.journal, func() { s.created[collection] = before })
		}
		s.created[collection] = append(s.created[collection], id)
	}
}

// next numbers a new resource.
func (s *store) next() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serial++
	return s.serial
}

// ids lists what was created in a collection.
func (s *store) ids(collection string) []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.created[collection])
}

// remove deletes; false when it had been deleted before.
func (s *store) remove(path string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone[path] {
		return false
	}
	s.keepLocked(path)
	delete(s.docs, path)
	s.gone[path] = true
	s.deleted.Store(int64(len(s.gone)))
	return true
}

// forget drops what was written at a path. The path shows its made-up resource again.
func (s *store) forget(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keepLocked(path)
	delete(s.docs, path)
}

// begin keeps what every write from now on replaces, until commit or rollback.
func (s *store) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.journaling, s.journal = true, nil
}

func (s *store) commit() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.journaling, s.journal = false, nil
}

// rollback undoes every write since begin.
func (s *store) rollback() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, undo := range slices.Backward(s.journal) {
		undo()
	}
	s.deleted.Store(int64(len(s.gone)))
	s.journaling, s.journal = false, nil
}

// keepLocked takes note of what stands at a path before that changes.
func (s *store) keepLocked(path string) {
	if !s.journaling {
		return
	}
	doc, gone := s.docs[path], s.gone[path]
	s.journal = append(s.journal, func() {
		delete(s.docs, path)
		delete(s.gone, path)
		if doc != nil {
			s.docs[path] = doc
		}
		if gone {
			s.gone[path] = true
		}
	})
}

// isGone says whether the path, or something that it is part of, was deleted.
func (s *store) isGone(path string) bool {
	if s.deleted.Load() == 0 {
		return false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for p := path; p != ""; {
		if s.gone[p] {
			return true
		}
		i := strings.LastIndexByte(p, '/')
		if i < 0 {
			return false
		}
		p = p[:i]
	}
	return false
}

// record counts a write that took effect.
func (s *store) record(method, path, organization string, body []byte, now time.Time) {
	k := executionKey{method, path, sha256.Sum256(body)}
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.executed[k]
	if x == nil {
		x = &Execution{Method: method, Path: path, Organization: organization, Body: string(body[:min(len(body), shownBody)]), First: now}
		s.executed[k] = x
		s.history = append(s.history, k)
		for len(s.history) > mostExecutions {
			delete(s.executed, s.history[0])
			s.history = s.history[1:]
		}
	}
	x.Times++
	x.Last = now
}

// executions lists the writes that took effect, in the order of their first time.
func (s *store) executions() []Execution {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]Execution, 0, len(s.history))
	for _, k := range s.history {
		if x := s.executed[k]; x != nil {
			out = append(out, *x)
		}
	}
	return out
}

func (s *store) times(method, path string, body []byte) int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if x := s.executed[executionKey{method, path, sha256.Sum256(body)}]; x != nil {
		return x.Times
	}
	return 0
}
