package identity

import (
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/setting"
)

// A Policy decides what callers may do. It is safe for concurrent use, and its rules
// may be replaced: each call is decided about by the rules of one moment.
type Policy struct {
	identified bool
	known      *known
	current    atomic.Pointer[ruleset]
	operator   *rule // of the operator's port
}

// A ruleset is rules made ready. It does not change once built.
type ruleset struct {
	rules []*rule
	// exact are the rules, by their place in the file, that name a caller whole;
	// prefixed those that go by the beginning of the name. Both in the file's order.
	exact    map[string][]int
	prefixed []int
}

// A Decision allows a call, as far as can be known when it comes in. Where the
// organization that owns the call's network or device is not known yet, the call may
// go on to look it up, and then has to pass Allows or Narrow.
type Decision struct {
	// Rule is the name of the rule that the next five are of.
	Rule   string
	Weight float64
	// MaxPriority is the highest that the caller may have; Priority is what the
	// call gets: what it asked for, but no more than that.
	MaxPriority, Priority Priority
	// Share is the largest part of an organization's budget that the caller may
	// spend, above 0 and up to 1.
	Share float64
	// Defaults are what the rule says where the caller says nothing.
	Defaults Defaults

	caller  Caller
	request Request
	rules   []*rule // those that allow the caller the operation, in the file's order
}

// everything is the rule that stands in for all where no source is switched on
// and nothing is configured: one service on one machine, trying it out.
func everything() *rule {
	all := map[string]struct{}{anyName: {}}
	return &rule{
		name: "no rules: anonymous may do everything", callers: Names{exact: []string{anonymousID}},
		sections: map[string]verbs{anyName: reads | writes}, rpcs: all, call: reads | writes,
		unknown: true, named: true, everywhere: true, weight: 1, share: 1, priority: Critical, usual: Normal,
	}
}

// NewPolicy makes rules ready. identified says whether a source of identity is
// switched on: without one and without rules, anonymous may do everything; with
// one and without rules nobody could do anything, which is an error. methods are
// all the RPCs that there are, so that a rule for one that is not is an error and
// not a rule that never applies; nil to leave that unchecked.
func NewPolicy(rules Rules, identified bool, methods []Request) (*Policy, error) {
	p := &Policy{identified: identified, known: knownOf(methods), operator: everything()}
	p.operator.name = "the operator's port"
	if err := p.Replace(rules); err != nil {
		return nil, err
	}
	return p, nil
}

// Replace puts other rules in the place of those that hold; with an error all stays as
// it was. Calls that are under way go on by the rules that let them in.
func (p *Policy) Replace(rules Rules) error {
	next := &ruleset{exact: make(map[string][]int)}
	if len(rules) == 0 {
		if p.identified {
			return setting.Wrong("", "there is no rule, so every call would be refused; callers: [%q] is every caller that is known", anyName)
		}
		next.add(everything())
	}
	names := make(map[string]int)
	var wrong setting.Errors
	for i := range rules {
		key := fmt.Sprintf("[%d]", i)
		r, err := rules[i].compile(p.known)
		wrong.Add(key, err)
		if j, ok := names[r.name]; ok && r.name != "" {
			wrong.Wrong(key+".name", "%q is the name of rule %d too", clip(r.name), j)
		}
		names[r.name] = i
		next.add(r)
	}
	if err := wrong.Err(); err != nil {
		return err
	}
	p.current.Store(next)
	return nil
}

func (s *ruleset) add(r *rule) {
	i := len(s.rules)
	s.rules = append(s.rules, r)
	for _, name := range r.callers.exact {
		if have := s.exact[name]; len(have) == 0 || have[len(have)-1] != i {
			s.exact[name] = append(have, i)
		}
	}
	if len(r.callers.prefixes) > 0 {
		s.prefixed = append(s.prefixed, i)
	}
}

// Decide says whether the caller may make the call. The error is a *fault.Error
// of kind CallerNotAllowed that says which rule is missing.
func (p *Policy) Decide(c Caller, q Request) (Decision, error) {
	d := Decision{caller: c, request: q}
	if c.Source == OwnPort {
		d.rules = []*rule{p.operator}
		return d.of(p.operator), nil
	}
	set := p.current.Load()
	named := false // whether any rule names the caller
	// Two lists in the file's order are walked as one.
	exact, prefixed := set.exact[c.ID], set.prefixed
	for len(exact) > 0 || len(prefixed) > 0 {
		var i int
		if len(prefixed) == 0 || len(exact) > 0 && exact[0] <= prefixed[0] {
			i = exact[0]
			exact = exact[1:]
			if len(prefixed) > 0 && prefixed[0] == i {
				prefixed = prefixed[1:]
			}
		} else {
			i = prefixed[0]
			prefixed = prefixed[1:]
			if !set.rules[i].callers.Match(c.ID) {
				continue
			}
		}
		named = true
		if set.rules[i].allows(&q) {
			d.rules = append(d.rules, set.rules[i])
		}
	}
	switch {
	case !named:
		return Decision{}, d.refuse("no rule names caller %q; ask the broker's operator for a rule that allows it %s", c.ID, q.about())
	case len(d.rules) == 0:
		return Decision{}, d.refuse("no rule allows caller %q %s; ask the broker's operator for one that does", c.ID, q.about())
	}
	if q.Organization != "" {
		return d.Narrow(q.Organization)
	}
	return d.of(d.rules[0]), nil
}

// Allows reports whether the call may be made where organization owns what it is
// about; NoOrganization when nobody does. An owner that is not known ("") is
// allowed only to a caller who may have all.
func (d *Decision) Allows(organization string) bool {
	for _, r := range d.rules {
		if r.serves(organization) {
			return true
		}
	}
	return false
}

// Anywhere reports whether the organization makes no difference: the call is
// allowed on the same terms whoever owns what it is about. Where it does make
// one, only the true owner counts, never what the caller says about it.
func (d *Decision) Anywhere() bool { return len(d.rules) > 0 && d.rules[0].everywhere }

// Everywhere reports whether the call is allowed whoever owns what it is about,
// whatever the terms.
func (d *Decision) Everywhere() bool {
	return slices.ContainsFunc(d.rules, func(r *rule) bool { return r.everywhere })
}

// Same reports whether two decisions were made by the same rules, for the same caller.
func (d *Decision) Same(other *Decision) bool {
	return d.caller == other.caller && slices.Equal(d.rules, other.rules)
}

// Narrow gives the decision for one organization once it is known: of the rules
// that allow the call, the first that holds there. The error is as Decide's.
func (d *Decision) Narrow(organization string) (Decision, error) {
	for _, r := range d.rules {
		if r.serves(organization) {
			return d.of(r), nil
		}
	}
	where := "organization " + clip(organization)
	if organization == NoOrganization {
		where = `what belongs to no organization (organizations: ["none"])`
	}
	return Decision{}, d.refuse("no rule allows caller %q %s for %s; ask the broker's operator to add it to rule %q",
		d.caller.ID, d.request.about(), where, d.rules[0].name)
}

// of gives the decision with the terms of rule r.
func (d *Decision) of(r *rule) Decision {
	out := *d
	out.Rule, out.Weight, out.Share = r.name, r.weight, r.share
	out.Defaults = r.defaults
	out.MaxPriority = r.priority
	asked := d.request.Priority
	if asked == Unsaid {
		asked = r.usual
	}
	out.Priority = max(asked, r.priority) // a higher number is less urgent
	return out
}

func (d *Decision) refuse(format string, args ...any) error {
	return &fault.Error{
		Kind: fault.CallerNotAllowed, Operation: d.request.Operation, Detail: fmt.Sprintf(format, args...),
	}
}
