package inventory

import "slices"

// Operations change what there is through these methods. They check nothing: the
// caller refuses what cannot be, in the vendor's words.

// change begins a change; what it returns ends it.
func (e *Inventory) change() func() {
	e.touched.Store(true)
	e.mu.Lock()
	return e.mu.Unlock
}

// CreateOrganization gives the number of a new organization.
func (e *Inventory) CreateOrganization(name string) int {
	defer e.change()()
	i := e.Layout.Orgs + e.newOrgs
	e.newOrgs++
	e.orgs[i] = &orgChange{name: name}
	return i
}

// RenameOrganization gives an organization another name.
func (e *Inventory) RenameOrganization(i int, name string) {
	defer e.change()()
	if c := e.orgs[i]; c != nil {
		c.name = name
		return
	}
	e.orgs[i] = &orgChange{name: name}
}

// DeleteOrganization deletes an organization; what was in it is not found any more.
func (e *Inventory) DeleteOrganization(i int) {
	defer e.change()()
	e.orgs[i] = &orgChange{deleted: true}
}

// CreateNetwork gives the number of a new network of an organization.
func (e *Inventory) CreateNetwork(org int, name string, products []string) int {
	defer e.change()()
	g := e.Layout.Orgs*e.Nets + e.newNets
	e.newNets++
	e.networks[g] = &networkChange{org: org, name: name, products: products}
	e.networksMovedIn[org] = append(e.networksMovedIn[org], g)
	return g
}

// networkChangeLocked is the record of a network, made when there is none.
func (e *Inventory) networkChangeLocked(g int) *networkChange {
	c := e.networks[g]
	if c == nil {
		c = &networkChange{org: g / max(1, e.Nets)}
		e.networks[g] = c
	}
	return c
}

// RenameNetwork gives a network another name.
func (e *Inventory) RenameNetwork(g int, name string) {
	defer e.change()()
	e.networkChangeLocked(g).name = name
}

// DeleteNetwork deletes a network; its devices go back to the organization's inventory.
func (e *Inventory) DeleteNetwork(g int) {
	defer e.change()()
	c := e.networkChangeLocked(g)
	for _, d := range e.appendDevices(nil, g) {
		e.deviceChangeLocked(d).network, e.devices[d].org = -1, c.org
	}
	c.deleted = true
}

// MoveNetwork gives a network and its devices to another organization.
func (e *Inventory) MoveNetwork(g, org int) {
	defer e.change()()
	c := e.networkChangeLocked(g)
	c.org = org
	if !slices.Contains(e.networksMovedIn[org], g) {
		e.networksMovedIn[org] = append(e.networksMovedIn[org], g)
	}
	for _, d := range e.appendDevices(nil, g) {
		e.deviceChangeLocked(d).org = org
	}
	for _, d := range e.devicesMovedIn[g] {
		if v := e.devices[d]; v != nil && v.network == g {
			v.org = org
		}
	}
}

func (e *Inventory) deviceChangeLocked(d int) *deviceChange {
	c := e.devices[d]
	if c == nil {
		c = &deviceChange{org: e.deviceOrg(d), network: e.deviceNetwork(d)}
		e.devices[d] = c
	}
	return c
}

// RenameDevice gives a device another name.
func (e *Inventory) RenameDevice(d int, name string) {
	defer e.change()()
	e.deviceChangeLocked(d).name = name
}

// PlaceDevice puts a device of the organization into a network; -1 takes it out.
func (e *Inventory) PlaceDevice(d, org, g int) {
	defer e.change()()
	c := e.deviceChangeLocked(d)
	c.org, c.network, c.released = org, g, false
	if g >= 0 && !slices.Contains(e.devicesMovedIn[g], d) {
		e.devicesMovedIn[g] = append(e.devicesMovedIn[g], d)
	}
}

// ReleaseDevice takes a device out of the inventory.
func (e *Inventory) ReleaseDevice(d int) {
	defer e.change()()
	c := e.deviceChangeLocked(d)
	c.network, c.released = -1, true
}

// Claimed says which organization has claimed a device, and in which network the
// device is; ok is false when no organization has.
func (e *Inventory) Claimed(serial string) (d, org, network int, ok bool) {
	d, ok = e.SerialIndex(serial)
	if !ok {
		return 0, 0, 0, false
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	c := e.devices[d]
	if c == nil {
		return d, e.deviceOrg(d), e.deviceNetwork(d), true
	}
	return d, c.org, c.network, !c.released
}

// Reset forgets all changes.
func (e *Inventory) Reset() {
	defer e.change()()
	e.orgs, e.networks, e.devices = map[int]*orgChange{}, map[int]*networkChange{}, map[int]*deviceChange{}
	e.networksMovedIn, e.devicesMovedIn, e.newOrgs, e.newNets = map[int][]int{}, map[int][]int{}, 0, 0
	e.touched.Store(false)
}

// Snapshot keeps the changes as they are now; restore takes the inventory back to them.
func (e *Inventory) Snapshot() (restore func()) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	touched, newOrgs, newNets := e.touched.Load(), e.newOrgs, e.newNets
	orgs, networks, devices := copied(e.orgs), copied(e.networks), copied(e.devices)
	moved, devicesMoved := lists(e.networksMovedIn), lists(e.devicesMovedIn)
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.orgs, e.networks, e.devices, e.networksMovedIn, e.devicesMovedIn = orgs, networks, devices, moved, devicesMoved
		e.newOrgs, e.newNets = newOrgs, newNets
		e.touched.Store(touched)
	}
}

func copied[T any](from map[int]*T) map[int]*T {
	out := make(map[int]*T, len(from))
	for k, v := range from {
		c := *v
		out[k] = &c
	}
	return out
}

func lists(from map[int][]int) map[int][]int {
	out := make(map[int][]int, len(from))
	for k, v := range from {
		out[k] = slices.Clone(v)
	}
	return out
}
