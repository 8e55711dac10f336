// Package rest is the REST face: clients of the Dashboard API that exist already
// reach the broker by their base address alone, and share the budget, the keys,
// the retries and the record with everyone else. Bodies, queries and page links
// pass as they came; nothing goes through protobuf.
package rest

import (
	"errors"
	"fmt"
	"strings"
)

// apiRoot is where the Dashboard's API begins, for the vendor's hosts and for
// this face alike.
const apiRoot = "/api/v1"

// asPrefix stands before the name of a caller that can send no credential:
// /as/NAME/api/v1.
const asPrefix = "/as/"

// A target is what a client asks for, taken apart.
type target struct {
	// base is what the client puts in front of a path of the API: /api/v1 or
	// /as/NAME/api/v1. Links are written with the same.
	base string
	// as is the NAME of /as/NAME; empty without one.
	as string
	// path is below the API's root, escaped as the client escaped it; query is
	// encoded, without the question mark.
	path, query string
}

// maxNesting bounds how many addresses may stand in one another: a client that
// has doubled one address doubles what it got for it, too.
const maxNesting = 3

// errOutside is a target that leads to no path of the API.
var errOutside = errors.New("only paths below " + apiRoot + " are served here")

// parseTarget takes the target of a request line apart. The Python SDK believes
// page links of the vendor's hosts only, and puts its base address in front of
// all others: /api/v1http://HOST/api/v1/organizations. Proxies merge the slashes.
// ours tells whether a host is one that clients reach the broker or the Dashboard
// by; an inner address of any other host is an error.
func parseTarget(uri string, ours func(host string) bool) (target, error) {
	rest, query, _ := strings.Cut(uri, "?")
	if strings.ContainsRune(rest, '#') || strings.ContainsRune(query, '#') {
		return target{}, errors.New("a target has no fragment")
	}
	t := target{query: query}
	for range maxNesting {
		if rest == "" || rest[0] != '/' {
			return target{}, errOutside
		}
		base, as, below, err := cutBase(rest)
		if err != nil {
			return target{}, err
		}
		if t.base != "" && as != t.as {
			return target{}, fmt.Errorf("the address names two callers, %q and %q", t.as, as)
		}
		t.base, t.as = base, as
		host, inner, nested := cutAddress(below)
		if !nested {
			if below == "" || below[0] != '/' {
				return target{}, errOutside
			}
			t.path = below
			return t, nil
		}
		if !ours(host) {
			return target{}, fmt.Errorf("the address inside of the path is of the host %.80q, which is not served here", host)
		}
		if t.as != "" && strings.HasPrefix(inner, apiRoot) {
			// The vendor's own address knows nothing of the caller's prefix.
			inner = t.base + inner[len(apiRoot):]
		}
		rest = inner
	}
	return target{}, errors.New("too many addresses stand in one another")
}

// cutBase cuts /api/v1 or /as/NAME/api/v1 from the front of a path.
func cutBase(path string) (base, as, below string, err error) {
	rest := path
	if after, ok := strings.CutPrefix(path, asPrefix); ok {
		name, tail, _ := strings.Cut(after, "/")
		if !plainName(name) {
			return "", "", "", fmt.Errorf("%.80q is no name of a caller: letters, digits, dots, dashes and underscores, 64 at the most", name)
		}
		as, rest = name, "/"+tail
	}
	below, ok := strings.CutPrefix(rest, apiRoot)
	if !ok {
		return "", "", "", errOutside
	}
	return path[:len(path)-len(below)], as, below, nil
}

// cutAddress takes an address apart that stands where a path is expected: its
// host, and its path from the first slash on.
func cutAddress(s string) (host, path string, ok bool) {
	s = strings.TrimLeft(s, "/")
	scheme := ""
	for _, name := range [...]string{"http", "https"} {
		for _, colon := range [...]string{":", "%3A", "%3a"} {
			if len(s) > len(name+colon) && strings.EqualFold(s[:len(name)], name) && s[len(name):len(name)+len(colon)] == colon && s[len(name)+len(colon)] == '/' {
				scheme = s[:len(name)+len(colon)]
			}
		}
	}
	if scheme == "" {
		return "", "", false
	}
	s = strings.TrimLeft(s[len(scheme):], "/")
	end := strings.IndexByte(s, '/')
	if end < 0 {
		end = len(s)
	}
	host = strings.NewReplacer("%3A", ":", "%3a", ":").Replace(s[:end])
	return strings.ToLower(host), s[end:], true
}

// plainName tells whether a name can stand in a path and in a log as it is.
func plainName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return name != "" && name != "." && name != ".." && len(name) <= 64
}
