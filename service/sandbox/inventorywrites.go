package sandbox

import (
	"net/http"
	"slices"
	"time"

	"github.com/merakibroker/merakibroker/service/sandbox/document"
	"github.com/merakibroker/merakibroker/service/sandbox/inventory"
)

// nobody is the orgState of the requests that no organization pays for, such as
// /organizations.
func (s *Sandbox) nobody() *orgState { return s.orgState(-1) }

// keepNew stores a new organization or network, with what was sent laid over it.
func (s *Sandbox) keepNew(c *request, d *answerForm, at inventory.Entity, path, id string) *response {
	m := document.Builder{Inventory: s.inventory, At: at, Key: d.key, ID: id}
	o := document.DecodeObject(m.Object(nil, d.shape, s.seed(path), d.subject, 0))
	if fit, ok := d.shape.Conform(c.object()); ok {
		o = document.Merge(o, fit.(map[string]any))
	}
	doc := &resource{body: document.Encode(o), shape: d.shape}
	c.created = id
	s.store.put(path, doc)
	return &response{status: d.status, body: doc.body}
}

func (s *Sandbox) createOrganization(c *request, d *answerForm) *response {
	name := document.Text(c.object()["name"])
	if name == "" {
		return refusal(http.StatusBadRequest, "'name' must be provided")
	}
	i := s.inventory.CreateOrganization(name)
	s.nobody().version.Add(1)
	at := inventory.Entity{Org: i, Network: -1, Device: -1, OrgName: name}
	return s.keepNew(c, d, at, "/organizations/"+s.inventory.OrgID(i), s.inventory.OrgID(i))
}

// rename merges a body into an organization, network or device, whose name the
// other answers show.
func (s *Sandbox) rename(c *request, d *answerForm) *response {
	a := s.put(c, d)
	if name := document.Text(c.object()["name"]); name != "" && a.status < 300 {
		switch {
		case c.at.Device >= 0:
			s.inventory.RenameDevice(c.at.Device, name)
		case c.at.Network >= 0:
			s.inventory.RenameNetwork(c.at.Network, name)
		case c.at.Org >= 0 && c.param("organizationId") != "":
			s.inventory.RenameOrganization(c.at.Org, name)
		}
	}
	if c.param("organizationId") != "" {
		s.nobody().version.Add(1)
	}
	return a
}

func (s *Sandbox) deleteOrganization(c *request, d *answerForm) *response {
	s.inventory.DeleteOrganization(c.at.Org)
	s.nobody().version.Add(1)
	return &response{status: d.status}
}

func (s *Sandbox) createNetwork(c *request, d *answerForm) *response {
	body := c.object()
	name, products := document.Text(body["name"]), document.Texts(body["productTypes"])
	if name == "" {
		return refusal(http.StatusBadRequest, "'name' must be provided")
	}
	if len(products) == 0 {
		return refusal(http.StatusBadRequest, "'productTypes' must be provided")
	}
	g := s.inventory.CreateNetwork(c.at.Org, name, products)
	at, _ := s.inventory.NetworkAt(g)
	return s.keepNew(c, d, at, "/networks/"+s.inventory.NetworkID(g), s.inventory.NetworkID(g))
}

// deleteNetwork deletes one network of an organization at a time: the documented
// refusal of a second one is a 400 that may be tried again.
func (s *Sandbox) deleteNetwork(c *request, d *answerForm) *response {
	if c.at.Network < 0 {
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
	c.extraTime = time.Duration(s.Times().Delete)
	c.done = func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.deletes--
	}
	s.inventory.DeleteNetwork(c.at.Network)
	return &response{status: d.status}
}

func (s *Sandbox) combineNetworks(c *request, d *answerForm) *response {
	body := c.object()
	name := document.Text(body["name"])
	if name == "" {
		return refusal(http.StatusBadRequest, "'name' must be provided")
	}
	var products []string
	var devices []int
	var merged []int
	for _, id := range document.Texts(body["networkIds"]) {
		p, ok := s.inventory.Network(id)
		if !ok || p.Org != c.at.Org || p.Network < 0 {
			return refusal(http.StatusBadRequest, "Network "+id+" is not in this organization")
		}
		merged = append(merged, p.Network)
		devices = append(devices, s.inventory.DevicesOfNetwork(p.Network)...)
		for _, product := range p.Products {
			if !slices.Contains(products, product) {
				products = append(products, product)
			}
		}
	}
	g := s.inventory.CreateNetwork(c.at.Org, name, products)
	for _, old := range merged {
		s.inventory.DeleteNetwork(old)
	}
	for _, device := range devices {
		s.inventory.PlaceDevice(device, c.at.Org, g)
	}
	at, _ := s.inventory.NetworkAt(g)
	m := document.Builder{Inventory: s.inventory, At: at}
	return &response{status: d.status, body: d.build(nil, m, s.seed("/networks/"+s.inventory.NetworkID(g)))}
}

// moveNetwork gives a network to another organization. As with the vendor, a
// request that cannot be is answered 201, with the reason in the result.
func (s *Sandbox) moveNetwork(c *request, d *answerForm) *response {
	body := c.object()
	p, ok := s.inventory.Network(document.TextAt(body, "network.id"))
	target, found := s.inventory.Organization(document.TextAt(body, "organizations.target.id"))
	result := map[string]any{"status": "completed"}
	moves := false
	switch {
	case !ok || p.Org != c.at.Org || p.Network < 0:
		result = map[string]any{"status": "failed", "reason": "Cannot move network: it is not in the source organization."}
	case !found || (c.allowed != nil && !c.allowed[s.inventory.OrgID(target.Org)]):
		result = map[string]any{"status": "failed", "reason": "Cannot move network: Target organization is invalid or inaccessible."}
	case body["simulate"] == true:
	default:
		moves = true
	}
	body["result"] = result
	body["organizations"] = document.Merge(map[string]any{"source": map[string]any{"id": c.org.id}}, document.Object(body["organizations"]))
	c.doc = body
	a := s.post(c, d)
	move := func(time.Time) {
		s.inventory.MoveNetwork(p.Network, target.Org)
		s.orgState(target.Org).version.Add(1)
		c.org.version.Add(1)
	}
	switch {
	case !moves || c.job != nil && (c.job.script.Failed != "" || c.job.script.Endless):
	case c.job != nil && c.job.ends.After(c.now):
		s.effects.add(c.job.ends, move)
	default:
		move(c.now)
	}
	return a
}

// claimDevices puts devices of the inventory into a network. A device of another
// network fails alone, or with addAtomically (the default) fails everything. A
// serial that the sandbox does not know is accepted and has no effect.
func (s *Sandbox) claimDevices(c *request, d *answerForm) *response {
	body := c.object()
	var placed []int
	claimed, failed := []any{}, []any{}
	for _, serial := range document.Texts(body["serials"]) {
		device, org, network, ok := s.inventory.Claimed(serial)
		if ok && (org != c.at.Org || network >= 0) {
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
		s.inventory.PlaceDevice(device, c.at.Org, c.at.Network)
	}
	return s.respondFields(d, map[string]any{"serials": claimed, "errors": failed})
}

func (s *Sandbox) removeDevice(c *request, d *answerForm) *response {
	serial := document.Text(c.object()["serial"])
	if device, org, network, ok := s.inventory.Claimed(serial); ok {
		if org != c.at.Org || network != c.at.Network {
			return refusal(http.StatusBadRequest, "Device with serial "+serial+" is not in this network")
		}
		s.inventory.PlaceDevice(device, org, -1)
	}
	return &response{status: d.status}
}

func (s *Sandbox) claimInventory(c *request, d *answerForm) *response {
	serials := document.Texts(c.object()["serials"])
	for _, serial := range serials {
		if _, _, _, taken := s.inventory.Claimed(serial); taken {
			return refusal(http.StatusBadRequest, "Devices already claimed")
		}
	}
	for _, serial := range serials {
		if device, ok := s.inventory.SerialIndex(serial); ok {
			s.inventory.PlaceDevice(device, c.at.Org, -1)
		}
	}
	return s.echo(c, d)
}

func (s *Sandbox) releaseInventory(c *request, d *answerForm) *response {
	for _, serial := range document.Texts(c.object()["serials"]) {
		if device, org, _, ok := s.inventory.Claimed(serial); ok && org == c.at.Org {
			s.inventory.ReleaseDevice(device)
		}
	}
	return s.echo(c, d)
}

// respondFields answers with exactly these properties, as far as the answer has them.
func (s *Sandbox) respondFields(d *answerForm, o map[string]any) *response {
	fit, _ := d.shape.Conform(o)
	return &response{status: d.status, body: document.Encode(fit)}
}
