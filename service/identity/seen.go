package identity

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	// maxSeenTokens bounds the tokens that are remembered: about 1 MB with what is
	// around them.
	maxSeenTokens = 8192
	// maxSeenHeaders and maxSeenHeader bound the headers that are remembered, to 2 MB
	// in all. Headers with whole certificates in them are longer, and read each time.
	maxSeenHeaders = 1024
	maxSeenHeader  = 2 << 10
)

// seenTokens remembers tokens that passed, so that a caller's thousand calls with
// one token cost one check of a signature. It forgets all when the keys change: a
// key that was taken back takes its tokens with it.
type seenTokens struct {
	mu     sync.Mutex
	keys   *keySet
	tokens *simplelru.LRU[[sha256.Size]byte, seenToken]
}

type seenToken struct {
	caller Caller
	until  time.Time
}

func (s *seenTokens) get(sum [sha256.Size]byte, keys *keySet, now time.Time) (Caller, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys != keys || s.tokens == nil {
		return Caller{}, false
	}
	t, ok := s.tokens.Get(sum)
	if !ok || !now.Before(t.until) {
		return Caller{}, false
	}
	return t.caller, true
}

func (s *seenTokens) put(sum [sha256.Size]byte, keys *keySet, t seenToken, now time.Time) {
	if !now.Before(t.until) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys != keys || s.tokens == nil {
		s.keys, s.tokens = keys, latest[[sha256.Size]byte, seenToken](maxSeenTokens)
	}
	s.tokens.Add(sum, t)
}

// seenHeaders remembers whom the headers of a mesh named: a proxy writes the same one
// for every call of a client, and to read it costs an eighth of what the broker adds
// to a call. What a header says follows from its text alone, so nothing here grows
// old; whether it is believed is decided each time.
type seenHeaders struct {
	mu      sync.Mutex
	headers *simplelru.LRU[string, string]
}

// id is forwardedID, remembered.
func (s *seenHeaders) id(header string) (string, error) {
	if len(header) > maxSeenHeader {
		return forwardedID(header)
	}
	if id, ok := s.get(header); ok {
		return id, nil
	}
	id, err := forwardedID(header)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.headers == nil {
		s.headers = latest[string, string](maxSeenHeaders)
	}
	s.headers.Add(header, id)
	return id, nil
}

func (s *seenHeaders) get(header string) (id string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.headers == nil {
		return "", false
	}
	return s.headers.Get(header)
}

// latest makes a map of the keys that were used last.
func latest[K comparable, V any](size int) *simplelru.LRU[K, V] {
	m, err := simplelru.NewLRU[K, V](size, nil)
	if err != nil {
		panic(err) // the sizes above are constants
	}
	return m
}
