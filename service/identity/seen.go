package identity

import (
	"crypto/sha256"
	"sync"
	"time"
)

// seenTokens remembers tokens that passed, so that a caller's thousand calls
// with one token cost one check of a signature. It forgets all when the keys
// change: a key that was taken back takes its tokens with it. Two generations
// bound it without a sweeper: when the current one is full, it becomes the
// previous one, whose tokens are forgotten unless they are used.
type seenTokens struct {
	mu                sync.Mutex
	keys              *keySet
	current, previous map[[sha256.Size]byte]seenToken
}

type seenToken struct {
	caller Caller
	until  time.Time
}

// maxSeen is the size of a generation: about 1 MB with what is around it.
const maxSeen = 4096

func (s *seenTokens) get(sum [sha256.Size]byte, keys *keySet, now time.Time) (Caller, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys != keys {
		return Caller{}, false
	}
	t, ok := s.current[sum]
	if !ok {
		if t, ok = s.previous[sum]; ok {
			s.add(sum, t)
		}
	}
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
	if s.keys != keys {
		s.keys, s.current, s.previous = keys, nil, nil
	}
	s.add(sum, t)
}

func (s *seenTokens) add(sum [sha256.Size]byte, t seenToken) {
	if s.current == nil || len(s.current) >= maxSeen {
		s.previous, s.current = s.current, make(map[[sha256.Size]byte]seenToken)
	}
	s.current[sum] = t
}
