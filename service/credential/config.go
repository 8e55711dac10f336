// Package credential holds what the broker proves itself with: which Dashboard
// key serves which organizations and callers, and the certificates that its own
// server shows. Both come from files that are re-read when they change, so that
// a rotation costs no call: while a key changes, the old and the new one are
// both at hand.
package credential

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/merakibroker/merakibroker/service/identity"
)

// A Config says which keys there are.
type Config struct {
	// Keys, in order: of several that serve a call the first is taken.
	Keys []KeyConfig `yaml:"keys"`
	// OwnKey allows callers to send a Dashboard key of their own, which is then
	// used instead of the broker's. Callers by name, or by the beginning of it, as
	// rules name them. Nobody may when it is empty.
	OwnKey []string `yaml:"own_key_callers"`
}

// A KeyConfig is one Dashboard key and whom it serves.
type KeyConfig struct {
	// Name stands in logs and metrics; required, each its own.
	Name string `yaml:"name"`
	// File holds the key, alone on its line, and is re-read when it changes. A
	// second line may hold another key, which is tried when the Dashboard
	// rejects the first: for the time of a change.
	File string `yaml:"file"`
	// Env names the environment variable that holds the key; for trying the
	// broker out, because a process cannot see it change. Either this or File.
	Env string `yaml:"env"`
	// Organizations that the key serves, by id; all when absent.
	Organizations []string `yaml:"organizations"`
	// Callers that the key serves, by name, or by the beginning of it, as rules name
	// them; all when absent.
	Callers []string `yaml:"callers"`
}

// DefaultEnv is where the vendor's own libraries look for a key.
const DefaultEnv = "MERAKI_DASHBOARD_API_KEY"

// Validate says what is wrong, in one line that names the key of the
// configuration. It reads no files.
func (c *Config) Validate() error {
	if len(c.Keys) == 0 && len(c.OwnKey) == 0 {
		return errors.New("keys: there is none, and no caller may bring its own")
	}
	names := make(map[string]int)
	for i := range c.Keys {
		k := &c.Keys[i]
		if err := k.validate(); err != nil {
			return fmt.Errorf("keys[%d].%w", i, err)
		}
		if j, ok := names[k.Name]; ok {
			return fmt.Errorf("keys[%d].name: %q is the name of keys[%d] too", i, k.Name, j)
		}
		names[k.Name] = i
	}
	_, err := identity.NewNames("own_key_callers", c.OwnKey)
	return err
}

func (k *KeyConfig) validate() error {
	switch {
	case k.Name == "":
		return errors.New("name: is required")
	case (k.File == "") == (k.Env == ""):
		return errors.New("file: give either file or env")
	case looksLikeKey(k.File):
		return errors.New("file: takes the path of a file, not the key itself")
	case looksLikeKey(k.Env):
		return errors.New("env: takes the name of a variable, not the key itself")
	}
	for i, o := range k.Organizations {
		if o == "" || strings.Contains(o, anyName) && o != anyName || strings.ContainsAny(o, " /\t\n") {
			return fmt.Errorf("organizations[%d]: is not an organization's id", i)
		}
	}
	_, err := identity.NewNames("callers", k.Callers)
	return err
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
