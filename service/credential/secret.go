package credential

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/merakibroker/merakibroker/service/dashboard"
)

const (
	// maxKeys a file may hold: the current one, and another for the time of a change.
	maxKeys = 2
	// minKeyBytes and maxKeyBytes: a Dashboard key has 40 bytes; OAuth access
	// tokens are longer. What is outside of this is no key but a mistake.
	minKeyBytes, maxKeyBytes = 8, 4096
)

// parseKeys reads the contents of a key file. No error says what the file holds.
func parseKeys(contents []byte) ([]dashboard.Key, error) {
	text := strings.TrimPrefix(string(contents), "\ufeff") // some editors begin a file so
	var keys []dashboard.Key
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		k, err := parseKey(line)
		if err != nil {
			return nil, fmt.Errorf("line %d %w", i+1, err)
		}
		if slices.ContainsFunc(keys, func(have dashboard.Key) bool { return have.ID() == k.ID() }) {
			continue
		}
		if keys = append(keys, k); len(keys) > maxKeys {
			return nil, fmt.Errorf("holds more than %d keys", maxKeys)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("holds no key: put the Dashboard key there, alone on its line")
	}
	return keys, nil
}

// parseKey checks one key. What could not stand in an HTTP header, or is
// evidently something else, is an error that does not show it.
func parseKey(s string) (dashboard.Key, error) {
	s = strings.TrimSpace(s)
	switch {
	case strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }):
		return dashboard.Key{}, errors.New("holds white space, control characters or letters that no key has; it must be the key alone")
	// = may end a token in base64, and stands in the middle of none.
	case strings.ContainsAny(strings.TrimRight(s, "="), `"'=:{}`):
		return dashboard.Key{}, errors.New("holds quotes, braces, = or : and so is not the key alone")
	case len(s) < minKeyBytes || len(s) > maxKeyBytes:
		return dashboard.Key{}, fmt.Errorf("has not the length of a key, which is from %d to %d bytes", minKeyBytes, maxKeyBytes)
	}
	return dashboard.NewKey(s), nil
}
