package owner

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/merakibroker/merakibroker/service/fault"
)

// A Kind is what an id is of.
type Kind uint8

const (
	// Network: a network's id, or a template's.
	Network Kind = iota
	// Device: a serial.
	Device
)

// String is the kind as metrics name it.
func (k Kind) String() string { return [...]string{"network", "device"}[k] }

// A Question is: whose is this network or device?
type Question struct {
	Kind Kind
	ID   string
	// Credential looks it up, by fingerprint.
	Credential string
	// Itself tells that the call is the look-up, so that another would bring nothing.
	Itself bool
	// Fallback tells that a call goes on without an owner where the look-up fails.
	Fallback bool
	// Prefetch is called when an organization has been looked up so often that
	// listing all that it owns is cheaper. Nil for never.
	Prefetch func(kind Kind, organization string)
	// Missed is called when the Dashboard says that it knows no such network: the
	// id may be a template's, which only the list of templates names. Nil for never.
	Missed func()
}

// A LookUp is one read that tells an owner.
type LookUp struct {
	Kind Kind
	ID   string
	// Second: the network of a device whose own look-up is spent already.
	Second bool
	// Moot is closed when the answer is not needed any more.
	Moot <-chan struct{}
}

// Known gives the owner of a network or device where no look-up is needed. Decided
// tells that a look-up would bring nothing either: the call is itself the look-up,
// or the owner was asked for a moment ago in vain.
func (o *Directory) Known(now time.Time, q Question) (organization string, decided bool) {
	if organization, _ := o.Owned(now, q); organization != "" {
		return organization, true
	}
	if q.Itself {
		return "", true
	}
	return "", o.missed(now, q.Credential, q.ID) || q.Fallback && o.missed(now, failing+q.Credential, q.ID)
}

// hinted and failing mark, among the misses, hints that turned out wrong and
// look-ups that failed. No credential's fingerprint has such a form.
const (
	hinted  = "hint:"
	failing = "failing:"
)

// hangs is how long a look-up has no answer that is taken for one that will have none.
// Most take a fifth of a second.
const hangs = 5 * time.Second

// Owned is what has been learned of an owner, and of its network.
func (o *Directory) Owned(now time.Time, q Question) (organization, network string) {
	if q.Kind == Device {
		return o.device(now, q.ID)
	}
	return o.network(now, q.ID), q.ID
}

// Trusted tells that nothing speaks against a hint yet. A hint is no statement about
// an owner: it may say whose budget one call spends, and nothing else.
func (o *Directory) Trusted(now time.Time, hint, id string) bool {
	return hint != "" && !o.missed(now, hinted+hint, id)
}

// Distrust remembers that a hint has not proved true.
func (o *Directory) Distrust(now time.Time, hint, id string) { o.miss(now, hinted+hint, id) }

// Doubt drops what is known of an id of which an answer says that it is not there:
// the network or device may have gone to another organization.
func (o *Directory) Doubt(now time.Time, id string) { o.forget(now, id, false) }

// Find finds the organization that pays for a call on a network or device, and
// looks it up with fetch where it is not known: one GET for a network, and for a
// device one before it. Empty when it cannot be known; the call then goes through
// the cautious lane. So does, with Fallback, a call whose look-up the Dashboard
// fails to answer. A look-up that fails for another reason fails the call, which
// would meet the same, and has not been sent.
func (o *Directory) Find(ctx context.Context, q Question, fetch func(context.Context, LookUp) *fault.Error) (string, *fault.Error) {
	organization, decided := o.Known(time.Now(), q)
	if decided {
		return organization, nil
	}
	lookUp := func(kind Kind, id string) *fault.Error {
		learned, done := o.wait(time.Now(), id)
		defer done()
		return fetch(ctx, LookUp{Kind: kind, ID: id, Second: kind != q.Kind, Moot: learned})
	}
	_, network := o.Owned(time.Now(), q)
	if q.Kind == Device {
		if network == "" {
			if f := lookUp(Device, q.ID); f != nil {
				return o.unknown(q, f)
			}
			if organization, network = o.Owned(time.Now(), q); organization != "" {
				return o.found(q, organization)
			}
			if network == "" {
				return o.unknown(q, nil) // a device that is in no network
			}
		}
	}
	if f := lookUp(Network, network); f != nil {
		return o.unknown(q, f)
	}
	if organization, _ = o.Owned(time.Now(), q); organization == "" {
		return o.unknown(q, nil)
	}
	return o.found(q, organization)
}

func (o *Directory) found(q Question, organization string) (string, *fault.Error) {
	o.config.Observer.LookedUp(q.Kind.String(), "found")
	if q.Prefetch != nil && o.lookUps.found(time.Now(), o.config.PrefetchAfter, q, organization) {
		q.Prefetch(q.Kind, organization)
	}
	return organization, nil
}

// wrapped is the fault of a look-up as one of the call that needed it.
func (q Question) wrapped(f *fault.Error) *fault.Error {
	of := *f
	if f.Detail != "" {
		of.Detail = "looking up the organization that owns the " + q.Kind.String() + ": " + f.Detail
	}
	return &of
}

// unknown ends a look-up that brought no owner.
func (o *Directory) unknown(q Question, f *fault.Error) (string, *fault.Error) {
	if f != nil {
		switch f.Kind {
		case fault.NotFound, fault.Forbidden, fault.BadRequest, fault.APIDisabled, fault.Conflict:
			// The Dashboard has answered, and would again: a template's id, say,
			// stands where a network's does, but is not one to ask for.
			if q.Missed != nil {
				q.Missed()
			}
		case fault.Dashboard, fault.Unreachable, fault.Malformed, fault.TooLarge, fault.NotImplemented, fault.RedirectRefused:
			o.config.Observer.LookedUp(q.Kind.String(), "failed")
			if q.Fallback {
				o.miss(time.Now(), failing+q.Credential, q.ID)
				return "", nil
			}
			return "", q.wrapped(f)
		case fault.DeadlineExceeded:
			o.config.Observer.LookedUp(q.Kind.String(), "failed")
			if n := len(f.Attempts); q.Fallback && n > 0 && f.Attempts[n-1].Duration >= hangs {
				// This call is out of time; the next one need not hang with it.
				o.miss(time.Now(), failing+q.Credential, q.ID)
			}
			return "", q.wrapped(f)
		default:
			o.config.Observer.LookedUp(q.Kind.String(), "failed")
			return "", q.wrapped(f)
		}
	}
	o.config.Observer.LookedUp(q.Kind.String(), "unknown")
	o.miss(time.Now(), q.Credential, q.ID)
	return "", nil
}

// lookUpCounts counts look-ups by organization. Where they become many, it is
// cheaper to list everything once: a page of a list names a thousand.
type lookUpCounts struct {
	mu sync.Mutex
	m  *simplelru.LRU[lookUpKey, *lookUpCount]
}

type lookUpKey struct {
	organization string
	kind         Kind
}

// A lookUpCount is how often an organization had to be looked up lately.
type lookUpCount struct {
	ids        map[string]struct{} // that were looked up, until there are enough
	since      time.Time
	prefetched time.Time // when everything was last listed
}

// prefetchWindow is the time within which look-ups add up, and prefetchPause is how often
// an organization is listed at the most.
const (
	prefetchWindow = 10 * time.Minute
	prefetchPause  = time.Hour
)

// found counts a look-up that brought an owner, and tells whether it is the last
// of enough.
func (h *lookUpCounts) found(now time.Time, most int, q Question, organization string) bool {
	if most < 0 {
		return false
	}
	key := lookUpKey{organization, q.Kind}
	h.mu.Lock()
	defer h.mu.Unlock()
	t, ok := h.m.Get(key)
	if !ok {
		t = &lookUpCount{since: now}
		h.m.Add(key, t)
	}
	if now.Sub(t.since) > prefetchWindow {
		t.since, t.ids = now, nil
	}
	if t.ids == nil {
		t.ids = make(map[string]struct{})
	}
	if len(t.ids) < most {
		t.ids[q.ID] = struct{}{}
	}
	enough := len(t.ids) >= most && (t.prefetched.IsZero() || now.Sub(t.prefetched) > prefetchPause)
	if enough {
		t.prefetched = now
	}
	return enough
}

// TemplatesDue tells whether the templates that a credential sees are to be listed
// again: once an hour at the most.
func (o *Directory) TemplatesDue(now time.Time, credential string) bool {
	o.lookUps.mu.Lock()
	defer o.lookUps.mu.Unlock()
	key := lookUpKey{organization: templatesOf + credential}
	if o.config.PrefetchAfter < 0 {
		return false
	}
	if t, ok := o.lookUps.m.Get(key); ok && now.Sub(t.prefetched) < prefetchPause {
		return false
	}
	o.lookUps.m.Add(key, &lookUpCount{prefetched: now})
	return true
}

// templatesOf marks, among the counts, the lists of templates. No organization's id
// has such a form.
const templatesOf = "templates:"
