package identity

import (
	"strings"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
)

// credentialPaths are where the Dashboard's own credentials are made, shown and
// taken away: the broker's API key, the administrators that keys belong to, SAML, the
// restrictions of logins and keys, and tokens of virtual appliances. A caller that may
// write everything through the broker could make itself a key of its own there, or end
// the broker's. Source: the vendor's OpenAPI document, version 1.73.0.
var credentialPaths = [...]struct {
	path  []string // * is a parameter
	reads bool     // reading shows something that has to be named, too
}{
	{[]string{"administered", "identities", "me", "api"}, true},
	{[]string{"organizations", "*", "admins"}, false},
	{[]string{"organizations", "*", "saml"}, false},
	{[]string{"organizations", "*", "samlRoles"}, false},
	{[]string{"organizations", "*", "loginSecurity"}, false},
	{[]string{"devices", "*", "appliance", "vmx", "authenticationToken"}, false},
}

// NeedsName tells whether only a rule that names an operation allows it. It goes by
// the operation's path, so that what the contract does not know yet counts too, and
// whoever asks: a typed RPC, the RPC Call, the REST face, an action of a batch.
func NeedsName(op *apiv1.Operation) bool {
	segments := strings.Split(strings.TrimPrefix(op.GetPath(), "/"), "/")
	for _, p := range credentialPaths {
		if len(segments) < len(p.path) || op.GetVerb() == apiv1.Verb_VERB_GET && !p.reads {
			continue
		}
		below := true
		for i, want := range p.path {
			below = below && (want == "*" || strings.EqualFold(want, segments[i]))
		}
		if below {
			return true
		}
	}
	return false
}
