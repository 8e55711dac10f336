package outcome

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"time"
)

// A memory is a store that behaves: records with a life, and it can be gone.
type memory struct {
	mu         sync.Mutex
	records    map[string][]byte
	until      map[string]time.Time // of records and of words
	gone       bool
	late       bool // the next new record is there later than its writer waits
	unheard    bool // the next record that replaces another one is there, and its writer hears of an error
	unheardNew bool // the same of the next that is new
	// unheardGone: nothing is heard from then on.
	unheardGone bool
	lateOnly    string // what the record has in it that is late
	meanwhile   func() // what others do before the next record is dropped
	full        bool   // no new records
	most        int    // bytes of a record; 0 for any
	unreadable  bool
}

var errGone = errors.New("gone")

func newMemory() *memory {
	return &memory{records: make(map[string][]byte), until: make(map[string]time.Time)}
}

func (m *memory) lock() (func(), error) {
	m.mu.Lock()
	if m.gone {
		m.mu.Unlock()
		return nil, errGone
	}
	return m.mu.Unlock, nil
}

func (m *memory) Begin(_ context.Context, key string, record []byte, life time.Duration) ([]byte, error) {
	unlock, err := m.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if r := m.records[key]; r != nil && time.Now().Before(m.until[key]) {
		return r, nil
	}
	if m.full {
		return nil, ErrFull
	}
	if m.late && strings.Contains(string(record), m.lateOnly) {
		m.late = false
		time.AfterFunc(3*time.Second, func() { _, _ = m.Begin(context.Background(), key, record, life) })
		return nil, errGone
	}
	m.records[key], m.until[key] = record, time.Now().Add(life)
	if m.unheardNew && strings.Contains(string(record), statePending) {
		m.unheardNew, m.gone = false, m.unheardGone
		return nil, errGone
	}
	return nil, nil
}

func (m *memory) Replace(_ context.Context, key string, old, record []byte, life time.Duration) (bool, error) {
	unlock, err := m.lock()
	if err != nil {
		return false, err
	}
	defer unlock()
	if m.records[key] == nil || !bytes.Equal(m.records[key], old) {
		return false, nil
	}
	if m.most > 0 && len(record) > m.most {
		return false, ErrTooLarge
	}
	m.records[key], m.until[key] = record, time.Now().Add(life)
	if m.unheard {
		m.unheard = false
		return false, errGone
	}
	return true, nil
}

func (m *memory) Read(_ context.Context, key string) ([]byte, error) {
	unlock, err := m.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if !time.Now().Before(m.until[key]) {
		delete(m.records, key)
	}
	if m.unreadable && m.records[key] != nil {
		return nil, ErrUnreadable
	}
	return m.records[key], nil
}

func (m *memory) Drop(_ context.Context, key string, old []byte) (bool, error) {
	unlock, err := m.lock()
	if err != nil {
		return false, err
	}
	defer unlock()
	if do := m.meanwhile; do != nil {
		m.meanwhile = nil
		do()
	}
	if m.records[key] == nil || !bytes.Equal(m.records[key], old) {
		return false, nil
	}
	delete(m.records, key)
	return true, nil
}

func (m *memory) Hold(_ context.Context, key string, life time.Duration) error {
	unlock, err := m.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if m.full {
		return ErrFull
	}
	m.until["hold "+key] = time.Now().Add(life)
	return nil
}

func (m *memory) Renew(_ context.Context, key string, life time.Duration) error {
	unlock, err := m.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if time.Now().Before(m.until["hold "+key]) { // a word that has run out is none to be renewed
		m.until["hold "+key] = time.Now().Add(life)
	}
	return nil
}

func (m *memory) Held(_ context.Context, key string) (bool, error) {
	unlock, err := m.lock()
	if err != nil {
		return false, err
	}
	defer unlock()
	return time.Now().Before(m.until["hold "+key]), nil
}

func (m *memory) lose(gone bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gone = gone
}
