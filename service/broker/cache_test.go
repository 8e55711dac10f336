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
		c.written(now, id)
		if c.find(now, key(i), time.Minute) != nil {
			t.Fatalf("the answer of organization %d outlives a write", i)
		}
	}
	if c.bytes != 0 || len(c.entries) != 0 {
		t.Errorf("%d bytes in %d entries are left", c.bytes, len(c.entries))
	}
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	c := newCache(100_000)
	now := time.Now()
	c.find(now, readKey{}, time.Minute)
	for i := range 1000 {
		c.put(now, now, readKey{path: fmt.Sprint(i)}, &Answer{Body: make([]byte, 1000), Organization: fmt.Sprint(i % 7)})
		if c.bytes > 100_000 {
			t.Fatalf("%d bytes", c.bytes)
		}
	}
	if c.find(now, readKey{path: "999"}, time.Minute) == nil || c.find(now, readKey{path: "1"}, time.Minute) != nil {
		t.Error("not the latest are kept")
	}
	c.put(now, now, readKey{path: "large"}, &Answer{Body: make([]byte, 50_000)})
	if c.find(now, readKey{path: "large"}, time.Minute) != nil {
		t.Error("one answer takes half of the cache")
	}
	c.written(now, "")
	if c.bytes != 0 || len(c.entries) != 0 || c.used.Len() != 0 {
		t.Errorf("%d bytes, %d entries after a write of no known owner", c.bytes, len(c.entries))
	}
}

// TestAnAnswerWithoutAnOwnerFromBeforeAWrite is not kept, also where it is the first
// of its kind: a list of organizations was asked for before a write to one of them.
func TestAnAnswerWithoutAnOwnerFromBeforeAWrite(t *testing.T) {
	t.Parallel()
	c, now := newCache(32<<20), time.Unix(1_800_000_000, 0)
	list := readKey{"k", "/organizations", ""}
	c.find(now, list, time.Minute) // somebody takes old answers
	c.written(now.Add(2*time.Second), "1")
	c.put(now.Add(3*time.Second), now.Add(time.Second), list, &Answer{Body: []byte("[]")})
	if c.find(now.Add(3*time.Second), list, time.Minute) != nil {
		t.Error("an answer from before the write is kept")
	}
	c.put(now.Add(5*time.Second), now.Add(4*time.Second), list, &Answer{Body: []byte("[]")})
	if c.find(now.Add(5*time.Second), list, time.Minute) == nil {
		t.Error("an answer from after the write is not kept")
	}
}

// TestNothingIsKeptThatNobodyWants: answers are kept while calls take old ones.
func TestNothingIsKeptThatNobodyWants(t *testing.T) {
	t.Parallel()
	c, now := newCache(100_000), time.Now()
	k := readKey{path: "/x"}
	put := func(now time.Time) int {
		c.put(now, now, k, &Answer{Organization: "1", Body: []byte("[]")})
		return len(c.entries)
	}
	if put(now) != 0 {
		t.Error("kept, and nobody has ever asked for it")
	}
	c.find(now, k, time.Second)
	if put(now) != 1 || c.find(now.Add(time.Second), k, time.Second) == nil || c.find(now.Add(time.Second+1), k, time.Second) != nil {
		t.Error("not kept for as long as it is wanted")
	}
	c.written(now, "1")
	if put(now.Add(keep+2*time.Second)) != 0 {
		t.Error("kept long after the last call that wanted it")
	}
}

// TestTheCacheIsUsedToItsBound, to the last byte.
func TestTheCacheIsUsedToItsBound(t *testing.T) {
	t.Parallel()
	now := time.Now()
	c := newCache(10 * (1000 + 512 + 1))
	c.find(now, readKey{}, time.Minute)
	for _, path := range "0123456789" {
		c.put(now, now, readKey{path: string(path)}, &Answer{Body: make([]byte, 1000)})
	}
	if c.find(now, readKey{path: "0"}, time.Minute) == nil || c.bytes != c.limit {
		t.Errorf("%d of %d bytes", c.bytes, c.limit)
	}
}
