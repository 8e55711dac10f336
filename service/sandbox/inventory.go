package sandbox

import (
	"slices"
	"sync"
	"sync/atomic"
)

// An inventory is the world with what has changed in it: created and deleted
// organizations and networks, moved networks, claimed and removed devices. Only
// the changes take memory.
type inventory struct {
	layout

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

func newInventory(w layout) *inventory {
	return &inventory{
		layout: w, orgs: map[int]*orgChange{}, networks: map[int]*networkChange{}, devices: map[int]*deviceChange{},
		networksMovedIn: map[int][]int{}, devicesMovedIn: map[int][]int{},
	}
}

// An entity is an organization, a network or a device as it is now.
type entity struct {
	org, network, device int // -1: none
	orgName, networkName string
	deviceName           string
	products             []string // of the network
}

// nowhere belongs to no organization: the operations that only the address pays for.
func nowhere() entity { return entity{org: -1, network: -1, device: -1} }

// organization finds an organization that exists.
func (e *inventory) organization(id string) (entity, bool) {
	i, ok := e.orgIndex(id)
	if !ok {
		return nowhere(), false
	}
	p := entity{org: i, network: -1, device: -1}
	return p, e.describeOrg(&p)
}

// describeOrg fills in the organization's name; false when there is none.
func (e *inventory) describeOrg(p *entity) bool {
	p.orgName = "Organization " + pad(p.org+1, 2)
	if !e.touched.Load() {
		return p.org < e.layout.orgs
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	c := e.orgs[p.org]
	if c == nil {
		return p.org < e.layout.orgs
	}
	if c.name != "" {
		p.orgName = c.name
	}
	return !c.deleted
}

// network finds a network that exists.
func (e *inventory) network(id string) (entity, bool) {
	if g, ok := e.networkIndex(id); ok {
		return e.networkAt(g)
	}
	if org, ok := e.templateOrg(id); ok {
		p := entity{org: org, network: -1, device: -1, networkName: "Template"}
		return p, e.describeOrg(&p)
	}
	return nowhere(), false
}

func (e *inventory) networkAt(g int) (entity, bool) {
	p := entity{network: g, device: -1}
	native := g < e.layout.orgs*e.nets
	if native {
		p.org, p.networkName, p.products = g/e.nets, e.layout.networkName(g), e.layout.products(g)
	}
	if e.touched.Load() {
		e.mu.RLock()
		c := e.networks[g]
		if c != nil {
			p.org = c.org
			if c.name != "" {
				p.networkName = c.name
			}
			if c.products != nil {
				p.products = c.products
			}
		}
		e.mu.RUnlock()
		if (c == nil && !native) || (c != nil && c.deleted) {
			return nowhere(), false
		}
	} else if !native {
		return nowhere(), false
	}
	return p, e.describeOrg(&p)
}

// device finds a device that is in some inventory. Its network is -1 when it is in none.
func (e *inventory) device(serial string) (entity, bool) {
	d, ok := e.serialIndex(serial)
	if !ok {
		return nowhere(), false
	}
	return e.deviceAt(d)
}

func (e *inventory) deviceAt(d int) (entity, bool) {
	network, org, name := e.deviceNetwork(d), e.deviceOrg(d), e.layout.deviceName(d)
	if e.touched.Load() {
		e.mu.RLock()
		if c := e.devices[d]; c != nil {
			network, org = c.network, c.org
			if c.name != "" {
				name = c.name
			}
			if c.released {
				e.mu.RUnlock()
				return nowhere(), false
			}
		}
		e.mu.RUnlock()
	}
	if network >= 0 {
		p, ok := e.networkAt(network)
		if ok {
			p.device, p.deviceName = d, name
			return p, true
		}
		network = -1 // its network was deleted: back in the inventory
	}
	p := entity{org: org, network: network, device: d, deviceName: name}
	return p, e.describeOrg(&p)
}

// organizationList lists the organizations that exist.
func (e *inventory) organizationList() []int {
	e.mu.RLock()
	defer e.mu.RUnlock()
	out := make([]int, 0, e.layout.orgs+e.newOrgs)
	for i := range e.layout.orgs + e.newOrgs {
		if c := e.orgs[i]; c == nil || !c.deleted {
			out = append(out, i)
		}
	}
	return out
}

// networkList lists the networks of an organization.
func (e *inventory) networkList(org int) []int {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.networkListLocked(org)
}

func (e *inventory) networkListLocked(org int) []int {
	var out []int
	if org < e.layout.orgs {
		out = make([]int, 0, e.nets)
		for g := org * e.nets; g < (org+1)*e.nets; g++ {
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

// deviceList lists the devices of a network.
func (e *inventory) deviceList(g int) []int {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.appendDevices(nil, g)
}

func (e *inventory) appendDevices(out []int, g int) []int {
	if g < e.layout.orgs*e.nets {
		for d := g * e.devs; d < (g+1)*e.devs; d++ {
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

// deviceListOf lists the devices of an organization; with the ones that are in
// no network when it is the inventory that is asked for.
func (e *inventory) deviceListOf(org int, inventory bool) []int {
	e.mu.RLock()
	defer e.mu.RUnlock()
	var out []int
	for _, g := range e.networkListLocked(org) {
		out = e.appendDevices(out, g)
	}
	if !inventory {
		return out
	}
	if org < e.layout.orgs {
		for s := range spares {
			if d := e.spare(org, s); e.devices[d] == nil {
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
