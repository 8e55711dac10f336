package sandbox

// subject is whom an object speaks of: its id and name are then the world's.
type subject uint8

const (
	subjectNone subject = iota
	subjectOrganization
	subjectNetwork
	subjectDevice
)

func subjectOf(field string) subject {
	switch field {
	case "organization", "source", "target":
		return subjectOrganization
	case "network", "resultingNetwork", "resultingNetworks", "networks":
		return subjectNetwork
	case "device", "devices", "node":
		return subjectDevice
	}
	return subjectNone
}

// special marks the fields whose value the world knows.
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

// known writes the value of a field that the world knows; false when it does not.
func (m *builder) known(dst []byte, f *field, w subject) ([]byte, bool) {
	p := &m.at
	text := ""
	switch f.special {
	case specialID:
		switch {
		case w == subjectOrganization && p.org >= 0:
			text = m.inventory.orgID(p.org)
		case w == subjectNetwork && p.network >= 0:
			text = m.inventory.networkID(p.network)
		}
	case specialName:
		switch {
		case w == subjectOrganization:
			text = p.orgName
		case w == subjectNetwork:
			text = p.networkName
		case w == subjectDevice:
			text = p.deviceName
		}
	case specialSerial:
		if p.device >= 0 {
			text = m.inventory.serial(p.device)
		}
	case specialNetworkID:
		if w == subjectDevice && p.network < 0 {
			return append(dst, "null"...), true // in the inventory, in no network
		}
		if p.network >= 0 {
			text = m.inventory.networkID(p.network)
		}
	case specialNetworkName:
		text = p.networkName
	case specialOrganizationID:
		if p.org >= 0 {
			text = m.inventory.orgID(p.org)
		}
	case specialOrganizationName:
		text = p.orgName
	case specialMAC:
		if w == subjectDevice && p.device >= 0 {
			text = deviceMAC(p.device)
		}
	case specialModel:
		if w == subjectDevice && p.device >= 0 {
			text = kinds[m.inventory.deviceKind(p.device)].model
		}
	case specialProduct:
		if w == subjectDevice && p.device >= 0 {
			text = kinds[m.inventory.deviceKind(p.device)].product
		}
	case specialProducts:
		if w != subjectNetwork || !f.repeated || p.products == nil {
			return dst, false
		}
		dst = append(dst, '[')
		for i, s := range p.products {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendString(dst, s)
		}
		return append(dst, ']'), true
	case specialAPI:
		if w != subjectOrganization || f.sub == nil {
			return dst, false
		}
		if m.disabled {
			return append(dst, `{"enabled":false}`...), true
		}
		return append(dst, `{"enabled":true}`...), true
	}
	if text == "" || f.kind != kindString || f.mapped {
		return dst, false
	}
	if f.repeated {
		return append(appendString(append(dst, '['), text), ']'), true
	}
	return appendString(dst, text), true
}
