package identity

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"

	"go.yaml.in/yaml/v3"
)

// tokenPrefix stands before the name of a caller that is known by a token of the
// broker's own, asPrefix before one that is known by the path it calls. No other
// source gives out such names.
const (
	tokenPrefix = "token:"
	asPrefix    = "as:"
	keyPrefix   = "key:"
)

// A staticTokens is the broker's own tokens, for clients that send one fixed text
// where they would send a Dashboard key.
type staticTokens struct {
	// names are by the SHA-256 of the token: a look-up by hash tells nothing about
	// a token by how long it takes.
	names atomic.Pointer[map[[sha256.Size]byte]string]
}

// load takes the file: a YAML map of each token's name to its SHA-256 in hex.
func (s *staticTokens) load(contents [][]byte) error {
	d := yaml.NewDecoder(bytes.NewReader(contents[0]))
	var file map[string]string
	if err := d.Decode(&file); err != nil {
		return errors.New("is not a map of names to SHA-256 sums in hex, as in\n  exporter: 5e88…")
	}
	if err := d.Decode(new(any)); !errors.Is(err, io.EOF) {
		return errors.New("holds more than one document")
	}
	names := make(map[[sha256.Size]byte]string, len(file))
	for name, text := range file {
		sum, err := hex.DecodeString(strings.TrimSpace(text))
		switch {
		case isToken(name):
			return errors.New("a token stands in the place of a name: write the name in front, and the SHA-256 of the token behind it")
		case !staticName(name):
			return fmt.Errorf("%q is no name for a token: letters, digits, dots, dashes and underscores, 64 at the most", clip(name))
		case err != nil || len(sum) != sha256.Size:
			return fmt.Errorf("the sum of %q is not a SHA-256 in hex, 64 digits; never put a token itself here", name)
		}
		key := [sha256.Size]byte(sum)
		if other, ok := names[key]; ok {
			return fmt.Errorf("%q and %q have the same token", min(name, other), max(name, other))
		}
		names[key] = name
	}
	s.names.Store(&names)
	return nil
}

// find gives the caller of a token.
func (s *staticTokens) find(token string) (Caller, bool) {
	name, ok := s.name(token)
	return Caller{ID: tokenPrefix + name, Source: StaticToken}, ok
}

// name gives the name of a token.
func (s *staticTokens) name(token string) (string, bool) {
	names := s.names.Load()
	if names == nil {
		return "", false
	}
	name, ok := (*names)[sha256.Sum256([]byte(token))]
	return name, ok
}

// NewToken makes a token, and the line for the file of tokens. A token has the
// form of a Dashboard key, 40 characters of hex, because some clients check it.
func NewToken(name string) (token, line string, err error) {
	if !staticName(name) || isToken(name) {
		return "", "", fmt.Errorf("%q is no name for a token: letters, digits, dots, dashes and underscores, 64 at the most", clip(name))
	}
	random := make([]byte, 20)
	if _, err := rand.Read(random); err != nil {
		return "", "", err
	}
	token = hex.EncodeToString(random)
	sum := sha256.Sum256([]byte(token))
	return token, fmt.Sprintf("%s: %x", name, sum), nil
}

// staticName tells whether a name can stand in a path, a rule and a log as it is.
func staticName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return name != "" && name != "." && name != ".." && len(name) <= 64
}

// isToken tells what has the form of a token, 40 hexadecimal digits, and so is no name:
// names are told in errors, logs and rules.
func isToken(name string) bool {
	_, err := hex.DecodeString(name)
	return err == nil && len(name) == 40
}

// ownName tells the names that only sources of the REST face give out.
func ownName(name string) bool {
	return strings.HasPrefix(name, tokenPrefix) || strings.HasPrefix(name, asPrefix) || strings.HasPrefix(name, keyPrefix)
}
