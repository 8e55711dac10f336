package credential

import "testing"

// TestListsOfCallersAreReadAsRulesAre: an entry that a rule refuses is refused here.
func TestListsOfCallersAreReadAsRulesAre(t *testing.T) {
	t.Parallel()
	for _, entry := range []string{"spiffe://shop*", "spiffe:*", "SPIFFE://*", "a*b", ""} {
		for _, c := range []Config{
			{OwnKey: []string{entry}},
			{Keys: []KeyConfig{{Name: "k", Env: "A", Callers: []string{"audit", entry}}}},
		} {
			if err := c.Validate(); err == nil {
				t.Errorf("%q passes in %+v", entry, c)
			}
			if _, err := NewStore(c, nil, environ); err == nil {
				t.Errorf("a store is made of %+v", c)
			}
		}
	}
	good := Config{OwnKey: []string{"spiffe://shop.example/*"}, Keys: []KeyConfig{{Name: "k", Env: "A", Callers: []string{"jwt:*"}}}}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
}
