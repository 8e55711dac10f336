package model

import (
	"strings"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
)

// verbs are the first words of operationIds that are verbs.
var verbs = strings.Fields(`get update create delete add assign attach bind blink cancel checkin claim clip clone combine
connect cycle defer detach disable disconnect dismiss enable generate install lock modify move preview provision publish
reassign reboot recalculate refresh release remove renew reorder restore revoke set shutdown split stop swap unassign
unbind unenroll uninstall validate wipe`)

// spelled is how words of names are written that are not plain words.
var spelled = spelling(`ACL ACLs APN APNs API ARP BGP CDP COS CPU CRLs DHCP DNS DSCP EAP eSIM eSIMs EoX HTTP ID IDs IdP
IdPs IP IPsec IPv4 IPv6 L2 L3 L7 LAN LED LEDs LLDP MAC MQTT MTU NAT OSPF PII PSK PSKs QoS RF RRM SAML SASE SD-WAN SIM SIMs
SLAs SNMP SSID SSIDs STP URL VLAN VLANs vMX VPN VPP VRF VRFs WLAN XDR`)

func spelling(all string) map[string]string {
	out := map[string]string{"sm": "Systems Manager", "me": "own"}
	for _, w := range strings.Fields(all) {
		out[strings.ToLower(strings.ReplaceAll(w, "-", ""))] = w
	}
	return out
}

// Sentence says in one line what an operation does, made from its operationId,
// verb and path: "Reads the switch ports of a device."
func Sentence(op *apiv1.Operation) string {
	all := words(op.GetId())
	if len(all) == 0 {
		return ""
	}
	does, rest := "", all
	first, last := strings.ToLower(all[0]), strings.ToLower(all[len(all)-1])
	switch {
	case known(first):
		does, rest = first, all[1:]
	case len(all) > 2 && known(last): // bulkOrganizationNetworksGroupAssign
		does, rest = last, all[1:len(all)-1]
	}
	what := phrase(rest, op.GetPath())
	switch does {
	case "":
		does = map[apiv1.Verb]string{
			apiv1.Verb_VERB_GET: "reads", apiv1.Verb_VERB_PUT: "changes", apiv1.Verb_VERB_DELETE: "deletes",
		}[op.GetVerb()]
		if does == "" {
			does = "performs"
		}
	case "get":
		does = "reads"
	case "update":
		does = "changes"
	default:
		does = third(does)
	}
	if (first == "bulk" || first == "batch") && len(rest) < len(all)-1 {
		what += ", many at once"
	}
	return strings.ToUpper(does[:1]) + does[1:] + " " + what + "."
}

// Subject names what a message stands for: "The switch port of a device."
func Subject(op *apiv1.Operation) string {
	all := words(op.GetId())
	if len(all) > 0 && known(strings.ToLower(all[0])) {
		all = all[1:]
	}
	what := phrase(all, op.GetPath())
	return strings.ToUpper(what[:1]) + what[1:] + "."
}

func known(verb string) bool {
	for _, v := range verbs {
		if v == verb {
			return true
		}
	}
	return false
}

// phrase is the words of a name with an article and the owner that the path
// begins with.
func phrase(all []string, path string) string {
	owner := ""
	for _, o := range []struct{ path, word, owner string }{
		{"/organizations/{", "Organization", "an organization"},
		{"/networks/{", "Network", "a network"},
		{"/devices/{", "Device", "a device"},
	} {
		if strings.HasPrefix(path, o.path) {
			owner = o.owner
			if len(all) > 0 && all[0] == o.word {
				all = all[1:]
			}
		}
	}
	var out []string
	for _, w := range all {
		w = strings.ToLower(w)
		if s := spelled[w]; s != "" {
			w = s
		}
		out = append(out, w)
	}
	switch {
	case len(out) == 0 && owner == "":
		return "it"
	case len(out) == 0:
		return owner
	case owner == "":
		return "the " + strings.Join(out, " ")
	}
	return "the " + strings.Join(out, " ") + " of " + owner
}

// third is a verb in the third person.
func third(verb string) string {
	for _, end := range []string{"s", "x", "ch", "sh"} {
		if strings.HasSuffix(verb, end) {
			return verb + "es"
		}
	}
	if y := strings.TrimSuffix(verb, "y"); y != verb && !strings.HasSuffix(y, "o") && !strings.HasSuffix(y, "e") {
		return y + "ies"
	}
	return verb + "s"
}
