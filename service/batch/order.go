package batch

import "strings"

// A touch is what a unit does to one node of the tree of paths.
type touch uint8

const (
	// below: it writes something below the node.
	below touch = iota
	// adds: it creates a child of the node.
	adds
	// changes: it changes or deletes what the node itself is.
	changes
)

// An order keeps units apart that touch the same resource, its parents or its
// children, so that they are done in the order in which they came. At each node the
// units stand in phases: those in one phase have nothing to do with each other, and
// a phase begins when the one before it has ended. Children of one node, and two new
// ones, have nothing to do with each other.
type order struct{ nodes map[string]*node }

type node struct {
	phases []*phase
	head   int
}

type phase struct {
	touch touch
	units []*unit
	left  int // units that are not done
}

// A place is a unit's phase at one node.
type place struct {
	node  *node
	phase int
}

// add puts a unit behind all that were added before, and counts what it has to wait
// for in u.blocked.
func (o *order) add(u *unit, touches map[string]touch) {
	if o.nodes == nil {
		o.nodes = make(map[string]*node)
	}
	for path, t := range touches {
		n := o.nodes[path]
		if n == nil {
			n = new(node)
			o.nodes[path] = n
		}
		last := len(n.phases) - 1
		if last < 0 || t == changes || n.phases[last].touch != t {
			n.phases = append(n.phases, &phase{touch: t})
			last++
		}
		p := n.phases[last]
		p.units = append(p.units, u)
		p.left++
		u.places = append(u.places, place{n, last})
		if last > n.head {
			u.blocked++
		}
	}
}

// done takes a unit out, and calls ready for each that had to wait for it alone.
func (o *order) done(u *unit, ready func(*unit)) {
	for _, at := range u.places {
		n := at.node
		n.phases[at.phase].left--
		for n.head < len(n.phases)-1 && n.phases[n.head].left == 0 {
			n.head++
			for _, next := range n.phases[n.head].units {
				if next.blocked--; next.blocked == 0 {
					ready(next)
				}
			}
		}
	}
	u.places = nil
}

// touchesOf adds what a write does to the nodes on its path. A unit that does two
// things to one node has that node for itself.
func touchesOf(all map[string]touch, path string, creates bool) {
	put := func(node string, t touch) {
		if was, ok := all[node]; ok && was != t {
			t = changes
		}
		all[node] = t
	}
	own := changes
	if creates {
		own = adds
	}
	put(path, own)
	// /organizations/1 and the like are the highest: nothing is done to all networks.
	for at := strings.LastIndexByte(path, '/'); at > 0; at = strings.LastIndexByte(path[:at], '/') {
		if strings.Count(path[:at], "/") < 2 {
			break
		}
		put(path[:at], below)
	}
}
