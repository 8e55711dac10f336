package credential

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/merakibroker/merakibroker/service/credential/secretfile"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/identity"
	"github.com/merakibroker/merakibroker/service/setting"
)

const (
	// holdRejected is how long a key that the Dashboard rejected stands behind
	// the other one. A new key may take a minute until the Dashboard knows it
	// everywhere, so it gets another chance.
	holdRejected = time.Minute
	// keepReplaced is how long a key that has gone from its file stays at hand for
	// the case that the one in its place is rejected. After that it is not used.
	keepReplaced = 5 * time.Minute
)

// A Store gives the Dashboard key for a call. It is safe for concurrent use.
type Store struct {
	files   *secretfile.Watcher
	ownKeys identity.Names

	mu      sync.RWMutex
	entries []*entry
}

// An entry is one configured key: what its file holds now, and what is left of
// what it held before.
type entry struct {
	config  *KeyConfig
	callers identity.Names

	keys []held // those of the file in its order, then those replaced
}

type held struct {
	key      dashboard.Key
	until    time.Time // of a replaced key: when it is used no more; zero for one of the file
	rejected time.Time // until when it stands behind the others
}

// NewStore reads all keys. Files re-reads those of files; environ looks up
// environment variables, nil for the process's own.
func NewStore(c Config, files *secretfile.Watcher, environ func(string) (string, bool)) (*Store, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if environ == nil {
		environ = os.LookupEnv
	}
	s := &Store{files: files}
	var err error
	if s.ownKeys, err = identity.NewNames("own_key_callers", c.OwnKey); err != nil {
		return nil, err
	}
	var wrong setting.Errors
	for i := range c.Keys {
		wrong.Add(fmt.Sprintf("keys[%d]", i), s.add(&c.Keys[i], environ))
	}
	if err := wrong.Err(); err != nil {
		return nil, err
	}
	return s, nil
}

// add reads a key, and has it re-read where it is in a file.
func (s *Store) add(k *KeyConfig, environ func(string) (string, bool)) (err error) {
	e := &entry{config: k}
	if e.callers, err = identity.NewNames("callers", k.Callers); err != nil {
		return err
	}
	s.entries = append(s.entries, e)
	load := func(contents [][]byte) error {
		keys, err := parseKeys(contents[0])
		if err == nil {
			s.replace(e, keys)
		}
		return err
	}
	if k.File != "" {
		return setting.Below("file", s.files.Add(secretfile.Group{Name: "key " + k.Name, Paths: []string{k.File}, Load: load}))
	}
	text, ok := environ(k.Env)
	if !ok {
		return setting.Wrong("env", "the environment has no %s", k.Env)
	}
	if err := load([][]byte{[]byte(text)}); err != nil {
		return setting.Wrong("env", "%s: %s", k.Env, err)
	}
	return nil
}

// replace takes the keys of a file. Keys that are no longer in the file stay behind
// them for keepReplaced. A key that is still in the file stays rejected if it was.
func (s *Store) replace(e *entry, keys []dashboard.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	var next []held
	for _, k := range keys {
		h := held{key: k.Of(e.config.Name)}
		if i := e.find(k); i >= 0 {
			h.rejected = e.keys[i].rejected
		}
		next = append(next, h)
	}
	for _, h := range e.keys {
		// A key that was replaced before is not kept for another replacement.
		if h.until.IsZero() && !slices.ContainsFunc(keys, func(k dashboard.Key) bool { return k.ID() == h.key.ID() }) {
			h.until = now.Add(keepReplaced)
			next = append(next, h)
		}
	}
	e.keys = next
}

func (e *entry) find(k dashboard.Key) int {
	return slices.IndexFunc(e.keys, func(h held) bool { return h.key.ID() == k.ID() })
}

// current is the key to use now: the first that has neither expired nor been
// rejected within holdRejected. When all have, it is the file's first.
func (e *entry) current(now time.Time) dashboard.Key {
	for _, h := range e.keys {
		if !now.Before(h.rejected) && (h.until.IsZero() || now.Before(h.until)) {
			return h.key
		}
	}
	return e.keys[0].key
}

// serves reports whether an entry is for a caller.
func (e *entry) serves(caller string) bool {
	return len(e.config.Callers) == 0 || e.callers.Match(caller)
}

// servesAll reports whether an entry is for organizations. One that is not known, "",
// is not held against it.
func (e *entry) servesAll(organizations []string) bool {
	for _, o := range organizations {
		if o != "" && !e.config.serves(o) {
			return false
		}
	}
	return true
}

// Pick gives the key for a call: of the first entry that serves the caller and all
// organizations that the call is about. While the organization is not known (""),
// or there is none, the first that serves the caller; with keys for different
// organizations a caller does well to say which one it means. The error is a
// *fault.Error of kind CallerNotAllowed.
func (s *Store) Pick(caller string, organizations ...string) (dashboard.Key, error) {
	return s.pick(func(e *entry) bool { return e.serves(caller) }, fmt.Sprintf("caller %q", caller), organizations)
}

// PickAny is Pick for the operator, whom every key serves.
func (s *Store) PickAny(organizations ...string) (dashboard.Key, error) {
	return s.pick(func(*entry) bool { return true }, "the operator", organizations)
}

func (s *Store) pick(serves func(*entry) bool, whom string, organizations []string) (dashboard.Key, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	now := time.Now()
	for _, e := range s.entries {
		if serves(e) && e.servesAll(organizations) {
			return e.current(now), nil
		}
	}
	f := &fault.Error{Kind: fault.CallerNotAllowed, Reason: "NO_API_KEY"}
	f.Detail = "the broker has no Dashboard key that serves " + whom
	if named := strings.Trim(strings.Join(organizations, " and "), " "); named != "" {
		f.Detail += " in organization " + named
	}
	f.Detail += "; ask its operator for one"
	return dashboard.Key{}, f
}

// Anywhere tells that Pick gives the same key for a caller whatever the organization.
func (s *Store) Anywhere(caller string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, e := range s.entries {
		if e.serves(caller) {
			return e.config.serves(anyName)
		}
	}
	return false
}

// For gives the key that the broker itself uses in an organization, for lists that
// no caller has asked for: of the first entry that serves the organization, whoever
// its callers are. False when there is none.
func (s *Store) For(organization string) (dashboard.Key, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, e := range s.entries {
		if e.config.serves(organization) {
			return e.current(time.Now()), true
		}
	}
	return dashboard.Key{}, false
}

// All gives one key of each entry, in order and without repeats.
func (s *Store) All() []dashboard.Key {
	return s.each(func(*entry) bool { return true })
}

// Candidates gives one key of each entry that serves the caller, in order and
// without repeats: what to try when an owner has to be looked up and it is not
// known whose organization it is of.
func (s *Store) Candidates(caller string) []dashboard.Key {
	return s.each(func(e *entry) bool { return e.serves(caller) })
}

func (s *Store) each(of func(*entry) bool) []dashboard.Key {
	s.mu.RLock()
	defer s.mu.RUnlock()
	now := time.Now()
	var out []dashboard.Key
	for _, e := range s.entries {
		if !of(e) {
			continue
		}
		k := e.current(now)
		if !slices.ContainsFunc(out, func(have dashboard.Key) bool { return have.ID() == k.ID() }) {
			out = append(out, k)
		}
	}
	return out
}

// Rejected records that the Dashboard answered 401 to a key, and gives the key to
// try instead; false when there is none: then the 401 is the call's answer. For a
// minute the other key goes first. The file is read at once, because the rejected
// key may have been replaced there already.
//
// The other key is of the entry that the first one was picked from, so that it
// serves the same callers and organizations. Another entry that happens to hold the
// first key as well may serve somebody else.
func (s *Store) Rejected(k dashboard.Key) (dashboard.Key, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	var other dashboard.Key
	for _, e := range s.entries {
		i := e.find(k)
		if i < 0 {
			continue
		}
		e.keys[i].rejected = now.Add(holdRejected)
		if e.config.File != "" {
			s.files.Poke()
		}
		if next := e.current(now); k.Entry() == e.config.Name && next.ID() != k.ID() && !e.rejectedNow(next, now) {
			other = next
		}
	}
	return other, !other.Zero()
}

func (e *entry) rejectedNow(k dashboard.Key, now time.Time) bool {
	i := e.find(k)
	return i >= 0 && now.Before(e.keys[i].rejected)
}

// A KeyState is what may be shown of a key.
type KeyState struct {
	// Name of the entry, and fingerprint of the key that it uses at this moment.
	Name, ID string
	// Rejected: every key of the entry was, a moment ago.
	Rejected bool
}

// States tells about every entry, in order, for an operator's eyes.
func (s *Store) States() []KeyState {
	s.mu.RLock()
	defer s.mu.RUnlock()
	now := time.Now()
	out := make([]KeyState, 0, len(s.entries))
	for _, e := range s.entries {
		k := e.current(now)
		out = append(out, KeyState{Name: e.config.Name, ID: k.ID(), Rejected: e.rejectedNow(k, now)})
	}
	return out
}

// Own makes a key of what a caller sent as its own. The error is a *fault.Error:
// of kind CallerNotAllowed where the caller may not, BadRequest where it is no key.
func (s *Store) Own(caller, field, text string) (dashboard.Key, error) {
	if !s.ownKeys.Match(caller) {
		return dashboard.Key{}, &fault.Error{
			Kind: fault.CallerNotAllowed, Reason: "OWN_KEY_NOT_ALLOWED", Field: field,
			Detail: fmt.Sprintf("caller %q may not bring a Dashboard key of its own; leave %s out, or ask the broker's operator to add it to own_key_callers", caller, field),
		}
	}
	k, err := parseKey(text)
	if err != nil {
		return dashboard.Key{}, fault.Bad(field, "%s %s", field, err)
	}
	return k, nil
}
