// Package inventory is what the simulated Dashboard has: organizations, their
// networks and devices, and what has been created, renamed, moved, claimed and
// deleted since the start.
//
//	ids.go        identifiers by arithmetic, in both directions
//	inventory.go  what there is now, found and listed
//	change.go     what writes change about it
package inventory

import (
	"slices"
	"sync"
	"sync/atomic"
)

// An Inventory is the organizations, networks and devices of a Layout, with what
// has changed about them: created and deleted organizations and networks, moved
// networks, claimed and removed devices. Only the changes take memory.
type Inventory struct {
	Layout

	touched         atomic.Bool // something below is not empty; until then no lock is taken
	mu              sync.RWMutex
	orgs            map[int]*orgChange
	networks        map[int]*networkChange
	devices         map[int]*deviceChange
	newOrgs         int
	newNets         int
	networksMovedIn map[int][]int // organization -> networks that were not its own from the start, in order of arrival
	devicesMovedIn  map[int][]int // network -> devices that were not its own from the start
}

type orgChange struct {
	name    string
	deleted bool
}

type networkChange struct {
	org      int
	name     string
	products []string
	deleted  bool
}

type deviceChange struct {
	org, network int // network -1: in no network
	name         string
	released     bool // in nobody's inventory
}

// New gives the inventory of a layout, without changes.
func New(w Layout) *Inventory {
	return &Inventory{
		Layout: w, orgs: map[int]*orgChange{}, networks: map[int]*networkChange{}, devices: map[int]*deviceChange{},
		networksMovedIn: map[int][]int{}, devicesMovedIn: map[int][]int{},
	}
}

// An Entity is an organization, a network or a device as it is now.
type Entity struct {
	Org, Network, Device int // -1: none
	OrgName, NetworkName string
	DeviceName           string
	Products             []string // of the network
}

// Nowhere is the entity of operations for which no organization pays.
func Nowhere() Entity { return Entity{Org: -1, Network: -1, Device: -1} }

// Organization finds an organization that exists.
func (e *Inventory) Organization(id string) (Entity, bool) {
	i, ok := e.orgIndex(id)
	if !ok {
		return Nowhere(), false
	}
	p := Entity{Org: i, Network: -1, Device: -1}
	return p, e.DescribeOrg(&p)
}

// DescribeOrg fills in the organization's name; false when there is none.
func (e *Inventory) DescribeOrg(p *Entity) bool {
	p.OrgName = "Organization " + pad(p.Org+1, 2)
	if !e.touched.Load() {
		return p.Org < e.Layout.Orgs
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	c := e.orgs[p.Org]
	if c == nil {
		return p.Org < e.Layout.Orgs
	}
	if c.name != "" {
		p.OrgName = c.name
	}
	return !c.deleted
}

// Network finds a network that exists.
func (e *Inventory) Network(id string) (Entity, bool) {
	if g, ok := e.networkIndex(id); ok {
		return e.NetworkAt(g)
	}
	if org, ok := e.templateOrg(id); ok {
		p := Entity{Org: org, Network: -1, Device: -1, NetworkName: "Template"}
		return p, e.DescribeOrg(&p)
	}
	return Nowhere(), false
}

// NetworkAt finds network g, if it exists.
func (e *Inventory) NetworkAt(g int) (Entity, bool) {
	p := Entity{Network: g, Device: -1}
	native := g < e.Layout.Orgs*e.Nets
	if native {
		p.Org, p.NetworkName, p.Products = g/e.Nets, e.Layout.networkName(g), e.Layout.products(g)
	}
	if e.touched.Load() {
		e.mu.RLock()
		c := e.networks[g]
		if c != nil {
			p.Org = c.org
			if c.name != "" {
				p.NetworkName = c.name
			}
			if c.products != nil {
				p.Products = c.products
			}
		}
		e.mu.RUnlock()
		if (c == nil && !native) || (c != nil && c.deleted) {
			return Nowhere(), false
		}
	} else if !native {
		return Nowhere(), false
	}
	return p, e.DescribeOrg(&p)
}

// Device finds a device that an organization has claimed. Its network is -1 when
// it is in none.
func (e *Inventory) Device(serial string) (Entity, bool) {
	d, ok := e.SerialIndex(serial)
	if !ok {
		return Nowhere(), false
	}
	return e.DeviceAt(d)
}

// DeviceAt finds device d, if an organization has claimed it.
func (e *Inventory) DeviceAt(d int) (Entity, bool) {
	network, org, name := e.deviceNetwork(d), e.deviceOrg(d), e.Layout.deviceName(d)
	if e.touched.Load() {
		e.mu.RLock()
		if c := e.devices[d]; c != nil {
			network, org = c.network, c.org
			if c.name != "" {
				name = c.name
			}
			if c.released {
				e.mu.RUnlock()
				return Nowhere(), false
			}
		}
		e.mu.RUnlock()
	}
	if network >= 0 {
		p, ok := e.NetworkAt(network)
		if ok {
			p.Device, p.DeviceName = d, name
			return p, true
		}
		network = -1 // its network was deleted: back in the inventory
	}
	p := Entity{Org: org, Network: network, Device: d, DeviceName: name}
	return p, e.DescribeOrg(&p)
}

// Organizations lists the organizations that exist.
func (e *Inventory) Organizations() []int {
	e.mu.RLock()
	defer e.mu.RUnlock()
	out := make([]int, 0, e.Layout.Orgs+e.newOrgs)
	for i := range e.Layout.Orgs + e.newOrgs {
		if c := e.orgs[i]; c == nil || !c.deleted {
			out = append(out, i)
		}
	}
	return out
}

// Networks lists the networks of an organization.
func (e *Inventory) Networks(org int) []int {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.networkListLocked(org)
}

func (e *Inventory) networkListLocked(org int) []int {
	var out []int
	if org < e.Layout.Orgs {
		out = make([]int, 0, e.Nets)
		for g := org * e.Nets; g < (org+1)*e.Nets; g++ {
			if c := e.networks[g]; c == nil || (!c.deleted && c.org == org) {
				out = append(out, g)
			}
		}
	}
	for _, g := range e.networksMovedIn[org] {
		if c := e.networks[g]; c != nil && !c.deleted && c.org == org && !slices.Contains(out, g) {
			out = append(out, g)
		}
	}
	return out
}

// DevicesOfNetwork lists the devices of a network.
func (e *Inventory) DevicesOfNetwork(g int) []int {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.appendDevices(nil, g)
}

func (e *Inventory) appendDevices(out []int, g int) []int {
	if g < e.Layout.Orgs*e.Nets {
		for d := g * e.Devs; d < (g+1)*e.Devs; d++ {
			if c := e.devices[d]; c == nil || (c.network == g && !c.released) {
				out = append(out, d)
			}
		}
	}
	for _, d := range e.devicesMovedIn[g] {
		if c := e.devices[d]; c != nil && c.network == g && !c.released && !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	return out
}

// Devices lists the devices of an organization that are in networks, and those
// in no network as well when the whole inventory is asked for.
func (e *Inventory) Devices(org int, inventory bool) []int {
	e.mu.RLock()
	defer e.mu.RUnlock()
	var out []int
	for _, g := range e.networkListLocked(org) {
		out = e.appendDevices(out, g)
	}
	if !inventory {
		return out
	}
	if org < e.Layout.Orgs {
		for s := range Spares {
			if d := e.Spare(org, s); e.devices[d] == nil {
				out = append(out, d)
			}
		}
	}
	var free []int
	for d, c := range e.devices {
		if c.org == org && c.network < 0 && !c.released {
			free = append(free, d)
		}
	}
	slices.Sort(free)
	return append(out, free...)
}

// Near gives the i-th device of an entity that names none: of the network, or of
// some network of the organization. Rows that are made up then name real ones.
func (e *Inventory) Near(at Entity, i int) Entity {
	if at.Device >= 0 || at.Org < 0 {
		return at
	}
	g := at.Network
	if g < 0 && at.Org < e.Layout.Orgs && e.Nets > 0 {
		g = at.Org*e.Nets + i%e.Nets
		if p, ok := e.NetworkAt(g); ok && p.Org == at.Org {
			at = p
		} else {
			return at
		}
	}
	if g < 0 || g >= e.Layout.Orgs*e.Nets || e.Devs == 0 {
		return at
	}
	if p, ok := e.DeviceAt(g*e.Devs + i%e.Devs); ok && p.Network == at.Network {
		return p
	}
	return at
}
