package store

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/merakibroker/merakibroker/service/store/storetest"
)

// line is a key as it stands in a file.
func line(n byte) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{n}, keyBytes)) }

func someKeys(t *testing.T, all ...byte) *Keys {
	t.Helper()
	var file strings.Builder
	for _, n := range all {
		file.WriteString(line(n) + "\n")
	}
	keys, err := ParseKeys([]byte(file.String()))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestParseKeys(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		line(1):                                  "",
		"# new\n" + line(1) + "\r\n\n" + line(2): "",
		"":                                       "no key in it",
		"# nothing\n":                            "no key in it",
		"short":                                  "line 1 is not a key",
		line(1) + "\n" + line(2)[:20]:            "line 2 is not a key: 32 bytes in base64",
		line(1) + line(2):                        "line 1 is not a key",
	} {
		keys, err := ParseKeys([]byte(file))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want it to say %q", file, err, want)
		}
		if err != nil && strings.Contains(err.Error(), line(2)[:20]) {
			t.Errorf("the error tells the key: %v", err)
		}
		if keys != nil && fmt.Sprintf("%v %+v %#v %s", *keys, keys, keys, keys) != "[redacted] [redacted] [redacted] [redacted]" {
			t.Errorf("keys print as %+v", keys)
		}
	}
}

func TestSeal(t *testing.T) {
	t.Parallel()
	first, second, both := someKeys(t, 1), someKeys(t, 2), someKeys(t, 2, 1)
	value := []byte("a password in a body")
	sealed := first.seal("k", value)
	if bytes.Contains(sealed, []byte("password")) || len(sealed) != len(value)+overhead {
		t.Errorf("sealed as %q", sealed)
	}
	if bytes.Equal(sealed, first.seal("k", value)) {
		t.Error("the same value is sealed as the same bytes")
	}
	changed := bytes.Clone(sealed)
	changed[len(changed)-1] ^= 1
	for _, c := range []struct {
		name, key string
		keys      *Keys
		stored    []byte
		says      string
	}{
		{"with its key", "k", first, sealed, ""},
		{"with a new key before it", "k", both, sealed, ""},
		{"with another key", "k", second, sealed, "not among ours"},
		{"without a key", "k", nil, sealed, "there is no key"},
		{"under another name", "other", first, sealed, "belongs elsewhere"},
		{"changed", "k", first, changed, "has been changed"},
		{"cut", "k", first, sealed[:overhead-1], "not encrypted"},
		{"plain, with a key", "k", first, append([]byte{plainValue}, value...), "not encrypted"},
		{"plain, without one", "k", nil, append([]byte{plainValue}, value...), ""},
		{"empty", "k", first, nil, "empty"},
	} {
		got, err := c.keys.open(c.key, c.stored)
		if c.says == "" && (err != nil || !bytes.Equal(got, value)) || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %q, %v, want it to say %q", c.name, got, err, c.says)
		}
	}
}

// Nothing of a value is readable in the store.
func TestSealedAtRest(t *testing.T) {
	t.Parallel()
	s := storetest.Serve(t)
	keys := someKeys(t, 1)
	c := open(t, s, func(o *Options) { o.Keys = func() *Keys { return keys } })
	if err := c.Set(t.Context(), "k", []byte("a password"), time.Minute); err != nil {
		t.Fatal(err)
	}
	if raw := s.Client().Get(t.Context(), "test:k").Val(); raw == "" || strings.Contains(raw, "password") {
		t.Errorf("stored as %q", raw)
	}
	keys = someKeys(t, 2, 1) // the file has changed
	if v, err := c.Get(t.Context(), "k"); err != nil || string(v.Bytes) != "a password" {
		t.Errorf("%q, %v", v.Bytes, err)
	}
}

// FuzzOpen: whatever stands in the store, nothing is opened that was not sealed so.
func FuzzOpen(f *testing.F) {
	file := []byte(line(1) + "\n" + line(2))
	keys, err := ParseKeys(file)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(keys.seal("k", []byte("value")), "other")
	f.Add([]byte{sealedValue, 0}, "k")
	f.Fuzz(func(t *testing.T, stored []byte, name string) {
		if value, err := keys.open(name, stored); err == nil && name != "k" {
			t.Errorf("%q opens %q as %q", name, stored, value)
		}
	})
}
