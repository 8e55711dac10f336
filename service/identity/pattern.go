package identity

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A pattern is a set of names: exact ones, and all that begin in a certain way
// ("spiffe://mesh.example/ns/shop/*").
type pattern struct {
	exact    []string
	prefixes []string
}

// anyName as an entry stands for every name.
const anyName = "*"

// add takes one entry into the set.
func (p *pattern) add(entry string) error {
	prefix, wild := strings.CutSuffix(entry, "*")
	switch {
	case entry == "":
		return errors.New("is empty")
	case strings.Contains(prefix, "*"):
		return fmt.Errorf("%q has a * that is not at its end", clip(entry))
	case !wild:
		p.exact = append(p.exact, entry)
	case prefix == spiffeScheme || strings.HasPrefix(prefix, spiffeScheme) && !strings.Contains(prefix[len(spiffeScheme):], "/"):
		// spiffe://shop* would take in spiffe://shop.evil.example as well.
		return fmt.Errorf("%q leaves the trust domain open; name it whole, up to the slash", clip(entry))
	default:
		p.prefixes = append(p.prefixes, prefix)
	}
	return nil
}

// match reports whether name is in the set.
func (p *pattern) match(name string) bool {
	if slices.Contains(p.exact, name) {
		return true
	}
	for _, prefix := range p.prefixes {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
