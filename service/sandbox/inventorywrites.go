package sandbox

import (
	"net/http"
	"slices"
)

// nobody is the state that answers for /organizations itself.
func (s *Sandbox) nobody() *orgState { return s.orgState(-1) }

// store keeps a new organization or network, with what was sent laid over it.
func (s *Sandbox) keepNew(c *request, d *answerForm, at entity, path, id string) *response {
	m := builder{inventory: s.inventory, at: at, key: d.key, id: id}
	o := decodeObject(m.object(nil, d.shape, s.seed(path), d.subject, 0))
	if fit, ok := d.shape.conform(c.object()); ok {
		o = merge(o, fit.(map[string]any))
	}
	doc := &document{body: encode(o), shape: d.shape, since: c.now, ready: c.now}
	s.store.put(path, doc)
	return &response{status: d.status, body: doc.body}
}

func (s *Sandbox) createOrganization(c *request, d *answerForm) *response {
	name := text(c.object()["name"])
	if name == "" {
		return refusal(http.StatusBadRequest, "'name' must be provided")
	}
	i := s.inventory.createOrganization(name)
	s.nobody().version.Add(1)
	at := entity{org: i, network: -1, device: -1, orgName: name}
	return s.keepNew(c, d, at, "/organizations/"+s.inventory.orgID(i), s.inventory.orgID(i))
}

// rename merges a body into an organization, network or device, whose name the
// other answers show.
func (s *Sandbox) rename(c *request, d *answerForm) *response {
	a := s.put(c, d)
	if name := text(c.object()["name"]); name != "" && a.status < 300 {
		switch {
		case c.at.device >= 0:
			s.inventory.renameDevice(c.at.device, name)
		case c.at.network >= 0:
			s.inventory.renameNetwork(c.at.network, name)
		case c.at.org >= 0 && c.param("organizationId") != "":
			s.inventory.renameOrganization(c.at.org, name)
		}
	}
	if c.param("organizationId") != "" {
		s.nobody().version.Add(1)
	}
	return a
}

func (s *Sandbox) deleteOrganization(c *request, d *answerForm) *response {
	s.inventory.deleteOrganization(c.at.org)
	s.nobody().version.Add(1)
	return &response{status: d.status}
}

func (s *Sandbox) createNetwork(c *request, d *answerForm) *response {
	body := c.object()
	name, products := text(body["name"]), texts(body["productTypes"])
	if name == "" {
		return refusal(http.StatusBadRequest, "'name' must be provided")
	}
	if len(products) == 0 {
		return refusal(http.StatusBadRequest, "'productTypes' must be provided")
	}
	g := s.inventory.createNetwork(c.at.org, name, products)
	at, _ := s.inventory.networkAt(g)
	return s.keepNew(c, d, at, "/networks/"+s.inventory.networkID(g), s.inventory.networkID(g))
}

// deleteNetwork deletes one network of an organization at a time: the documented
// refusal of a second one is a 400 that may be tried again.
func (s *Sandbox) deleteNetwork(c *request, d *answerForm) *response {
	if c.at.network < 0 {
		return refusal(http.StatusNotFound, saysNotFound)
	}
	a := c.org
	a.mu.Lock()
	busy := a.deletes > 0
	if !busy {
		a.deletes++
	}
	a.mu.Unlock()
	if busy {
		return refusal(http.StatusBadRequest, "Could not delete the network. This may be due to concurrent requests to delete networks.")
	}
	c.extraTime = max(0, s.opts.DeleteTime)
	c.done = func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.deletes--
	}
	s.inventory.deleteNetwork(c.at.network)
	return &response{status: d.status}
}

func (s *Sandbox) combineNetworks(c *request, d *answerForm) *response {
	body := c.object()
	name := text(body["name"])
	if name == "" {
		return refusal(http.StatusBadRequest, "'name' must be provided")
	}
	var products []string
	var devices []int
	var merged []int
	for _, id := range texts(body["networkIds"]) {
		p, ok := s.inventory.network(id)
		if !ok || p.org != c.at.org || p.network < 0 {
			return refusal(http.StatusBadRequest, "Network "+id+" is not in this organization")
		}
		merged = append(merged, p.network)
		devices = append(devices, s.inventory.deviceList(p.network)...)
		for _, product := range p.products {
			if !slices.Contains(products, product) {
				products = append(products, product)
			}
		}
	}
	g := s.inventory.createNetwork(c.at.org, name, products)
	for _, old := range merged {
		s.inventory.deleteNetwork(old)
	}
	for _, device := range devices {
		s.inventory.placeDevice(device, c.at.org, g)
	}
	at, _ := s.inventory.networkAt(g)
	m := builder{inventory: s.inventory, at: at}
	return &response{status: d.status, body: m.document(nil, d, s.seed("/networks/"+s.inventory.networkID(g)))}
}

// moveNetwork gives a network to another organization. What is wrong with the
// request is told in the answer of a success, as the vendor does.
func (s *Sandbox) moveNetwork(c *request, d *answerForm) *response {
	body := c.object()
	p, ok := s.inventory.network(textAt(body, "network.id"))
	target, found := s.inventory.organization(textAt(body, "organizations.target.id"))
	result := map[string]any{"status": "completed"}
	switch {
	case !ok || p.org != c.at.org || p.network < 0:
		result = map[string]any{"status": "failed", "reason": "Cannot move network: it is not in the source organization."}
	case !found || (c.allowed != nil && !c.allowed[s.inventory.orgID(target.org)]):
		result = map[string]any{"status": "failed", "reason": "Cannot move network: Target organization is invalid or inaccessible."}
	case body["simulate"] == true:
	default:
		s.inventory.moveNetwork(p.network, target.org)
		s.orgState(target.org).version.Add(1)
	}
	body["result"] = result
	body["organizations"] = merge(map[string]any{"source": map[string]any{"id": c.org.id}}, objectOf(body["organizations"]))
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
func (s *Sandbox) claimDevices(c *request, d *answerForm) *response {
	body := c.object()
	var placed []int
	claimed, failed := []any{}, []any{}
	for _, serial := range texts(body["serials"]) {
		device, org, network, ok := s.inventory.inventoryOf(serial)
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
		s.inventory.placeDevice(device, c.at.org, c.at.network)
	}
	return s.respondFields(d, map[string]any{"serials": claimed, "errors": failed})
}

func (s *Sandbox) removeDevice(c *request, d *answerForm) *response {
	serial := text(c.object()["serial"])
	if device, org, network, ok := s.inventory.inventoryOf(serial); ok {
		if org != c.at.org || network != c.at.network {
			return refusal(http.StatusBadRequest, "Device with serial "+serial+" is not in this network")
		}
		s.inventory.placeDevice(device, org, -1)
	}
	return &response{status: d.status}
}

func (s *Sandbox) claimInventory(c *request, d *answerForm) *response {
	serials := texts(c.object()["serials"])
	for _, serial := range serials {
		if _, _, _, taken := s.inventory.inventoryOf(serial); taken {
			return refusal(http.StatusBadRequest, "Devices already claimed")
		}
	}
	for _, serial := range serials {
		if device, ok := s.inventory.serialIndex(serial); ok {
			s.inventory.placeDevice(device, c.at.org, -1)
		}
	}
	return s.echo(c, d)
}

func (s *Sandbox) releaseInventory(c *request, d *answerForm) *response {
	for _, serial := range texts(c.object()["serials"]) {
		if device, org, _, ok := s.inventory.inventoryOf(serial); ok && org == c.at.org {
			s.inventory.releaseDevice(device)
		}
	}
	return s.echo(c, d)
}

// respondFields answers with exactly these properties, as far as the answer has them.
func (s *Sandbox) respondFields(d *answerForm, o map[string]any) *response {
	fit, _ := d.shape.conform(o)
	return &response{status: d.status, body: encode(fit)}
}
