package identity

import "testing"

// TestNamesThatLeaveTheTrustDomainOpen: what would take in callers of a trust domain
// that it does not name whole is refused, in whatever way it is written.
func TestNamesThatLeaveTheTrustDomainOpen(t *testing.T) {
	t.Parallel()
	for entry, ok := range map[string]bool{
		"spiffe://shop*": false, "spiffe://*": false, "spiffe:/*": false, "spiffe*": false, "s*": false,
		"SPIFFE://shop*": false, "Spiffe:*": false, "spiffe://shop.example*": false,
		"": false, "a*b": false, "**": false, "*a": false, "spiffe://*/ns/shop": false,
		"*": true, "spiffe://shop.example/*": true, "spiffe://shop.example/ns/a*": true,
		"spiffe://shop.example": true, "jwt:*": true, "sa*": true, "orders.*": true, "anonymous": true,
	} {
		if _, err := NewNames("callers", []string{"anonymous", entry}); (err == nil) != ok {
			t.Errorf("%q: %v", entry, err)
		}
	}
}

func TestNamesMatch(t *testing.T) {
	t.Parallel()
	names, err := NewNames("callers", []string{"spiffe://shop.example/ns/a/*", "anonymous"})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		"spiffe://shop.example/ns/a/sa/x": true, "spiffe://shop.example/ns/ab": false,
		"spiffe://shop.example.evil/ns/a/": false, "anonymous": true, "anonymous2": false, "": false,
	} {
		if names.Match(name) != want {
			t.Errorf("%q: %t", name, !want)
		}
	}
	if new(Names).Match("anonymous") {
		t.Error("an empty set holds a name")
	}
}
