package owner

// A generations is a map that forgets: it keeps at least the limit last used
// entries and at most twice as many, in two generations of which the older goes
// when the younger is full. It is not locked.
type generations[K comparable, V any] struct {
	limit      int
	young, old map[K]V
}

// get finds k and counts as a use of it.
func (g *generations[K, V]) get(k K) (V, bool) {
	if v, ok := g.young[k]; ok {
		return v, true
	}
	v, ok := g.old[k]
	if ok {
		delete(g.old, k)
		g.put(k, v)
	}
	return v, ok
}

// put sets k.
func (g *generations[K, V]) put(k K, v V) {
	if _, ok := g.young[k]; !ok && len(g.young) >= g.limit {
		g.old, g.young = g.young, nil
	}
	if g.young == nil {
		g.young = make(map[K]V)
	}
	delete(g.old, k)
	g.young[k] = v
}

// drop forgets k.
func (g *generations[K, V]) drop(k K) {
	delete(g.young, k)
	delete(g.old, k)
}

// len counts the entries.
func (g *generations[K, V]) len() int { return len(g.young) + len(g.old) }
