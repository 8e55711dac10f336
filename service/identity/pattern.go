package identity

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/merakibroker/merakibroker/service/setting"
)

// Names is a set of names of callers: exact ones, and all that begin in a certain
// way ("spiffe://mesh.example/ns/shop/*"). Every list of callers that an operator
// writes is read by it, so that none takes what another refuses. The zero value is
// empty.
type Names struct {
	exact    []string
	prefixes []string
}

// NewNames reads a list. The errors name the entries, as callers[1] does.
func NewNames(key string, entries []string) (Names, error) {
	var n Names
	var wrong setting.Errors
	for i, entry := range entries {
		if err := n.add(entry); err != nil {
			wrong.Add(fmt.Sprintf("%s[%d]", key, i), err)
		}
	}
	return n, wrong.Err()
}

// anyName as an entry stands for every name.
const anyName = "*"

// add takes one entry into the set.
func (n *Names) add(entry string) error {
	prefix, wild := strings.CutSuffix(entry, anyName)
	switch {
	case entry == "":
		return errors.New("is empty")
	case strings.Contains(prefix, anyName):
		return fmt.Errorf("%q has a * that is not at its end", clip(entry))
	case !wild:
		n.exact = append(n.exact, entry)
	case prefix != "" && openDomain(prefix):
		// spiffe://shop* would take in spiffe://shop.evil.example as well.
		return fmt.Errorf("%q leaves the trust domain open; name it whole, up to the slash", clip(entry))
	default:
		n.prefixes = append(n.prefixes, prefix)
	}
	return nil
}

// openDomain tells a beginning of SPIFFE ids that does not say which trust domain.
func openDomain(prefix string) bool {
	id, ok := cutFold(prefix, spiffeScheme)
	if !ok {
		_, ok = cutFold(spiffeScheme, prefix)
		return ok
	}
	return !strings.Contains(id, "/")
}

// cutFold cuts a beginning off that is written in upper or lower case.
func cutFold(s, prefix string) (rest string, ok bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return "", false
	}
	return s[len(prefix):], true
}

// Match reports whether name is in the set.
func (n *Names) Match(name string) bool {
	if slices.Contains(n.exact, name) {
		return true
	}
	for _, prefix := range n.prefixes {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
