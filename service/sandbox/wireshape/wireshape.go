// Package wireshape turns answers as the vendor's document describes them into
// answers as the Dashboard gives them, where the two are known to differ. The
// differences are those that maintainers and users of clients have reported.
//
//	wireshape.go  which operation differs how
//	rule.go       firewall and traffic rules, policies
package wireshape

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// A rewrite changes a whole answer, decoded with its numbers as text.
type rewrite func(v any) any

// rewrites are the differences by the path of the operation. They hold for what
// a write answers as for what a read does.
var rewrites = map[string]rewrite{
	"/networks/{networkId}/clients":                                          rows(instants("firstSeen", "lastSeen")),
	"/networks/{networkId}/clients/bandwidthUsageHistory":                    rows(fractions("total", "upstream", "downstream")),
	"/networks/{networkId}/wireless/meshStatuses":                            rows(within("latestMeshPerformance", fractions("mbps"))),
	"/administered/licensing/subscription/entitlements":                      asList,
	"/organizations/{organizationId}/earlyAccess/features/optIns":            asList,
	"/networks/{networkId}/wireless/rfProfiles":                              asList,
	"/networks/{networkId}/appliance/trafficShaping/rules":                   rows(each("rules", each("definitions", definition))),
	"/networks/{networkId}/wireless/ssids/{number}/trafficShaping/rules":     rows(each("rules", each("definitions", definition))),
	"/networks/{networkId}/appliance/firewall/l7FirewallRules":               rows(each("rules", layer7Rule)),
	"/networks/{networkId}/wireless/ssids/{number}/firewall/l7FirewallRules": rows(each("rules", layer7Rule)),
	"/networks/{networkId}/groupPolicies":                                    rows(groupPolicy),
	"/networks/{networkId}/groupPolicies/{groupPolicyId}":                    rows(groupPolicy),
	"/organizations/{organizationId}/policyObjects":                          rows(policyObject),
	"/organizations/{organizationId}/policyObjects/{policyObjectId}":         rows(policyObject),
	"/networks/{networkId}/events":                                           rows(each("events", event)),
	"/networks/{networkId}/firmwareUpgrades":                                 rows(within("products", everyValue(within("nextUpgrade", noTime)))),
}

// Rewrite gives the answer of an operation as the Dashboard has it.
func Rewrite(path, method string, v any) any {
	v = walk(v)
	f := rewrites[path]
	if f == nil || method == "POST" && asLists[path] { // a POST answers the one that it made
		return v
	}
	return f(v)
}

// asLists are the collections that are documented as one object.
var asLists = map[string]bool{
	"/administered/licensing/subscription/entitlements":           true,
	"/organizations/{organizationId}/earlyAccess/features/optIns": true,
	"/networks/{networkId}/wireless/rfProfiles":                   true,
}

// AsItems wraps a bare list in an object, as some operations do that are
// documented as lists.
func AsItems(v any) any {
	list, ok := v.([]any)
	if !ok {
		return v
	}
	total := json.Number(strconv.Itoa(len(list)))
	return map[string]any{
		"items": list,
		"meta":  map[string]any{"counts": map[string]any{"items": map[string]any{"total": total, "remaining": json.Number("0")}}},
	}
}

// Extra names the properties that a resource shows, and takes, beside those of
// its documented answer.
func Extra(path string) []string {
	switch {
	case strings.Contains(path, "/groupPolicies"):
		return []string{"name"}
	case strings.Contains(path, "/policyObjects"):
		return []string{"fqdn", "ip", "mask"}
	}
	return nil
}

// rates are whole numbers in the document, in places, and fractions on the wire.
var rates = map[string]bool{
	"totalKbps": true, "sentKbps": true, "receivedKbps": true, "averageKbps": true, "downloadKbps": true, "uploadKbps": true, "goodput": true,
	"avgLatencyMs": true, "minLatencyMs": true, "maxLatencyMs": true,
}

// beyondDouble is a whole number that a double cannot hold.
const beyondDouble = "9007199254740993"

// walk makes rates fractions, and numbers in free objects large, at any depth.
// The sandbox's free objects have the properties detail and count.
func walk(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = walk(v[i])
		}
	case map[string]any:
		if _, free := v["detail"]; free && len(v) == 2 && v["count"] != nil {
			v["count"] = json.Number(beyondDouble)
		}
		for k, x := range v {
			if rates[k] {
				v[k] = fraction(x)
				continue
			}
			v[k] = walk(x)
		}
	}
	return v
}

// fraction makes a whole number one with a fraction.
func fraction(v any) any {
	if n, ok := v.(json.Number); ok && !strings.ContainsAny(n.String(), ".eE") {
		return json.Number(n.String() + ".29")
	}
	return v
}

// A change changes one object in place; i numbers it among its neighbours.
type change func(o map[string]any, i int)

// rows applies a change to each row of a list, or to the one row of an answer.
func rows(f change) rewrite {
	return func(v any) any {
		list, ok := v.([]any)
		if !ok {
			list = []any{v}
		}
		for i, row := range list {
			if o, ok := row.(map[string]any); ok {
				f(o, number(o, i))
			}
		}
		return v
	}
}

// number numbers a row by its id where it has one, so that the row alone is the
// same as in its list.
func number(o map[string]any, i int) int {
	for _, name := range [...]string{"id", "groupPolicyId"} {
		if id, ok := o[name].(string); ok {
			if n, err := strconv.Atoi(id[max(0, len(id)-3):]); err == nil {
				return n
			}
		}
	}
	return i
}

// asList puts an answer into a list.
func asList(v any) any {
	if _, ok := v.(map[string]any); ok {
		return []any{v}
	}
	return v
}

// each applies a change to every object of a list property.
func each(name string, f change) change {
	return func(o map[string]any, _ int) {
		list, _ := o[name].([]any)
		for i, x := range list {
			if o, ok := x.(map[string]any); ok {
				f(o, i)
			}
		}
	}
}

// within applies a change to an object property.
func within(name string, f change) change {
	return func(o map[string]any, i int) {
		if o, ok := o[name].(map[string]any); ok {
			f(o, i)
		}
	}
}

// everyValue applies a change to every object of an object.
func everyValue(f change) change {
	return func(o map[string]any, i int) {
		for _, x := range o {
			if o, ok := x.(map[string]any); ok {
				f(o, i)
			}
		}
	}
}

// instants makes seconds of the epoch texts in ISO 8601.
func instants(names ...string) change {
	return func(o map[string]any, _ int) {
		for _, name := range names {
			if n, ok := o[name].(json.Number); ok {
				seconds, _ := n.Float64()
				o[name] = time.Unix(int64(seconds), 0).UTC().Format(time.RFC3339)
			}
		}
	}
}

func fractions(names ...string) change {
	return func(o map[string]any, _ int) {
		for _, name := range names {
			if o[name] != nil {
				o[name] = fraction(o[name])
			}
		}
	}
}

// noTime is how an upgrade looks that has none planned.
func noTime(o map[string]any, _ int) { o["time"] = "" }

// event gives events data by their type: each type has keys of its own.
func event(o map[string]any, i int) {
	switch i % 3 {
	case 0:
		o["type"], o["eventData"] = "wpa_auth", map[string]any{"radio": "1", "vap": "0", "client_mac": "02:00:00:00:00:01", "identity": "person@example.com"}
	case 1:
		o["type"], o["eventData"] = "dhcp_lease", map[string]any{"vlan": json.Number("10"), "router": "192.0.2.1", "dns": []any{"192.0.2.2", "192.0.2.3"}}
	default:
		o["type"], o["eventData"] = "port_status", map[string]any{"port": "7", "old": map[string]any{"status": "1Gfdx"}, "new": map[string]any{"status": "down"}}
	}
}
