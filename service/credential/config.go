// Package credential holds what the broker proves itself with: which Dashboard
// key serves which organizations and callers, and the certificates that its own
// server shows. Both come from files that are re-read when they change, so that
// a rotation costs no call: while a key changes, the old and the new one are
// both at hand.
package credential

import (
	"fmt"
	"slices"
	"strings"

	"github.com/merakibroker/merakibroker/service/identity"
	"github.com/merakibroker/merakibroker/service/setting"
)

// A Config says which keys there are.
type Config struct {
	// Keys, in order: of several that serve a call the first is taken.
	Keys []KeyConfig `yaml:"keys" jsonschema:"minItems=1"`
	// OwnKey allows callers to send a Dashboard key of their own, which is then
	// used instead of the broker's. Callers by name, or by the beginning of it, as
	// rules name them. Nobody may when it is empty.
	OwnKey []string `yaml:"own_key_callers"`
}

// A KeyConfig is one Dashboard key and whom it serves.
type KeyConfig struct {
	// Name stands in logs and metrics; required, each its own.
	Name string `yaml:"name" jsonschema:"required,minLength=1"`
	// File holds the key, alone on its line, and is re-read when it changes. A
	// second line may hold another key, which is tried when the Dashboard
	// rejects the first: for the time of a change.
	File string `yaml:"file" jsonschema:"minLength=1"`
	// Env names the environment variable that holds the key; for trying the
	// broker out, because a process cannot see it change. Either this or File.
	Env string `yaml:"env" jsonschema:"minLength=1"`
	// Organizations that the key serves, by id; all when absent.
	Organizations []string `yaml:"organizations" jsonschema:"minItems=1,minLength=1"`
	// Callers that the key serves, by name, or by the beginning of it, as rules name
	// them; all when absent.
	Callers []string `yaml:"callers" jsonschema:"minItems=1,minLength=1"`
}

// DefaultEnv is where the vendor's own libraries look for a key.
const DefaultEnv = "MERAKI_DASHBOARD_API_KEY"

// Validate says what is wrong, by key of the configuration. It reads no files.
func (c *Config) Validate() error {
	var wrong setting.Errors
	if len(c.Keys) == 0 && len(c.OwnKey) == 0 {
		wrong.Wrong("keys", "there is none, and no caller may bring its own")
	}
	names := make(map[string]int)
	for i := range c.Keys {
		k, key := &c.Keys[i], fmt.Sprintf("keys[%d]", i)
		wrong.Add(key, k.validate())
		if j, ok := names[k.Name]; ok && k.Name != "" {
			wrong.Wrong(key+".name", "%q is the name of key %d too", k.Name, j)
		}
		names[k.Name] = i
	}
	_, err := identity.NewNames("own_key_callers", c.OwnKey)
	wrong.Add("", err)
	return wrong.Err()
}

func (k *KeyConfig) validate() error {
	var wrong setting.Errors
	if k.Name == "" {
		wrong.Wrong("name", "is required")
	}
	switch {
	case (k.File == "") == (k.Env == ""):
		wrong.Wrong("file", "give either file or env")
	case looksLikeKey(k.File):
		wrong.Wrong("file", "takes the path of a file, not the key itself")
	case looksLikeKey(k.Env):
		wrong.Wrong("env", "takes the name of a variable, not the key itself")
	}
	for i, o := range k.Organizations {
		if o == "" || strings.Contains(o, anyName) && o != anyName || strings.ContainsAny(o, " /\t\n") {
			wrong.Wrong(fmt.Sprintf("organizations[%d]", i), "is not an organization's id")
		}
	}
	_, err := identity.NewNames("callers", k.Callers)
	wrong.Add("", err)
	return wrong.Err()
}

// looksLikeKey tells a Dashboard key, which is 40 hexadecimal digits, from a
// path: what is put in the wrong place would otherwise be printed in errors.
func looksLikeKey(s string) bool {
	return len(s) == 40 && strings.Trim(strings.ToLower(s), "0123456789abcdef") == ""
}

// anyName stands for every organization.
const anyName = "*"

// serves reports whether a key is for an organization.
func (k *KeyConfig) serves(organization string) bool {
	return len(k.Organizations) == 0 || slices.Contains(k.Organizations, anyName) || slices.Contains(k.Organizations, organization)
}
