package document

import "github.com/merakibroker/merakibroker/service/sandbox/inventory"

// Subject is what an object speaks of. Its id and name then come from the inventory.
type Subject uint8

const (
	SubjectNone Subject = iota
	SubjectOrganization
	SubjectNetwork
	SubjectDevice
)

func subjectOf(field string) Subject {
	switch field {
	case "organization", "source", "target":
		return SubjectOrganization
	case "network", "resultingNetwork", "resultingNetworks", "networks":
		return SubjectNetwork
	case "device", "devices", "node":
		return SubjectDevice
	}
	return SubjectNone
}

// special marks the fields whose value the inventory knows.
type special uint8

const (
	plain special = iota
	specialID
	specialName
	specialSerial
	specialNetworkID
	specialNetworkName
	specialOrganizationID
	specialOrganizationName
	specialMAC
	specialModel
	specialProduct
	specialProducts
	specialTotal
	specialRemaining
	specialAPI
)

var specials = map[string]special{
	"id": specialID, "name": specialName, "serial": specialSerial, "serials": specialSerial, "deviceSerial": specialSerial,
	"networkId": specialNetworkID, "networkIds": specialNetworkID, "networkName": specialNetworkName,
	"organizationId": specialOrganizationID, "organizationName": specialOrganizationName,
	"mac": specialMAC, "model": specialModel, "productType": specialProduct, "productTypes": specialProducts,
	"total": specialTotal, "remaining": specialRemaining, "api": specialAPI,
}

// known writes the value of a field from the inventory; false when the inventory
// does not know it.
func (m *Builder) known(dst []byte, f *Field, w Subject) ([]byte, bool) {
	p := &m.At
	text := ""
	switch f.special {
	case specialID:
		switch {
		case w == SubjectOrganization && p.Org >= 0:
			text = m.Inventory.OrgID(p.Org)
		case w == SubjectNetwork && p.Network >= 0:
			text = m.Inventory.NetworkID(p.Network)
		}
	case specialName:
		switch {
		case w == SubjectOrganization:
			text = p.OrgName
		case w == SubjectNetwork:
			text = p.NetworkName
		case w == SubjectDevice:
			text = p.DeviceName
		}
	case specialSerial:
		if p.Device >= 0 {
			text = m.Inventory.Serial(p.Device)
		}
	case specialNetworkID:
		if w == SubjectDevice && p.Network < 0 {
			return append(dst, "null"...), true // in the inventory, in no network
		}
		if p.Network >= 0 {
			text = m.Inventory.NetworkID(p.Network)
		}
	case specialNetworkName:
		text = p.NetworkName
	case specialOrganizationID:
		if p.Org >= 0 {
			text = m.Inventory.OrgID(p.Org)
		}
	case specialOrganizationName:
		text = p.OrgName
	case specialMAC:
		if w == SubjectDevice && p.Device >= 0 {
			text = inventory.MAC(p.Device)
		}
	case specialModel:
		if w == SubjectDevice && p.Device >= 0 {
			text = m.Inventory.Model(p.Device)
		}
	case specialProduct:
		if w == SubjectDevice && p.Device >= 0 {
			text = m.Inventory.Product(p.Device)
		}
	case specialProducts:
		if w != SubjectNetwork || !f.Repeated || p.Products == nil {
			return dst, false
		}
		dst = append(dst, '[')
		for i, s := range p.Products {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendString(dst, s)
		}
		return append(dst, ']'), true
	case specialAPI:
		if w != SubjectOrganization || f.Sub == nil {
			return dst, false
		}
		if m.APIDisabled {
			return append(dst, `{"enabled":false}`...), true
		}
		return append(dst, `{"enabled":true}`...), true
	}
	if text == "" || f.Kind != KindString || f.mapped {
		return dst, false
	}
	if f.Repeated {
		return append(appendString(append(dst, '['), text), ']'), true
	}
	return appendString(dst, text), true
}
