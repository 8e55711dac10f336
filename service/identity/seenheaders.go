package identity

import "sync"

// seenHeaders remembers whom the headers of a mesh named: a proxy writes the same one
// for every call of a client, and to read it costs an eighth of what the broker adds
// to a call. What a header says follows from its text alone, so nothing here grows
// old; whether it is believed is decided each time. Two generations bound it, as in
// seenTokens.
type seenHeaders struct {
	mu                sync.Mutex
	current, previous map[string]string
}

// A generation takes 1 MB at the most. Headers with whole certificates in them are
// longer, and read each time.
const (
	maxSeenHeaders = 512
	maxSeenHeader  = 2 << 10
)

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
	s.add(header, id)
	return id, nil
}

func (s *seenHeaders) get(header string) (id string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id, ok = s.current[header]; ok {
		return id, true
	}
	if id, ok = s.previous[header]; ok {
		s.add(header, id)
	}
	return id, ok
}

// add remembers one, with the lock held.
func (s *seenHeaders) add(header, id string) {
	if s.current == nil || len(s.current) >= maxSeenHeaders {
		s.previous, s.current = s.current, make(map[string]string)
	}
	s.current[header] = id
}
