package outcome

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"io"
	"time"
	"unicode/utf8"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/fault"
)

// A Write is one write, as far as its outcome is known by it.
type Write struct {
	// Caller is who calls, by identity: outcomes are never shared between callers.
	Caller string
	// Operation is the vendor's operationId, for errors.
	Operation string
	// Name is the caller's own name of the write, its idempotency key; empty for none.
	Name string
	// Verb, Path and Query are what is sent; Body is JSON, nil for none.
	Verb        apiv1.Verb
	Path, Query string
	Body        []byte
	// Finish is when the write has to be done, also after its caller has left.
	Finish time.Time
}

// MaxName bounds a name, in bytes.
const MaxName = 255

// check refuses a name that cannot be kept.
func (w *Write) check() *fault.Error {
	for i := range len(w.Name) {
		if c := w.Name[i]; c < 0x21 || c > 0x7e {
			return &fault.Error{Kind: fault.BadRequest, Operation: w.Operation, Field: Metadata,
				Detail: "the idempotency key holds a character that is not printable ASCII; nothing was sent"}
		}
	}
	if len(w.Name) > MaxName {
		return &fault.Error{Kind: fault.BadRequest, Operation: w.Operation, Field: Metadata,
			Detail: "the idempotency key is longer than 255 characters; nothing was sent"}
	}
	return nil
}

// Metadata is where gRPC callers say the name.
const Metadata = "meraki-idempotency-key"

// A digest tells writes apart.
type digest [sha256.Size]byte

// digestOf hashes texts so that no two lists of them have the same digest.
func digestOf(texts ...[]byte) digest {
	h := sha256.New()
	var n [8]byte
	for _, t := range texts {
		binary.BigEndian.PutUint64(n[:], uint64(len(t)))
		h.Write(n[:])
		h.Write(t)
	}
	return digest(h.Sum(nil))
}

// content is the digest of what the write asks for. Bodies that are the same JSON
// count as the same: a client that repeats a write may order the keys anew.
func (w *Write) content() digest {
	return digestOf([]byte{byte(w.Verb)}, []byte(w.Path), []byte(w.Query), canonical(w.Body))
}

// key is where the outcome is kept: by the name, or by the content.
func (w *Write) key(content digest) digest {
	if w.Name != "" {
		return digestOf([]byte("name"), []byte(w.Caller), []byte(w.Name))
	}
	return digestOf([]byte("content"), []byte(w.Caller), content[:])
}

// canonical gives JSON with its keys in order, its numbers as they were written and
// no white space; as it is, what is no JSON, and what readers of JSON take for
// different things: a name that stands twice, a character that is none.
func canonical(body []byte) []byte {
	if len(body) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return body
	}
	if _, err := d.Token(); err != io.EOF || !namesDiffer(json.NewDecoder(bytes.NewReader(body))) {
		return body
	}
	out, err := json.Marshal(v)
	if err != nil || bytes.ContainsRune(out, utf8.RuneError) {
		return body
	}
	return out
}

// namesDiffer tells whether the names in each object of a JSON value differ. The value
// has been decoded once: it is JSON, and not too deep.
func namesDiffer(d *json.Decoder) bool {
	token, _ := d.Token()
	if token != json.Delim('{') && token != json.Delim('[') {
		return true
	}
	names := make(map[string]bool)
	for d.More() {
		if token == json.Delim('{') {
			name, _ := d.Token()
			if text, ok := name.(string); !ok || names[text] {
				return false
			} else {
				names[text] = true
			}
		}
		if !namesDiffer(d) {
			return false
		}
	}
	_, err := d.Token()
	return err == nil
}
