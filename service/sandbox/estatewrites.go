package sandbox

import (
	"net/http"
	"slices"
)

// everyone is the account that answers for /organizations itself.
func (s *Sandbox) everyone() *account { return s.account(-1) }

// store keeps a new organization or network, with what was sent laid over it.
func (s *Sandbox) keepNew(c *call, d *detail, at place, path, id string) *answer {
	m := maker{estate: s.estate, at: at, key: d.key, id: id}
	o := decodeObject(m.object(nil, d.shape, s.seed(path), d.who, 0))
	if fit, ok := d.shape.fit(c.object()); ok {
		o = merge(o, fit.(map[string]any))
	}
	doc := &document{body: encode(o), shape: d.shape, since: c.now, ready: c.now}
	s.store.put(path, doc)
	return &answer{status: d.status, body: doc.body}
}

func (s *Sandbox) createOrganization(c *call, d *detail) *answer {
	name := text(c.object()["name"])
	if name == "" {
		return refusal(http.StatusBadRequest, "'name' must be provided")
	}
	i := s.estate.createOrganization(name)
	s.everyone().version.Add(1)
	at := place{org: i, network: -1, device: -1, orgName: name}
	return s.keepNew(c, d, at, "/organizations/"+s.estate.orgID(i), s.estate.orgID(i))
}

// rename merges a body into an organization, network or device, whose name the
// other answers show.
func (s *Sandbox) rename(c *call, d *detail) *answer {
	a := s.put(c, d)
	if name := text(c.object()["name"]); name != "" && a.status < 300 {
		switch {
		case c.at.device >= 0:
			s.estate.renameDevice(c.at.device, name)
		case c.at.network >= 0:
			s.estate.renameNetwork(c.at.network, name)
		case c.at.org >= 0 && c.param("organizationId") != "":
			s.estate.renameOrganization(c.at.org, name)
		}
	}
	if c.param("organizationId") != "" {
		s.everyone().version.Add(1)
	}
	return a
}

func (s *Sandbox) deleteOrganization(c *call, d *detail) *answer {
	s.estate.deleteOrganization(c.at.org)
	s.everyone().version.Add(1)
	return &answer{status: d.status}
}

func (s *Sandbox) createNetwork(c *call, d *detail) *answer {
	body := c.object()
	name, products := text(body["name"]), texts(body["productTypes"])
	if name == "" {
		return refusal(http.StatusBadRequest, "'name' must be provided")
	}
	if len(products) == 0 {
		return refusal(http.StatusBadRequest, "'productTypes' must be provided")
	}
	g := s.estate.createNetwork(c.at.org, name, products)
	at, _ := s.estate.networkAt(g)
	return s.keepNew(c, d, at, "/networks/"+s.estate.networkID(g), s.estate.networkID(g))
}

// deleteNetwork deletes one network of an organization at a time: the documented
// refusal of a second one is a 400 that may be tried again.
func (s *Sandbox) deleteNetwork(c *call, d *detail) *answer {
	if c.at.network < 0 {
		return refusal(http.StatusNotFound, saysNotFound)
	}
	a := c.account
	a.mu.Lock()
	busy := a.deletes > 0
	if !busy {
		a.deletes++
	}
	a.mu.Unlock()
	if busy {
		return refusal(http.StatusBadRequest, "Could not delete the network. This may be due to concurrent requests to delete networks.")
	}
	c.rest = max(0, s.opts.DeleteTime)
	c.done = func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.deletes--
	}
	s.estate.deleteNetwork(c.at.network)
	return &answer{status: d.status}
}

func (s *Sandbox) combineNetworks(c *call, d *detail) *answer {
	body := c.object()
	name := text(body["name"])
	if name == "" {
		return refusal(http.StatusBadRequest, "'name' must be provided")
	}
	var products []string
	var devices []int
	var merged []int
	for _, id := range texts(body["networkIds"]) {
		p, ok := s.estate.network(id)
		if !ok || p.org != c.at.org || p.network < 0 {
			return refusal(http.StatusBadRequest, "Network "+id+" is not in this organization")
		}
		merged = append(merged, p.network)
		devices = append(devices, s.estate.deviceList(p.network)...)
		for _, product := range p.products {
			if !slices.Contains(products, product) {
				products = append(products, product)
			}
		}
	}
	g := s.estate.createNetwork(c.at.org, name, products)
	for _, old := range merged {
		s.estate.deleteNetwork(old)
	}
	for _, device := range devices {
		s.estate.placeDevice(device, c.at.org, g)
	}
	at, _ := s.estate.networkAt(g)
	m := maker{estate: s.estate, at: at}
	return &answer{status: d.status, body: m.document(nil, d, s.seed("/networks/"+s.estate.networkID(g)))}
}

// moveNetwork gives a network to another organization. What is wrong with the
// request is told in the answer of a success, as the vendor does.
func (s *Sandbox) moveNetwork(c *call, d *detail) *answer {
	body := c.object()
	p, ok := s.estate.network(textAt(body, "network.id"))
	target, found := s.estate.organization(textAt(body, "organizations.target.id"))
	result := map[string]any{"status": "completed"}
	switch {
	case !ok || p.org != c.at.org || p.network < 0:
		result = map[string]any{"status": "failed", "reason": "Cannot move network: it is not in the source organization."}
	case !found || (c.allowed != nil && !c.allowed[s.estate.orgID(target.org)]):
		result = map[string]any{"status": "failed", "reason": "Cannot move network: Target organization is invalid or inaccessible."}
	case body["simulate"] == true:
	default:
		s.estate.moveNetwork(p.network, target.org)
		s.account(target.org).version.Add(1)
	}
	body["result"] = result
	body["organizations"] = merge(map[string]any{"source": map[string]any{"id": c.account.id}}, objectOf(body["organizations"]))
	c.doc = body
	return s.post(c, d)
}

func objectOf(v any) map[string]any {
	o, _ := v.(map[string]any)
	return o
}

// claimDevices puts devices of the inventory into a network. A device of another
// network fails alone, or with addAtomically (the default) fails everything. A
// serial that this world does not know is new hardware: welcome, and nowhere.
func (s *Sandbox) claimDevices(c *call, d *detail) *answer {
	body := c.object()
	var placed []int
	claimed, failed := []any{}, []any{}
	for _, serial := range texts(body["serials"]) {
		device, org, network, ok := s.estate.inventoryOf(serial)
		if ok && (org != c.at.org || network >= 0) {
			says := "Device already claimed"
			if body["addAtomically"] != false {
				return refusal(http.StatusBadRequest, "Device with serial "+serial+" is already claimed")
			}
			failed = append(failed, map[string]any{"serial": serial, "errors": []any{says}})
			continue
		}
		claimed = append(claimed, serial)
		if ok {
			placed = append(placed, device)
		}
	}
	for _, device := range placed {
		s.estate.placeDevice(device, c.at.org, c.at.network)
	}
	return s.answerFields(d, map[string]any{"serials": claimed, "errors": failed})
}

func (s *Sandbox) removeDevice(c *call, d *detail) *answer {
	serial := text(c.object()["serial"])
	if device, org, network, ok := s.estate.inventoryOf(serial); ok {
		if org != c.at.org || network != c.at.network {
			return refusal(http.StatusBadRequest, "Device with serial "+serial+" is not in this network")
		}
		s.estate.placeDevice(device, org, -1)
	}
	return &answer{status: d.status}
}

func (s *Sandbox) claimInventory(c *call, d *detail) *answer {
	serials := texts(c.object()["serials"])
	for _, serial := range serials {
		if _, _, _, taken := s.estate.inventoryOf(serial); taken {
			return refusal(http.StatusBadRequest, "Devices already claimed")
		}
	}
	for _, serial := range serials {
		if device, ok := s.estate.serialIndex(serial); ok {
			s.estate.placeDevice(device, c.at.org, -1)
		}
	}
	return s.act(c, d)
}

func (s *Sandbox) releaseInventory(c *call, d *detail) *answer {
	for _, serial := range texts(c.object()["serials"]) {
		if device, org, _, ok := s.estate.inventoryOf(serial); ok && org == c.at.org {
			s.estate.releaseDevice(device)
		}
	}
	return s.act(c, d)
}

// answerFields answers with exactly these properties, as far as the answer has them.
func (s *Sandbox) answerFields(d *detail, o map[string]any) *answer {
	fit, _ := d.shape.fit(o)
	return &answer{status: d.status, body: encode(fit)}
}
