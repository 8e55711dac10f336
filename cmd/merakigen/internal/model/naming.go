package model

import (
	"strings"
	"unicode"
)

// words splits a name of the vendor's into its words. A capital starts a word,
// and so does the last capital of a run (VPNPeers is VPN, Peers); anything that
// is not a letter or digit separates.
func words(name string) []string {
	var out []string
	var word []rune
	flush := func() {
		if len(word) > 0 {
			out = append(out, string(word))
			word = nil
		}
	}
	rs := []rune(name)
	for i, r := range rs {
		if !letter(r) && !digit(r) {
			flush()
			continue
		}
		if upper(r) && len(word) > 0 {
			last := word[len(word)-1]
			next := i+1 < len(rs) && lower(rs[i+1])
			if !upper(last) || next {
				flush()
			}
		}
		word = append(word, r)
	}
	flush()
	return out
}

func letter(r rune) bool { return upper(r) || lower(r) }
func upper(r rune) bool  { return 'A' <= r && r <= 'Z' }
func lower(r rune) bool  { return 'a' <= r && r <= 'z' }
func digit(r rune) bool  { return '0' <= r && r <= '9' }

// Snake is the proto name of a property: perPage is per_page, "0.5" is x0_5.
func Snake(name string) string {
	s := strings.ToLower(strings.Join(words(name), "_"))
	if s == "" || digit(rune(s[0])) {
		s = "x" + s
	}
	return s
}

// Pascal is the name of the message that a property's object becomes.
func Pascal(name string) string {
	var b strings.Builder
	for _, w := range words(name) {
		b.WriteString(strings.ToUpper(w[:1]) + strings.ToLower(w[1:]))
	}
	s := b.String()
	if s == "" || digit(rune(s[0])) {
		s = "X" + s
	}
	return s
}

// Upper is an operationId as the name of an RPC: only the first letter changes,
// so that the vendor's documentation stays usable. Empty when no name is left.
func Upper(id string) string {
	var b strings.Builder
	for i, part := range strings.FieldsFunc(id, func(r rune) bool { return !letter(r) && !digit(r) }) {
		if i == 0 && digit(rune(part[0])) {
			b.WriteByte('X')
		}
		b.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return b.String()
}

// verb is the first word of an operationId: get, update, create, blink.
func verb(id string) string {
	if w := words(id); len(w) > 0 {
		return strings.ToLower(w[0])
	}
	return ""
}

// noun is an operationId without its verb: getNetworkApplianceVlan is
// NetworkApplianceVlan.
func noun(id string) string {
	rpc := Upper(id)
	rest := rpc[min(len(rpc), len(verb(id))):]
	if rest == "" || !upper(rune(rest[0])) {
		return ""
	}
	return rest
}

// Address is where the vendor documents an operation. The site sets digits
// apart too: l3FirewallRules is l-3-firewall-rules.
func Address(id string) string {
	var b strings.Builder
	for i, w := range words(id) {
		for j, r := range w {
			if (i > 0 && j == 0) || (j > 0 && digit(r) != digit(rune(w[j-1]))) {
				b.WriteByte('-')
			}
			b.WriteRune(unicode.ToLower(r))
		}
	}
	return "https://developer.cisco.com/meraki/api-v1/" + b.String() + "/"
}
