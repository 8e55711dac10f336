package access

import (
	"log/slog"
	"testing"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/credential"
	"github.com/merakibroker/merakibroker/service/credential/secretfile"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/identity"
)

const (
	brokersKey = "0123456789012345678901234567890123456789"
	ownKey     = "9876543210987654321098765432109876543210"
)

// newAccess has rules for three callers: everything, organization 1 alone, and reads
// at bulk with defaults.
func newAccess(t *testing.T) *Access {
	t.Helper()
	all := []identity.Grant{{Section: "*", Verbs: []string{"read", "write"}}}
	policy, err := identity.NewPolicy(identity.Rules{
		{Name: "all", Callers: []string{"all"}, Operations: all, Organizations: []string{"*"}, Priority: "critical"},
		{Name: "one", Callers: []string{"one", "key:*"}, Operations: all, Organizations: []string{"1"}},
		{Name: "export", Callers: []string{"token:export"}, Operations: all, Organizations: []string{"*"}, Weight: 2, Share: 0.5,
			Defaults: identity.Defaults{Priority: "bulk", MaxAge: 30 * time.Second, Deadline: 45 * time.Second, RetryWrites: true}},
	}, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	files := secretfile.New(secretfile.Config{Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(files.Close)
	keys, err := credential.NewStore(credential.Config{
		Keys: []credential.KeyConfig{{Name: "main", Env: "KEY"}}, OwnKey: []string{"all", "key:*"},
	}, files, func(string) (string, bool) { return brokersKey, true })
	if err != nil {
		t.Fatal(err)
	}
	return &Access{Policy: policy, Keys: keys}
}

func read(organization string) Question {
	return Question{
		Caller:    identity.Caller{ID: "all"},
		Request:   identity.Request{Section: "organizations", Operation: "getOrganization", Read: true, Priority: identity.Unsaid},
		Operation: &apiv1.Operation{Id: "getOrganization", Verb: apiv1.Verb_VERB_GET, Scope: apiv1.Scope_SCOPE_ORGANIZATION}, Owner: organization,
	}
}

func refusal(t *testing.T, err error, kind fault.Kind) {
	t.Helper()
	if f := fault.As(err); f == nil || f.Kind != kind {
		t.Errorf("%v, want %v", err, kind)
	}
}

func TestWhoMayWhatAndWithWhichKey(t *testing.T) {
	a := newAccess(t)
	by := func(id string, source identity.Source, change func(*Question)) Question {
		q := read("1")
		q.Caller = identity.Caller{ID: id, Source: source}
		if change != nil {
			change(&q)
		}
		return q
	}
	sent := func(optional bool) func(*Question) {
		return func(q *Question) { q.OwnKey, q.OwnKeyField, q.OwnKeyOptional = ownKey, "key", optional }
	}
	for _, test := range []struct {
		name    string
		ask     Question
		refused fault.Kind
		own     bool
	}{
		{"a rule for all", by("all", 0, nil), 0, false},
		{"no rule", by("nobody", 0, nil), fault.CallerNotAllowed, false},
		{"another organization", by("one", 0, func(q *Question) { q.Owner = "2" }), fault.CallerNotAllowed, false},
		{"a key of its own", by("all", 0, sent(false)), 0, true},
		{"a key of its own that it may not bring", by("one", 0, sent(false)), fault.CallerNotAllowed, false},
		{"a text where a key is expected", by("one", 0, sent(true)), 0, false},
		{"a key of its own over REST", by("all", 0, sent(true)), 0, true},
		{"known by its key", by("key:0a", identity.OwnKey, sent(true)), 0, true},
		{"known by its key, and without it", by("key:0a", identity.OwnKey, nil), fault.BadRequest, false},
	} {
		p, err := a.Ask(test.ask)
		if test.refused != 0 {
			t.Run(test.name, func(t *testing.T) { refusal(t, err, test.refused) })
			continue
		}
		if err != nil || p.OwnKey != test.own || p.Key.ID() == "" || (len(p.Candidates()) != 1 || p.Candidates()[0].ID() != p.Key.ID()) {
			t.Errorf("%s: %+v %v", test.name, p, err)
			continue
		}
		if _, ok := p.Rejected(p.Key); ok && test.own {
			t.Errorf("%s: a rejected key of its own is replaced by the broker's", test.name)
		}
	}
}

func TestAnOwnerThatIsNotKnownIsAskedAboutAgain(t *testing.T) {
	a := newAccess(t)
	q := read("")
	q.Operation, q.Owner, q.Caller.ID = &apiv1.Operation{Id: "getNetwork", Verb: apiv1.Verb_VERB_GET, Scope: apiv1.Scope_SCOPE_NETWORK}, "N_1", "one"
	p, err := a.Ask(q)
	if err != nil || !p.Open || p.Anywhere {
		t.Fatalf("%+v %v", p, err)
	}
	if key, err := p.Settle("1", nil); err != nil || key.ID() == "" {
		t.Error(err)
	}
	for _, owner := range []string{"2", ""} {
		_, err := p.Settle(owner, nil)
		refusal(t, err, fault.CallerNotAllowed)
	}
}

func TestTermsOfARule(t *testing.T) {
	a := newAccess(t)
	for _, test := range []struct {
		caller string
		asked  identity.Priority
		verb   apiv1.Verb
		want   broker.Call
	}{
		{"token:export", identity.Unsaid, apiv1.Verb_VERB_GET, broker.Call{Priority: ratelimit.Bulk, MaxAge: 30 * time.Second, Deadline: 45 * time.Second, RetryWrites: true, Weight: 2, Share: 0.5}},
		{"token:export", identity.Normal, apiv1.Verb_VERB_POST, broker.Call{Priority: ratelimit.Normal, Deadline: 45 * time.Second, RetryWrites: true, Weight: 2, Share: 0.5}},
		{"token:export", identity.Critical, apiv1.Verb_VERB_POST, broker.Call{Priority: ratelimit.Normal, Deadline: 45 * time.Second, RetryWrites: true, Weight: 2, Share: 0.5}},
		{"all", identity.Unsaid, apiv1.Verb_VERB_GET, broker.Call{Priority: ratelimit.Normal, Weight: 1, Share: 1}},
		{"all", identity.Critical, apiv1.Verb_VERB_GET, broker.Call{Priority: ratelimit.Critical, Weight: 1, Share: 1}},
	} {
		q := read("1")
		q.Caller.ID, q.Request.Priority = test.caller, test.asked
		p, err := a.Ask(q)
		if err != nil {
			t.Error(err)
			continue
		}
		c := broker.Call{Operation: &apiv1.Operation{Verb: test.verb}}
		p.Allow(&c)
		if c.Priority != test.want.Priority || c.MaxAge != test.want.MaxAge || c.Deadline != test.want.Deadline ||
			c.RetryWrites != test.want.RetryWrites || c.Weight != test.want.Weight || c.Share != test.want.Share || c.Key.ID() != p.Key.ID() || c.Settle != nil {
			t.Errorf("%s asking for %v: %+v", test.caller, test.asked, c)
		}
	}
}

// TestOnlyTheBrokersOwnKeyIsReplaced: a 401 to a key that the caller sent is the caller's
// answer, also where it is one of the broker's.
func TestOnlyTheBrokersOwnKeyIsReplaced(t *testing.T) {
	a := newAccess(t)
	files := secretfile.New(secretfile.Config{Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(files.Close)
	var err error
	a.Keys, err = credential.NewStore(credential.Config{Keys: []credential.KeyConfig{{Name: "main", Env: "KEY"}}, OwnKey: []string{"all"}},
		files, func(string) (string, bool) { return brokersKey + "\n" + ownKey, true })
	if err != nil {
		t.Fatal(err)
	}
	for _, own := range []bool{true, false} {
		q := read("1")
		if own {
			q.OwnKey, q.OwnKeyField = brokersKey, "key"
		}
		p, err := a.Ask(q)
		if err != nil || p.OwnKey != own {
			t.Fatalf("%+v, %v", p, err)
		}
		if next, ok := p.Rejected(p.Key); ok == own || ok && next.ID() == p.Key.ID() {
			t.Errorf("the caller's own: %v, and another key: %v", own, ok)
		}
	}
}
