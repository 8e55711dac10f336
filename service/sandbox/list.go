package sandbox

import (
	"slices"
	"strconv"
	"strings"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/sandbox/document"
	"github.com/merakibroker/merakibroker/service/sandbox/inventory"
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
	l := &listing{c: c, d: d, base: c.path + "/", salt: document.Hash(c.path) % 1e11, events: d.style == apiv1.PagingStyle_PAGING_STYLE_LINK_BACKWARD}
	own := c.route.op.GetId()
	switch d.kind {
	case rowsOrganizations:
		l.base = "/organizations/"
		l.world = s.inventory.Organizations()
		if allowed := c.allowed; allowed != nil {
			l.world = slices.DeleteFunc(l.world, func(i int) bool { return !allowed[s.inventory.OrgID(i)] })
		}
	case rowsNetworks:
		l.world = s.inventory.Networks(c.at.Org)
		if own == "getOrganizationNetworks" {
			l.base = "/networks/"
		}
	case rowsDevices, rowsInventory:
		if c.at.Network >= 0 {
			l.world = s.inventory.DevicesOfNetwork(c.at.Network)
		} else {
			l.world = s.inventory.Devices(c.at.Org, d.kind == rowsInventory)
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
		return inventory.Templates
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

// key identifies row i. It is the token of pages, too.
func (l *listing) key(i int) string {
	e := l.c.s.inventory
	if l.custom != nil {
		return l.keys[i]
	}
	if l.world != nil {
		switch l.d.kind {
		case rowsOrganizations:
			return e.OrgID(l.world[i])
		case rowsNetworks:
			return e.NetworkID(l.world[i])
		}
		return e.Serial(l.world[i])
	}
	if i >= l.made {
		return l.created[i-l.made]
	}
	switch {
	case l.events:
		return eventTime(i).Format(time.RFC3339)
	case l.c.route.op.GetId() == "getOrganizationConfigTemplates":
		return e.TemplateID(l.c.at.Org, i)
	case l.d.key == "number" && l.made == ssidRows:
		return strconv.Itoa(i)
	case l.d.key == "portId", l.d.key == "number", l.d.row.Find(l.d.key) != nil && l.d.row.Find(l.d.key).Kind == document.KindInt:
		return strconv.Itoa(i + 1)
	}
	return madeID(l.salt, i)
}

// madeID is the id of row i of a collection; all its ids begin alike.
func madeID(salt uint64, i int) string {
	return strconv.FormatUint(600000000000000000+salt*1_000_000+uint64(i), 10)
}

// eventTime is when event i happened, the newest first.
func eventTime(i int) time.Time { return time.Unix(document.Epoch-int64(i)*60, 0).UTC() }

// find is the inverse of key.
func (l *listing) find(key string) (int, bool) {
	if l.custom != nil {
		i := slices.Index(l.keys, key)
		return i, i >= 0
	}
	if l.world == nil {
		if v, ok := inventory.ParseNumber(key); ok {
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

// entity is what row i speaks of: the thing itself, or for a row that is made up
// some network and device of the organization, so that its ids can be asked for.
func (l *listing) entity(i int) inventory.Entity {
	e, at := l.c.s.inventory, l.c.at
	if l.world != nil {
		var p inventory.Entity
		switch l.d.kind {
		case rowsOrganizations:
			p = inventory.Entity{Org: l.world[i], Network: -1, Device: -1}
			e.DescribeOrg(&p)
		case rowsNetworks:
			p, _ = e.NetworkAt(l.world[i])
		default:
			p, _ = e.DeviceAt(l.world[i])
		}
		return p
	}
	return e.Near(at, i)
}

// row writes row i.
func (l *listing) row(dst []byte, i int) []byte {
	if l.custom != nil {
		return l.custom(dst, i)
	}
	s, key := l.c.s, l.key(i)
	path := l.base + key
	m := document.Builder{Inventory: s.inventory, At: l.entity(i), Params: l.c.params, Key: l.d.key, ID: key}
	m.APIDisabled = m.At.Org >= 0 && s.disabled[s.inventory.OrgID(m.At.Org)]
	if l.events {
		m.Key = "occurredAt"
	}
	if l.d.row == nil {
		return m.Single(dst, l.d.rows, document.Mix(document.Hash(path)^s.opts.Seed), 0)
	}
	made := func(dst []byte) []byte { return m.Object(dst, l.d.row, s.seed(path), l.d.subject, 0) }
	doc := s.store.get(path)
	if doc == nil {
		return made(dst)
	}
	return append(dst, document.Encode(s.shown(l.c, doc, l.d.row, made))...)
}

// filters are the query parameters that narrow collections, each with the
// properties of a row that it is compared with. Other parameters change nothing.
var filters = map[string][]string{
	"serials": {"serial", "device.serial"}, "networkIds": {"networkId", "network.id"}, "macs": {"mac", "device.mac"}, "models": {"model", "device.model"},
	"serial": {"serial", "device.serial"}, "mac": {"mac", "device.mac"}, "model": {"model", "device.model"}, "name": {"name", "device.name"},
	"productTypes": {"productType", "productTypes", "device.productType"}, "tags": {"tags"}, "moveIds": {"moveId"},
}

// A rowFilter is what a query asks of the rows. All conditions must hold.
type rowFilter []condition

type condition struct {
	paths  []string
	values []string
	part   bool // a part of the value will do
}

// filters reads the query; nil when it narrows nothing.
func (l *listing) filters() rowFilter {
	if l.c.r.URL.RawQuery == "" || l.d.row == nil {
		return nil
	}
	var out rowFilter
	for k, v := range l.c.query() {
		name := strings.TrimSuffix(k, "[]")
		paths := filters[name]
		if len(paths) == 0 || !slices.ContainsFunc(paths, l.d.row.Has) {
			continue
		}
		out = append(out, condition{paths: paths, values: v, part: k == "name" || k == "mac"})
	}
	if l.c.route.op.GetId() == "getOrganizationActionBatches" {
		if status := l.c.queryValue("status"); status != "" {
			out = append(out, condition{paths: []string{"status"}, values: []string{status}})
		}
	}
	return out
}

func (w rowFilter) match(row map[string]any) bool {
	for _, c := range w {
		if !c.match(row) {
			return false
		}
	}
	return true
}

func (c condition) match(row map[string]any) bool {
	for _, path := range c.paths {
		if path == "status" {
			if o, ok := row["status"].(map[string]any); ok {
				return slices.Contains(c.values, batchState(o))
			}
		}
		for _, have := range append(document.Texts(row[path]), document.TextAt(row, path)) {
			for _, want := range c.values {
				if have != "" && (have == want || (c.part && strings.Contains(have, want))) {
					return true
				}
			}
		}
	}
	return false
}
