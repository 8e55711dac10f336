package watch

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"time"

	"github.com/merakibroker/merakibroker/service/dashboard"
)

// A sealed store is one where nobody reads what a key has read who does not have the
// key: answers hold passwords. Replicas that share a read have the same key, so they
// need no other secret. A claim says nothing, and is not sealed.
type sealed struct {
	Shared
	aead cipher.AEAD
}

// sealOverhead is what sealing adds to a value: a nonce and a tag.
const sealOverhead = 12 + 16

// seal gives the store as the replicas with a key use it; nil where there is none.
func seal(s Shared, key dashboard.Key) Shared {
	secret, err := key.Derive("what watches leave in the shared store")
	if s == nil || err != nil {
		return nil
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil
	}
	return sealed{s, aead}
}

// Get reads a value. One that was not sealed under this name is as none: the next
// reading replaces it.
func (s sealed) Get(ctx context.Context, name string) ([]byte, error) {
	value, err := s.Shared.Get(ctx, name)
	if err != nil || value == nil {
		return nil, err
	}
	opened, err := s.aead.Open(nil, nil, value, []byte(name))
	if err != nil {
		return nil, nil
	}
	return opened, nil
}

func (s sealed) Set(ctx context.Context, name string, value []byte, expiry time.Duration) error {
	return s.Shared.Set(ctx, name, s.aead.Seal(nil, nil, value, []byte(name)), expiry)
}
