package identity

import "github.com/merakibroker/merakibroker/service/credential/secretfile"

// Operators are who may act on the operator's port, by tokens of the broker's own. The
// nil Operators are nobody.
type Operators struct{ tokens staticTokens }

// NewOperators reads the file of their tokens, and again when it changes.
func NewOperators(file string, files *secretfile.Watcher) (*Operators, error) {
	o := new(Operators)
	return o, files.Add(secretfile.Group{Name: "tokens of operators", Paths: []string{file}, Load: o.tokens.load})
}

// Name gives the name of a token, if it is an operator's.
func (o *Operators) Name(token string) (name string, ok bool) {
	if o == nil {
		return "", false
	}
	return o.tokens.name(token)
}
