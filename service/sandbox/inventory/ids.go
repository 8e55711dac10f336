package inventory

import (
	"strconv"
	"strings"
)

// Before anything is written, organization o has the
// networks [o*N, (o+1)*N), network n the devices [n*D, (n+1)*D). Ids are
// arithmetic on these numbers, in both directions, so that ten thousand
// organizations cost nothing until someone asks for them.

// Identifiers look like the vendor's: some fit a double, some do not, and a
// client that parses an identifier as a number fails.
const (
	orgShort     = 2930418
	orgLong      = 646829496481000000
	orgCreated   = 646829496490000000
	networkShort = 24329156
	networkLong  = 646829496481105433
	netCreated   = 646829496900000000
	// spares is how many devices of an organization's inventory are in no network.
	Spares = 2
)

// A Layout is the arithmetic of ids.
type Layout struct {
	Orgs, Nets, Devs int // organizations, networks of each, devices of each network
}

// kinds of device in the order in which a network gets them.
var kinds = [...]struct{ product, prefix, model, short string }{
	{"wireless", "Q2MD", "MR46", "ap"},
	{"switch", "Q2SW", "MS120-8", "switch"},
	{"appliance", "Q2KY", "MX68", "appliance"},
	{"camera", "Q2CV", "MV12", "camera"},
	{"sensor", "Q2SN", "MT10", "sensor"},
	{"cellularGateway", "Q2CG", "MG41", "gateway"},
}

// OrgID names organization i.
func (w *Layout) OrgID(i int) string {
	if i >= w.Orgs {
		return strconv.FormatInt(orgCreated+int64(i-w.Orgs), 10)
	}
	if i%2 == 1 {
		return strconv.FormatInt(orgLong+int64(i), 10)
	}
	return strconv.Itoa(orgShort + i)
}

// orgIndex is the inverse of OrgID. Organizations created later count from
// w.Orgs; the inventory knows whether one of them exists.
func (w *Layout) orgIndex(id string) (int, bool) {
	v, ok := ParseNumber(id)
	if !ok {
		return 0, false
	}
	var i int64
	switch {
	case v >= orgCreated:
		return w.Orgs + int(v-orgCreated), true
	case v >= orgLong:
		if i = v - orgLong; i%2 != 1 {
			return 0, false
		}
	default:
		if i = v - orgShort; i%2 != 0 {
			return 0, false
		}
	}
	return int(i), i >= 0 && i < int64(w.Orgs)
}

// NetworkID names network g, counted over all organizations: every second one
// is of a single product, and its id begins with N_.
func (w *Layout) NetworkID(g int) string {
	if g >= w.Orgs*w.Nets {
		return "L_" + strconv.FormatInt(netCreated+int64(g-w.Orgs*w.Nets), 10)
	}
	if w.combined(g) {
		return "L_" + strconv.FormatInt(networkLong+int64(g), 10)
	}
	return "N_" + strconv.Itoa(networkShort+g)
}

func (w *Layout) networkIndex(id string) (int, bool) {
	if len(id) < 3 || id[1] != '_' {
		return 0, false
	}
	v, ok := ParseNumber(id[2:])
	if !ok {
		return 0, false
	}
	native := w.Orgs * w.Nets
	switch id[0] {
	case 'N':
		g := v - networkShort
		return int(g), g >= 0 && g < int64(native) && !w.combined(int(g))
	case 'L':
		if v >= netCreated {
			return native + int(v-netCreated), true
		}
		g := v - networkLong
		return int(g), g >= 0 && g < int64(native) && w.combined(int(g))
	}
	return 0, false
}

// combined says whether network g holds several products. A network that was
// created always does.
func (w *Layout) combined(g int) bool { return g%2 == 1 || g >= w.Orgs*w.Nets }

func (w *Layout) networkName(g int) string { return "Branch " + pad(g+1, 4) }

// networkKind is the product of a single-product network.
func (w *Layout) networkKind(g int) int { return (g / 2) % 3 }

// products lists what a network supports.
func (w *Layout) products(g int) []string {
	if !w.combined(g) {
		return []string{kinds[w.networkKind(g)].product}
	}
	n := max(3, min(w.Devs, len(kinds)))
	out := make([]string, n)
	for i := range out {
		out[i] = kinds[i].product
	}
	return out
}

// deviceKind is the product of device d; spares are switches.
func (w *Layout) deviceKind(d int) int {
	if d >= w.Orgs*w.Nets*w.Devs {
		return 1
	}
	if g := d / w.Devs; !w.combined(g) {
		return w.networkKind(g)
	}
	return (d % w.Devs) % len(kinds)
}

// Model is the model of device d.
func (w *Layout) Model(d int) string { return kinds[w.deviceKind(d)].model }

// Product is the product type of device d.
func (w *Layout) Product(d int) string { return kinds[w.deviceKind(d)].product }

// The alphabet of serials has no letters that read like digits.
const SerialAlphabet = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"

// serialFactor spreads neighbouring numbers over the 40 bits of a serial; odd,
// hence invertible modulo 2^40, and serialInverse is its inverse.
const (
	serialFactor  = 0x9E3779B97F
	serialInverse = 0x4C19BC067F
	serialMask    = 1<<40 - 1
)

// Serial names device d. Devices beyond the networks' own are the spares.
func (w *Layout) Serial(d int) string {
	x := uint64(d) * serialFactor & serialMask
	b := [14]byte{}
	copy(b[:], kinds[w.deviceKind(d)].prefix)
	for i, at := range [...]int{13, 12, 11, 10, 8, 7, 6, 5} {
		b[at] = SerialAlphabet[x>>(5*i)&31]
	}
	b[4], b[9] = '-', '-'
	return string(b[:])
}

// SerialIndex is the inverse of Serial.
func (w *Layout) SerialIndex(s string) (int, bool) {
	if len(s) != 14 || s[4] != '-' || s[9] != '-' {
		return 0, false
	}
	var x uint64
	for _, at := range [...]int{5, 6, 7, 8, 10, 11, 12, 13} {
		v := strings.IndexByte(SerialAlphabet, s[at])
		if v < 0 {
			return 0, false
		}
		x = x<<5 | uint64(v)
	}
	d := x * serialInverse & serialMask
	if d >= uint64(w.Orgs*(w.Nets*w.Devs+Spares)) {
		return 0, false
	}
	return int(d), s[:4] == kinds[w.deviceKind(int(d))].prefix
}

// deviceNetwork is the network that device d belongs to from the start; -1 for a spare.
func (w *Layout) deviceNetwork(d int) int {
	if d >= w.Orgs*w.Nets*w.Devs {
		return -1
	}
	return d / w.Devs
}

// deviceOrg is the organization whose inventory device d is in from the start.
func (w *Layout) deviceOrg(d int) int {
	if all := w.Orgs * w.Nets * w.Devs; d >= all {
		return (d - all) / Spares
	}
	return d / w.Devs / w.Nets
}

// Spare is the s-th device of an organization's inventory that is in no network.
func (w *Layout) Spare(org, s int) int { return w.Orgs*w.Nets*w.Devs + org*Spares + s }

func (w *Layout) deviceName(d int) string {
	k := kinds[w.deviceKind(d)]
	g := w.deviceNetwork(d)
	if g < 0 {
		return ""
	}
	return w.networkName(g) + " " + k.short + " " + strconv.Itoa(d%w.Devs+1)
}

// MAC is the address of device d.
func MAC(d int) string {
	const hex = "0123456789abcdef"
	b := []byte("e0:55:3d:00:00:00")
	b[4] = hex[5^d>>24&7] // beyond 2^24 devices the vendor's prefix runs over
	for i, at := range [...]int{15, 12, 9} {
		v := d >> (8 * i) & 255
		b[at], b[at+1] = hex[v>>4], hex[v&15]
	}
	return string(b)
}

// ParseNumber reads a decimal number of at most 18 digits.
func ParseNumber(s string) (int64, bool) {
	if len(s) == 0 || len(s) > 18 || (s[0] == '0' && len(s) > 1) {
		return 0, false
	}
	var v int64
	for i := range len(s) {
		c := s[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + int64(c-'0')
	}
	return v, true
}

func pad(n, width int) string {
	s := strconv.Itoa(n)
	if len(s) < width {
		s = strings.Repeat("0", width-len(s)) + s
	}
	return s
}

// Configuration templates have ids that look like a network's, and are asked for
// as networks: common practice, although the vendor's document does not say so.
const (
	Templates    = 2
	templateFrom = 900_000_000_000
)

// TemplateID names configuration template i of an organization.
func (w *Layout) TemplateID(org, i int) string {
	return "N_" + strconv.Itoa(templateFrom+org*Templates+i)
}

// templateOrg says whose configuration template an id names.
func (w *Layout) templateOrg(id string) (org int, ok bool) {
	v, ok := ParseNumber(strings.TrimPrefix(id, "N_"))
	v -= templateFrom
	return int(v / Templates), ok && len(id) > 2 && id[0] == 'N' && v >= 0 && v < int64(w.Orgs*Templates)
}
