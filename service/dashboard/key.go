package dashboard

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// redacted is what a key looks like wherever it is printed.
const redacted = "[redacted]"

// A Key is an API key or an OAuth access token. It prints as [redacted]; the
// secret leaves this package only in an Authorization header. It stands behind a
// function because fmt does not ask the methods of an unexported field: of a
// pointer there it shows, for some verbs, what it points to, of a function never
// more than an address.
type Key struct {
	open func() *material
}

type material struct {
	header string // "Bearer " + secret
	id     string
	mask   *mask
	// entry is the name of the entry of the configuration, partition that and id.
	entry, partition string
}

// NewKey makes a key of a secret; white space around it, such as the newline at
// the end of a file, is no part of it. An empty secret gives the zero Key.
func NewKey(secret string) Key {
	secret = strings.TrimSpace(secret)
	if secret == "" {
		return Key{}
	}
	sum := sha256.Sum256([]byte(secret))
	m := &material{header: "Bearer " + secret, id: hex.EncodeToString(sum[:8]), mask: newMask(secret)}
	m.partition = m.id
	return Key{func() *material { return m }}
}

// ID is a fingerprint that tells keys apart and is safe to log: 64 bits of a
// hash, of a secret that has 160 random bits. Empty for the zero Key. Keys are
// compared by it; == does not compile.
func (k Key) ID() string {
	if k.open == nil {
		return ""
	}
	return k.open().id
}

// Of gives the key as one of an entry of the configuration, by its name.
func (k Key) Of(entry string) Key {
	if k.open == nil {
		return k
	}
	m := *k.open()
	m.entry, m.partition = entry, m.id+" of "+entry
	return Key{func() *material { return &m }}
}

// Entry is the name of the entry that the key was picked from; empty for a key that
// a caller has brought. The same key may stand in several, each for callers of its own.
func (k Key) Entry() string {
	if k.open == nil {
		return ""
	}
	return k.open().entry
}

// Partition tells whose answers may be shared: those to one key, picked from one
// entry. What takes the place of a rejected key is of that entry, too, so that an
// answer never reaches a caller whom the entry does not serve.
func (k Key) Partition() string {
	if k.open == nil {
		return ""
	}
	return k.open().partition
}

// Derive gives 32 bytes that only who has the secret can make, to encrypt what was read
// with it. They tell nothing of the secret; another purpose has others.
func (k Key) Derive(purpose string) ([]byte, error) {
	if k.open == nil {
		return nil, errors.New("there is no key")
	}
	return hkdf.Key(sha256.New, []byte(k.header()), nil, purpose, 32)
}

// Zero tells whether there is no key.
func (k Key) Zero() bool { return k.open == nil }

// header is the value of the Authorization header.
func (k Key) header() string { return k.open().header }

// mask replaces the secret in text from outside.
func (k Key) mask() *mask {
	if k.open == nil {
		return nil
	}
	return k.open().mask
}

// Redact is text without the secret, in whatever form it stands there.
func (k Key) Redact(text string) string { return k.mask().text(text) }

// String gives "[redacted]".
func (k Key) String() string { return redacted }

// GoString gives "[redacted]".
func (k Key) GoString() string { return redacted }

// Format prints "[redacted]" for every verb.
func (k Key) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redacted) }

// LogValue gives "[redacted]" to slog.
func (k Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON gives "[redacted]" as a JSON string.
func (k Key) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText gives "[redacted]".
func (k Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }
