package store

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
)

// keyBytes is the length of a key: AES-256.
const keyBytes = 32

// Keys encrypt values in the store. The first one seals, all of them open, so a new
// key is put before the old one, and the old one leaves when nothing is sealed with
// it any more. Keys print as nothing.
type Keys struct{ all []sealingKey }

type sealingKey struct {
	id   [4]byte // of the key, in the value: which key opens it
	aead cipher.AEAD
}

// String keeps keys out of logs.
func (Keys) String() string { return "[redacted]" }

// GoString keeps keys out of logs.
func (Keys) GoString() string { return "[redacted]" }

// ParseKeys reads keys from a file: one on a line, 32 bytes in base64. Empty lines,
// and those that begin with #, say nothing.
func ParseKeys(file []byte) (*Keys, error) {
	var keys Keys
	for i, line := range bytes.Split(file, []byte("\n")) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		key, err := base64.StdEncoding.DecodeString(string(line))
		if err != nil || len(key) != keyBytes {
			return nil, fmt.Errorf("line %d is not a key: %d bytes in base64, as from openssl rand -base64 %d", i+1, keyBytes, keyBytes)
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		k := sealingKey{aead: aead}
		sum := sha256.Sum256(append([]byte("id of a key of the store:"), key...))
		copy(k.id[:], sum[:])
		keys.all = append(keys.all, k)
	}
	if len(keys.all) == 0 {
		return nil, errors.New("there is no key in it")
	}
	return &keys, nil
}

// The first byte of what is stored says how the value follows.
const (
	plainValue  = 0
	sealedValue = 1
)

// overhead is the most that is stored beside a value.
const overhead = 1 + 4 + 12 + 16

// seal makes what is stored of a value. The name is bound to it: what is sealed
// under one key of the store cannot be read under another.
func (k *Keys) seal(name string, value []byte) []byte {
	if k == nil {
		return append([]byte{plainValue}, value...)
	}
	first := k.all[0]
	stored := make([]byte, 0, len(value)+overhead)
	stored = append(append(stored, sealedValue), first.id[:]...)
	return first.aead.Seal(stored, nil, value, []byte(name))
}

// open is the other way. With keys nothing is read that is not sealed.
func (k *Keys) open(name string, stored []byte) ([]byte, error) {
	switch {
	case len(stored) == 0:
		return nil, errors.New("it is empty")
	case k == nil && stored[0] == plainValue:
		return stored[1:], nil
	case k == nil:
		return nil, errors.New("it is encrypted, and there is no key")
	case stored[0] != sealedValue || len(stored) < overhead:
		return nil, errors.New("it is not encrypted")
	}
	for _, key := range k.all {
		if !bytes.Equal(key.id[:], stored[1:5]) {
			continue
		}
		value, err := key.aead.Open(nil, nil, stored[5:], []byte(name))
		if err != nil {
			return nil, errors.New("it has been changed, or belongs elsewhere")
		}
		return value, nil
	}
	return nil, errors.New("it is encrypted with a key that is not among ours")
}
