package sandbox

import (
	"strings"
	"sync"

	"google.golang.org/protobuf/reflect/protoreflect"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
)

// What a route answers, read from its response descriptor when the first
// request for it arrives: the daemon starts with nearly a thousand of them.
type detail struct {
	shape *shape // of the response; nil: no content
	doc   *field // the field that is the whole document; nil: the object is
	rows  *field // the collection in the answer; nil: a single resource
	row   *shape // of one row; nil when rows are not objects
	kind  rowKind
	// key is the property that identifies a row, or the resource itself.
	key string
	who who // whom a row, or the resource, speaks of
	// item is the node of one row's own path, where the collection has one.
	item *node
	// create is, of a POST, the property that takes the new resource's id.
	param  string // the name of the parameter of item
	status int    // on success
	style  apiv1.PagingStyle
	most   int // rows a page
	usual  int
}

type lazily struct {
	once sync.Once
	d    detail
}

// rowKind is where the rows of a collection come from.
type rowKind uint8

const (
	rowsMade rowKind = iota
	rowsOrganizations
	rowsNetworks
	rowsDevices
	rowsInventory
	rowsNone // only what was written
)

func (s *Sandbox) detail(r *route) *detail {
	r.detail.once.Do(func() { r.detail.d = s.describe(r) })
	return &r.detail.d
}

func (s *Sandbox) describe(r *route) detail {
	d := detail{status: successStatus(r)}
	out := r.method.Descriptor.Output()
	if r.node.param != nil {
		d.item = r.node.param
		d.param = lastParam(d.item)
	}
	if out.FullName() != "google.protobuf.Empty" {
		d.shape = s.shapes.get(out)
	}
	if d.shape == nil {
		return d
	}
	paging := r.op.GetPaging()
	d.style, d.most, d.usual = paging.GetStyle(), int(paging.GetPerPageMax()), int(paging.GetPerPageDefault())
	if f := r.op.GetResponseField(); f != "" {
		if fd := out.Fields().ByName(protoreflect.Name(f)); fd != nil {
			name, _ := binding(fd)
			d.doc = d.shape.find(name)
		}
	}
	switch {
	case d.doc != nil && d.doc.repeated:
		d.rows = d.doc
	case d.doc == nil && d.shape.find("items") != nil && d.shape.find("items").repeated:
		d.rows = d.shape.find("items")
	case d.doc == nil && paging != nil:
		for i := range d.shape.fields {
			if f := &d.shape.fields[i]; f.repeated && f.kind == kindObject {
				d.rows = f
				break
			}
		}
	}
	own := d.shape
	if d.rows != nil {
		d.row, own = d.rows.sub, d.rows.sub
	}
	d.identify(r, own)
	return d
}

// identify finds the property that tells one row from another, and where the
// rows come from.
func (d *detail) identify(r *route, own *shape) {
	id := r.op.GetId()
	switch id {
	case "getOrganizations":
		d.kind, d.key, d.who = rowsOrganizations, "id", whoOrganization
		return
	case "getOrganization", "updateOrganization", "createOrganization", "cloneOrganization":
		d.key, d.who = "id", whoOrganization
		return
	case "getOrganizationNetworks":
		d.kind, d.key, d.who = rowsNetworks, "id", whoNetwork
		return
	case "getNetwork", "updateNetwork", "createOrganizationNetwork", "bindNetwork", "unbindNetwork":
		d.key, d.who = "id", whoNetwork
		return
	case "getOrganizationDevices", "getNetworkDevices":
		d.kind, d.key, d.who = rowsDevices, "serial", whoDevice
		return
	case "getOrganizationInventoryDevices":
		d.kind, d.key, d.who = rowsInventory, "serial", whoDevice
		return
	case "getDevice", "updateDevice", "getOrganizationInventoryDevice":
		d.key, d.who = "serial", whoDevice
		return
	case "getOrganizationActionBatches", "getNetworkMoves":
		d.kind = rowsNone
	}
	param := d.param
	if d.rows == nil && d.item == nil && len(r.params) > 1 && strings.HasSuffix(r.op.GetPath(), "}") {
		param = r.params[len(r.params)-1]
	}
	d.key = own.identifier(param)
	if d.rows == nil || d.kind == rowsNone || own == nil {
		return
	}
	scope := r.op.GetScope()
	switch {
	case d.key == "serial" && (scope == apiv1.Scope_SCOPE_ORGANIZATION || scope == apiv1.Scope_SCOPE_NETWORK):
		d.kind, d.who = rowsDevices, whoDevice
	case d.key == "networkId" && scope == apiv1.Scope_SCOPE_ORGANIZATION:
		d.kind = rowsNetworks
	}
}

// identifier is the property that identifies an object whose path ends in the
// named parameter; the documentation names the two alike, or nearly.
func (s *shape) identifier(param string) string {
	if s == nil {
		return ""
	}
	if param != "" {
		if f := s.find(param); f != nil && !f.repeated {
			return param
		}
	}
	if param == "portId" && s.find("number") != nil {
		return "number"
	}
	for _, name := range [...]string{"id", "serial", "networkId"} {
		if f := s.find(name); f != nil && !f.repeated && (f.kind == kindString || f.kind == kindInt) {
			return name
		}
	}
	for i := range s.fields {
		f := &s.fields[i]
		if !f.repeated && !f.mapped && f.kind == kindString && f.special == plain && strings.HasSuffix(f.name, "Id") {
			return f.name
		}
	}
	if f := s.find("number"); f != nil && f.kind == kindInt {
		return "number"
	}
	return ""
}

// lastParam is the name of the parameter that a node stands for.
func lastParam(n *node) string {
	for _, r := range n.route {
		if r != nil {
			return r.params[len(r.params)-1]
		}
	}
	return ""
}
