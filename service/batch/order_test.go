package batch

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

var one = pool{"1", "key"}

// ports are writes of different switch ports.
func ports(n int) []item {
	all := make([]item, n)
	for i := range all {
		all[i] = item{path: fmt.Sprintf("/devices/Q/switch/ports/%d", i), carried: true, pool: one}
	}
	return all
}

func members(units []*unit) (all []int) {
	for _, u := range units {
		all = append(all, u.members...)
	}
	return all
}

func TestAHundredActionsInABatch(t *testing.T) {
	t.Parallel()
	p := newPlan(ports(250))
	if n := p.wants(one); n != 3 {
		t.Errorf("it wants %d batches", n)
	}
	for _, want := range []int{100, 100, 50, 0} {
		if got := p.batch(one); len(got) != want {
			t.Errorf("a batch of %d, want %d", len(got), want)
		}
	}
	if p.single() != nil || p.batch(pool{}) != nil || p.wants(pool{}) != 0 {
		t.Error("there is more")
	}
}

// TestABatchOfOneIsNeverMade: what is left goes as itself, and so does what no batch carries.
func TestABatchOfOneIsNeverMade(t *testing.T) {
	t.Parallel()
	items := ports(101)
	items = append(items, item{path: "/devices/Q/reboot"})
	p := newPlan(items)
	if got := p.batch(one); len(got) != 100 {
		t.Errorf("a batch of %d", len(got))
	}
	if got := p.batch(one); got != nil {
		t.Errorf("a batch of %d", len(got))
	}
	for _, want := range []int{101, 100} {
		if u := p.single(); u == nil || u.members[0] != want {
			t.Errorf("%v, want %d", u, want)
		}
	}
}

// TestOrder: what touches a resource, its parents or its children ends before the
// next one of them goes; all others go at once.
func TestOrder(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		items  []item
		stages [][]int
	}{
		{"one resource", []item{{path: "/networks/N/a/1"}, {path: "/networks/N/a/1"}, {path: "/networks/N/a/1"}}, [][]int{{0}, {1}, {2}}},
		{"parents and children", []item{{path: "/networks/N/a"}, {path: "/networks/N/a/1"}, {path: "/networks/N/a/2/b"}, {path: "/networks/N"}, {path: "/networks/N/c"}},
			[][]int{{0}, {1, 2}, {3}, {4}}},
		{"names that begin alike", []item{{path: "/networks/N/a"}, {path: "/networks/N/ab"}, {path: "/networks/N1/a"}}, [][]int{{0, 1, 2}}},
		{"new ones of one collection", []item{{path: "/networks/N/vlans", creates: true}, {path: "/networks/N/vlans", creates: true}, {path: "/networks/N/vlans/7"}, {path: "/networks/N/vlans", creates: true}},
			[][]int{{0, 1}, {2}, {3}}},
		{"the collection itself", []item{{path: "/networks/N/vlans", creates: true}, {path: "/networks/N/vlans"}, {path: "/networks/N/vlans", creates: true}}, [][]int{{0}, {1}, {2}}},
		{"new networks", []item{{path: "/organizations/1/networks", creates: true}, {path: "/organizations/1"}, {path: "/organizations/2"}, {path: "/organizations", creates: true}},
			[][]int{{0, 2, 3}, {1}}},
		{"a group that does two things to a node", []item{{path: "/networks/N/v", creates: true, group: 1}, {path: "/networks/N/v/7", group: 1}, {path: "/networks/N/v/8"}, {path: "/networks/N/v", creates: true}},
			[][]int{{0, 1}, {2}, {3}}},
	} {
		p := newPlan(test.items)
		for _, want := range test.stages {
			var stage []int
			var units []*unit
			for u := p.single(); u != nil; u = p.single() {
				units, stage = append(units, u), append(stage, u.members...)
			}
			if slices.Sort(stage); !slices.Equal(stage, want) {
				t.Errorf("%s: %v may go, want %v", test.name, stage, want)
			}
			p.done(units...)
		}
		if p.open != 0 {
			t.Errorf("%s: %d are left", test.name, p.open)
		}
	}
}

// TestGroupsStayWhole: a group fits into a batch or waits for the next one.
func TestGroupsStayWhole(t *testing.T) {
	t.Parallel()
	items := ports(150)
	for i := range 60 {
		items[i].group = 1
		items[60+i].group = 2
	}
	p := newPlan(items)
	first, second := p.batch(one), p.batch(one)
	if n := members(first); len(n) != 90 || len(first) != 31 {
		t.Errorf("the first batch has %d actions in %d units", len(n), len(first))
	}
	if len(second) != 1 || len(members(second)) != 60 || p.batch(one) != nil {
		t.Errorf("the second batch has %d units", len(second))
	}
	if u := p.again(second, nil); u != second[0] {
		t.Error("a group that has failed by itself is tried again")
	}
	if u := p.again(first, nil); u != nil {
		t.Error("a group fails for others")
	}
	// It goes by itself; the others in twenties.
	var sizes []int
	for b := p.batch(one); b != nil; b = p.batch(one) {
		sizes = append(sizes, len(members(b)))
	}
	if !slices.Equal(sizes, []int{60, 20, 10}) || p.single() != nil {
		t.Errorf("batches of %v", sizes)
	}
}

func TestBodiesBoundABatch(t *testing.T) {
	t.Parallel()
	items := ports(10)
	for i := range items {
		items[i].bytes = mostBytes / 4
	}
	items[9].bytes = 2 * mostBytes
	p := newPlan(items)
	for _, want := range []int{4, 4, 0} {
		if b := p.batch(one); len(b) != want {
			t.Errorf("%d actions, want %d", len(b), want)
		}
	}
	singles := 0
	for p.single() != nil {
		singles++
	}
	if singles != 2 {
		t.Errorf("%d go as themselves: the large one, and the one that is left", singles)
	}
}

// related is the rule of order, said once more and plainly.
func related(a, b item) bool {
	if a.path == b.path {
		return !a.creates || !b.creates
	}
	return strings.HasPrefix(a.path, b.path+"/") || strings.HasPrefix(b.path, a.path+"/")
}

// A simulation is a Dashboard that does what a plan says, and counts.
type simulation struct {
	t       *testing.T
	items   []item
	wrong   map[int]bool
	names   bool // errors name the action
	done    map[int]bool
	batches int
	singles int
	failed  int
	// unrelated: all writes are, so that it need not be checked.
	unrelated bool
}

// run does everything, several batches at once, in random order.
func (s *simulation) run(r *rand.Rand, places int) {
	p := newPlan(s.items)
	s.done = make(map[int]bool)
	var under [][]*unit
	for p.open > 0 {
		for len(under) < places {
			var next []*unit
			for _, key := range p.keys {
				if next = p.batch(key); next != nil {
					break
				}
			}
			if next == nil {
				break
			}
			s.checkBatch(next)
			under = append(under, next)
		}
		for u := p.single(); u != nil; u = p.single() {
			s.checkOrder(u)
			s.singles++
			s.end(u)
			if s.wrong[u.members[0]] {
				s.failed++
			}
			p.done(u)
		}
		if len(under) == 0 {
			if p.open > 0 && len(p.singles) == 0 && !slices.ContainsFunc(p.keys, func(k pool) bool { return p.wants(k) > 0 }) {
				s.t.Fatalf("%d units are left, and none may go", p.open)
			}
			continue
		}
		i := r.IntN(len(under))
		units := under[i]
		under = slices.Delete(under, i, i+1)
		s.batches++
		var suspects []*unit
		bad := false
		for _, u := range units {
			if slices.ContainsFunc(u.members, func(m int) bool { return s.wrong[m] }) {
				if bad = true; s.names {
					suspects = []*unit{u}
					break
				}
			}
		}
		if !bad {
			for _, u := range units {
				s.end(u)
			}
			p.done(units...)
			continue
		}
		if u := p.again(units, suspects); u != nil {
			s.end(u)
			s.failed++
			p.done(u)
		}
	}
}

func (s *simulation) checkOrder(u *unit) {
	s.t.Helper()
	if s.unrelated {
		return
	}
	for _, m := range u.members {
		for before := range m {
			if !s.done[before] && !slices.Contains(u.members, before) && related(s.items[before], s.items[m]) {
				s.t.Fatalf("%d (%s) goes before %d (%s) is done", m, s.items[m].path, before, s.items[before].path)
			}
		}
	}
}

func (s *simulation) checkBatch(units []*unit) {
	s.t.Helper()
	n := members(units)
	if len(n) < 2 || len(n) > mostActions {
		s.t.Fatalf("a batch of %d", len(n))
	}
	for i, u := range units {
		s.checkOrder(u)
		for _, v := range units[:i] {
			if s.unrelated {
				break
			}
			for _, a := range u.members {
				for _, b := range v.members {
					if related(s.items[a], s.items[b]) {
						s.t.Fatalf("%s and %s stand in one batch", s.items[a].path, s.items[b].path)
					}
				}
			}
		}
		if u.pool != units[0].pool {
			s.t.Fatal("a batch of two pools")
		}
	}
}

func (s *simulation) end(u *unit) {
	for _, m := range u.members {
		if s.done[m] {
			s.t.Fatalf("%d is done twice", m)
		}
		s.done[m] = true
	}
}

// TestAnyList: whatever the list, each write is done once, in order with what is
// related to it, and every wrong one ends alone.
func TestAnyList(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		s := &simulation{t: t, wrong: make(map[int]bool), names: r.IntN(2) == 0}
		share := r.Float64() * 0.3
		for i := range 1 + r.IntN(300) {
			depth, path := 1+r.IntN(3), fmt.Sprintf("/networks/%d", r.IntN(4))
			for range depth {
				path += fmt.Sprintf("/%d", r.IntN(6))
			}
			it := item{path: path, creates: r.IntN(4) == 0, carried: r.IntN(10) > 0, pool: pool{organization: path[10:11]}}
			if it.carried && r.IntN(8) == 0 {
				it.group = 1 + r.IntN(3) + 10*int(path[10]-'0')
			}
			s.items = append(s.items, it)
			if r.Float64() < share {
				s.wrong[i] = true
			}
		}
		s.ordered()
		s.run(r, 1+r.IntN(5))
		if len(s.done) != len(s.items) {
			t.Fatalf("seed %d: %d of %d are done", seed, len(s.done), len(s.items))
		}
	}
}

// ordered brings the writes of a group together: between them may be nothing that
// is related to one of them before and to another after, which no order satisfies.
func (s *simulation) ordered() {
	at := make([]int, len(s.items))
	for i := range at {
		at[i] = i
	}
	first := make(map[int]int)
	key := func(i int) int {
		g := s.items[i].group
		if g == 0 {
			return i
		}
		if _, ok := first[g]; !ok {
			first[g] = i
		}
		return first[g]
	}
	keys := make([]int, len(at))
	for i := range keys {
		keys[i] = key(i)
	}
	slices.SortStableFunc(at, func(a, b int) int { return keys[a] - keys[b] })
	items, wrong, count := make([]item, len(at)), make(map[int]bool), make(map[int]int)
	for to, from := range at {
		items[to] = s.items[from]
		if g := items[to].group; g != 0 {
			if count[g]++; count[g] > 100 {
				items[to].group = 0
			}
		}
		if s.wrong[from] {
			wrong[to] = true
		}
	}
	s.items, s.wrong = items, wrong
}

// TestCostOfWrongOnes: with one write in a hundred wrong, the batches and single
// writes stay far below one for each write, whether errors name the action or not.
// The requests follow from them: one of a small batch, two to four of a large one.
func TestCostOfWrongOnes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		share            float64
		names            bool
		batches, singles int
	}{
		{0, true, 50, 0}, {0.01, true, 120, 50}, {0.01, false, 420, 260}, {1, true, 1900, 5000}, {1, false, 1900, 5000},
	} {
		s := &simulation{t: t, items: ports(5000), wrong: make(map[int]bool), names: test.names, unrelated: true}
		r := rand.New(rand.NewPCG(7, 7))
		for _, i := range r.Perm(5000)[:int(5000*test.share)] {
			s.wrong[i] = true
		}
		s.run(r, 5)
		t.Logf("%.0f %% wrong, named %v: %d batches, %d singles", 100*test.share, test.names, s.batches, s.singles)
		if s.batches > test.batches || s.singles > test.singles || s.failed != len(s.wrong) {
			t.Errorf("%.0f %% wrong, named %v: %d batches and %d singles, at most %d and %d are meant; %d of %d found", 100*test.share, test.names,
				s.batches, s.singles, test.batches, test.singles, s.failed, len(s.wrong))
		}
	}
}

func TestBlame(t *testing.T) {
	t.Parallel()
	actions := []Action{
		{"/devices/Q/switch/ports/1", actionUpdate, []byte(`{"vlan":1}`)},
		{"/devices/Q/switch/ports/10", actionUpdate, []byte(`{"vlan":2}`)},
		{"/networks/N/vlans", actionCreate, []byte(`{"id":"1","name":"a"}`)},
		{"/networks/N/vlans", actionCreate, []byte(`{"id":"2","name":"b"}`)},
		{"/networks/N/x", actionCreate, nil},
		{"/networks/N/x", actionDestroy, nil},
	}
	for text, want := range map[string][]int{
		`Error occurred while executing update /devices/Q/switch/ports/1 with {"vlan":1}: Vlan is invalid`:  {0},
		`Error occurred while executing update devices/Q/switch/ports/10 with {"vlan"=>2}: Vlan is invalid`: {1},
		`Error occurred while executing create /networks/N/vlans with {"name":"b", "id":"2"}: taken`:        {3},
		`Error occurred while executing create /networks/N/vlans with {"id"=>"2"}: taken`:                   {2, 3},
		`Error occurred while executing destroy /networks/N/x with null: Not found`:                         {5},
		`Vlan is invalid`: nil,
		``:                nil,
		`/devices/Q/switch/ports/1/x and /a/devices/Q/switch/ports/10`: nil,
	} {
		if got := blame(text, actions); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

func FuzzBlame(f *testing.F) {
	f.Add(`Error occurred while executing update /a/1 with {"x":1}: no`, "/a/1", `{"x":1}`)
	f.Add(`{{{"`, "/", ``)
	f.Fuzz(func(t *testing.T, text, resource, body string) {
		for _, i := range blame(text, []Action{{resource, actionUpdate, []byte(body)}, {resource, actionCreate, nil}}) {
			if i < 0 || i > 1 {
				t.Error(i)
			}
		}
	})
}
