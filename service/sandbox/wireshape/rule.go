package wireshape

import (
	"slices"
	"strconv"
)

// application is an application, or a category of them, as rules name it.
func application(kind string, i int) map[string]any {
	n := strconv.Itoa(5 + i)
	return map[string]any{"id": "meraki:layer7/" + kind + "/" + n, "name": "Application " + n}
}

// definition is one of a traffic shaping rule: the value is an object for an
// application and a category, and text otherwise. A type that was made up
// becomes one of the real ones, in turn.
func definition(o map[string]any, i int) {
	typed(o, i, "application", "applicationCategory", "host", "port", "ipRange")
}

// layer7Rule is a firewall rule of layer 7: countries are a list.
func layer7Rule(o map[string]any, i int) {
	typed(o, i, "application", "applicationCategory", "allowedCountries", "host")
}

func typed(o map[string]any, i int, types ...string) {
	kind, _ := o["type"].(string)
	if !slices.Contains(valueTypes, kind) {
		kind = types[i%len(types)]
		o["type"] = kind
		delete(o, "value")
	}
	if _, text := o["value"].(string); !text && o["value"] != nil {
		return // as it was written
	}
	switch kind {
	case "application", "applicationCategory":
		o["value"] = application(kind, i)
	case "allowedCountries", "blockedCountries":
		o["value"] = []any{"US", "DE"}
	case "host":
		text(o, "blocked.example.com")
	case "port":
		text(o, "443")
	default:
		text(o, "192.0.2.0/24")
	}
}

func text(o map[string]any, value string) {
	if o["value"] == nil {
		o["value"] = value
	}
}

// valueTypes are the types of rules and definitions that the Dashboard knows.
var valueTypes = []string{
	"application", "applicationCategory", "host", "port", "ipRange", "localNet", "allowedCountries", "blockedCountries",
}

// Refuse gives the words with which the Dashboard refuses a write that follows
// the document: a text where a rule's type needs an object.
func Refuse(path string, body any) string {
	if rewrites[path] == nil {
		return ""
	}
	if wrongValue(body) {
		return "'value' must be an object with 'id' or 'name'"
	}
	return ""
}

func wrongValue(v any) bool {
	switch v := v.(type) {
	case []any:
		return slices.ContainsFunc(v, wrongValue)
	case map[string]any:
		kind, _ := v["type"].(string)
		if _, isText := v["value"].(string); isText && (kind == "application" || kind == "applicationCategory") {
			return true
		}
		for _, x := range v {
			if wrongValue(x) {
				return true
			}
		}
	}
	return false
}

// groupPolicy has a name, and rules in it.
func groupPolicy(o map[string]any, i int) {
	if o["name"] == nil {
		o["name"] = "Policy " + strconv.Itoa(i+1)
	}
	within("firewallAndTrafficShaping", func(o map[string]any, _ int) {
		each("trafficShapingRules", each("definitions", definition))(o, 0)
		each("l7FirewallRules", layer7Rule)(o, 0)
	})(o, i)
}

// policyObject shows what its type is about.
func policyObject(o map[string]any, i int) {
	kind, _ := o["type"].(string)
	kinds := []string{"fqdn", "ipAndMask", "cidr"}
	if !slices.Contains(kinds, kind) {
		kind = kinds[i%len(kinds)]
		o["type"] = kind
	}
	fill := func(name, value string) {
		if o[name] == nil {
			o[name] = value
		}
	}
	switch kind {
	case "fqdn":
		delete(o, "cidr")
		fill("fqdn", "host"+strconv.Itoa(i+1)+".example.com")
	case "ipAndMask":
		delete(o, "cidr")
		fill("ip", "192.0.2."+strconv.Itoa(i+1))
		fill("mask", "255.255.255.0")
	default:
		fill("cidr", "192.0.2.0/24")
	}
}
