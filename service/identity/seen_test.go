package identity

import (
	"fmt"
	"strings"
	"testing"
)

// TestSeenHeaders: what was read once is known, what is used stays, and the number of
// what is remembered is bounded.
func TestSeenHeaders(t *testing.T) {
	t.Parallel()
	s := new(seenHeaders)
	header := func(i int) string { return fmt.Sprintf("Hash=0a;URI=spiffe://mesh.example/ns/shop/sa/caller-%d", i) }
	ask := func(h, want string) {
		t.Helper()
		if id, err := s.id(h); err != nil || id != want {
			t.Fatalf("%s: %q, %v", h, id, err)
		}
	}
	for i := range 3 * maxSeenHeaders {
		ask(header(i), fmt.Sprintf("spiffe://mesh.example/ns/shop/sa/caller-%d", i))
		ask(header(0), "spiffe://mesh.example/ns/shop/sa/caller-0")
	}
	if _, ok := s.get(header(0)); !ok {
		t.Error("one that is used all the time is forgotten")
	}
	if _, ok := s.get(header(1)); ok {
		t.Error("one that is never used stays for ever")
	}
	if n := s.headers.Len(); n != maxSeenHeaders {
		t.Errorf("%d are remembered", n)
	}
	long := header(1) + ";Cert=" + strings.Repeat("x", maxSeenHeader)
	ask(long, "spiffe://mesh.example/ns/shop/sa/caller-1")
	if _, ok := s.get(long); ok {
		t.Error("a long one is remembered")
	}
	const broken = `URI=spiffe://mesh.example/ns/shop/sa/a";By=x`
	for range 2 {
		if id, err := s.id(broken); err == nil {
			t.Errorf("%s names %q", broken, id)
		}
	}
	if _, ok := s.get(broken); ok {
		t.Error("one that names nobody is remembered")
	}
}
