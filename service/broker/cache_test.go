package broker

import (
	"fmt"
	"testing"
	"time"
)

// TestCacheOfManyOrganizations: what is kept of an organization is dropped by its
// next write, however many organizations there are: forgetting those of which
// nothing is kept must not take the newest along.
func TestCacheOfManyOrganizations(t *testing.T) {
	t.Parallel()
	c, now := newCache(32<<20), time.Unix(1_800_000_000, 0)
	key := func(i int) readKey { return readKey{"k", fmt.Sprint("/organizations/", i, "/devices"), ""} }
	const organizations = 2100
	c.find(now, key(0), time.Minute) // somebody takes old answers
	for i := range organizations {
		c.put(now, now, key(i), &Answer{Organization: fmt.Sprint(i), Body: []byte("[]")})
	}
	for i := range organizations {
		if c.find(now, key(i), time.Minute) == nil {
			t.Fatalf("the answer of organization %d is not kept", i)
		}
		id := fmt.Sprint(i)
		c.writing(id)
		c.written(now, id)
		if c.find(now, key(i), time.Minute) != nil {
			t.Fatalf("the answer of organization %d outlives a write", i)
		}
	}
	if c.bytes != 0 || len(c.entries) != 0 {
		t.Errorf("%d bytes in %d entries are left", c.bytes, len(c.entries))
	}
}
