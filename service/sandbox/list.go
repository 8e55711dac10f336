package sandbox

import (
	"slices"
	"strconv"
	"strings"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
)

// Rows of a collection that is made up, where Options.Rows does not say: enough
// for three pages of three where the collection is paginated.
const (
	fewestRows  = 7
	rowSpread   = 6
	plainRows   = 3
	eventRows   = 25
	ssidRows    = 15 // every network has so many
	createdFrom = 500_000
)

// A listing is a collection: rows in a fixed order, by number.
type listing struct {
	c       *request
	d       *answerForm
	base    string   // what a row's own path begins with
	world   []int    // rows that are organizations, networks or devices
	made    int      // rows that are made up
	created []string // rows that were written
	salt    uint64
	events  bool
	// Rows that something else keeps: their keys, and how to write one.
	keys   []string
	custom func(dst []byte, i int) []byte
}

func (s *Sandbox) listing(c *request, d *answerForm) *listing {
	l := &listing{c: c, d: d, base: c.path + "/", salt: hashString(c.path) % 1e11, events: d.style == apiv1.PagingStyle_PAGING_STYLE_LINK_BACKWARD}
	own := c.route.op.GetId()
	switch d.kind {
	case rowsOrganizations:
		l.base = "/organizations/"
		l.world = s.inventory.organizationList()
		if allowed := c.allowed; allowed != nil {
			l.world = slices.DeleteFunc(l.world, func(i int) bool { return !allowed[s.inventory.orgID(i)] })
		}
	case rowsNetworks:
		l.world = s.inventory.networkList(c.at.org)
		if own == "getOrganizationNetworks" {
			l.base = "/networks/"
		}
	case rowsDevices, rowsInventory:
		if c.at.network >= 0 {
			l.world = s.inventory.deviceList(c.at.network)
		} else {
			l.world = s.inventory.deviceListOf(c.at.org, d.kind == rowsInventory)
		}
		if own == "getOrganizationDevices" || own == "getNetworkDevices" || d.kind == rowsInventory {
			l.base = "/devices/"
		}
	default:
		l.created = s.store.ids(c.path)
		l.made = s.madeRows(c, d)
	}
	return l
}

func (s *Sandbox) madeRows(c *request, d *answerForm) int {
	switch {
	case d.kind == rowsNone:
		return 0
	case strings.HasSuffix(c.route.op.GetPath(), "/ssids") && d.key == "number":
		return ssidRows
	case c.route.op.GetId() == "getOrganizationConfigTemplates":
		return templates
	case s.opts.Rows > 0:
		return s.opts.Rows
	case d.style == apiv1.PagingStyle_PAGING_STYLE_LINK_BACKWARD:
		return eventRows
	case d.style != apiv1.PagingStyle_PAGING_STYLE_UNSPECIFIED:
		return fewestRows + int(c.route.salt%rowSpread)
	}
	return plainRows
}

func (l *listing) len() int { return len(l.world) + l.made + len(l.created) + len(l.keys) }

// key is what identifies row i, and what pages go by.
func (l *listing) key(i int) string {
	e := l.c.s.inventory
	if l.custom != nil {
		return l.keys[i]
	}
	if l.world != nil {
		switch l.d.kind {
		case rowsOrganizations:
			return e.orgID(l.world[i])
		case rowsNetworks:
			return e.networkID(l.world[i])
		}
		return e.serial(l.world[i])
	}
	if i >= l.made {
		return l.created[i-l.made]
	}
	switch {
	case l.events:
		return eventTime(i).Format(time.RFC3339)
	case l.c.route.op.GetId() == "getOrganizationConfigTemplates":
		return e.templateID(l.c.at.org, i)
	case l.d.key == "number" && l.made == ssidRows:
		return strconv.Itoa(i)
	case l.d.key == "portId", l.d.key == "number", l.d.row.find(l.d.key) != nil && l.d.row.find(l.d.key).kind == kindInt:
		return strconv.Itoa(i + 1)
	}
	return madeID(l.salt, i)
}

// madeID is the id of row i of a collection; all its ids begin alike.
func madeID(salt uint64, i int) string {
	return strconv.FormatUint(600000000000000000+salt*1_000_000+uint64(i), 10)
}

// eventTime is when event i happened, the newest first.
func eventTime(i int) time.Time { return time.Unix(epoch-int64(i)*60, 0).UTC() }

// find is the inverse of key.
func (l *listing) find(key string) (int, bool) {
	if l.custom != nil {
		i := slices.Index(l.keys, key)
		return i, i >= 0
	}
	if l.world == nil {
		if v, ok := digits(key); ok {
			for _, i := range [...]int64{v, v - 1, v % 1_000_000} {
				if i >= 0 && i < int64(l.made) && l.key(int(i)) == key {
					return int(i), true
				}
			}
		}
		if i := slices.Index(l.created, key); i >= 0 {
			return l.made + i, true
		}
		return 0, false
	}
	for i := range l.world {
		if l.key(i) == key {
			return i, true
		}
	}
	return 0, false
}

// place is where row i is: the thing itself, or for a row that is made up some
// network and device of the caller's, so that ids in it lead somewhere.
func (l *listing) place(i int) entity {
	e, at := l.c.s.inventory, l.c.at
	if l.world != nil {
		var p entity
		switch l.d.kind {
		case rowsOrganizations:
			p = entity{org: l.world[i], network: -1, device: -1}
			e.describeOrg(&p)
		case rowsNetworks:
			p, _ = e.networkAt(l.world[i])
		default:
			p, _ = e.deviceAt(l.world[i])
		}
		return p
	}
	return e.near(at, i)
}

// near gives the i-th neighbour of a place that names no device yet.
func (e *inventory) near(at entity, i int) entity {
	if at.device >= 0 || at.org < 0 {
		return at
	}
	g := at.network
	if g < 0 && at.org < e.layout.orgs && e.nets > 0 {
		g = at.org*e.nets + i%e.nets
		if p, ok := e.networkAt(g); ok && p.org == at.org {
			at = p
		} else {
			return at
		}
	}
	if g < 0 || g >= e.layout.orgs*e.nets || e.devs == 0 {
		return at
	}
	if p, ok := e.deviceAt(g*e.devs + i%e.devs); ok && p.network == at.network {
		return p
	}
	return at
}

// row writes row i.
func (l *listing) row(dst []byte, i int) []byte {
	if l.custom != nil {
		return l.custom(dst, i)
	}
	s, key := l.c.s, l.key(i)
	path := l.base + key
	m := builder{inventory: s.inventory, at: l.place(i), params: l.c.params, key: l.d.key, id: key}
	m.disabled = m.at.org >= 0 && s.disabled[s.inventory.orgID(m.at.org)]
	if l.events {
		m.key = "occurredAt"
	}
	if l.d.row == nil {
		return m.single(dst, l.d.rows, mix(hashString(path)^s.opts.Seed), 0)
	}
	made := func(dst []byte) []byte { return m.object(dst, l.d.row, s.seed(path), l.d.subject, 0) }
	doc := s.store.get(path)
	if doc == nil {
		return made(dst)
	}
	return append(dst, encode(s.shown(l.c, doc, l.d.row, made))...)
}
