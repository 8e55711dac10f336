// Package owner knows whose budget a call spends: which organization owns a network
// or device, as answers have told (directory.go, learn.go) or a look-up finds out
// (lookup.go), and which shard answers for an organization (Shards.go).
package owner

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Config bounds a Directory. Every zero field has the default beside it.
type Config struct {
	// Size is how many networks, and how many devices, are remembered: 100,000.
	Size int
	// Age is how long an owner is remembered, MissAge how long it is remembered
	// that there is none: 24 h and 30 s.
	Age, MissAge time.Duration
	// PrefetchAfter is how many look-ups an organization needs before its networks
	// or devices are all listed instead: 3. Negative for never.
	PrefetchAfter int
	// ShardAge is how long a shard that a redirect taught is asked directly: 1 h.
	ShardAge time.Duration
	// Observer is told of look-ups. Needed.
	Observer Observer
}

// An Observer is told of look-ups, for metrics.
type Observer interface {
	// LookedUp: an owner had to be looked up: "found", "unknown" or "failed".
	LookedUp(kind, result string)
}

// complete fills in what was left zero and says what does not make sense.
func (c Config) complete() (Config, error) {
	if c.Observer == nil {
		return c, errors.New("owner: no Observer to tell of look-ups")
	}
	c.Size, c.PrefetchAfter = cmp.Or(c.Size, 100_000), cmp.Or(c.PrefetchAfter, 3)
	c.Age, c.MissAge = cmp.Or(c.Age, 24*time.Hour), cmp.Or(c.MissAge, 30*time.Second)
	c.ShardAge = cmp.Or(c.ShardAge, time.Hour)
	if c.Size < 1 || c.Age < 0 || c.MissAge < 0 || c.ShardAge < 0 {
		return c, fmt.Errorf("owner: size %d, ages %v, %v and %v: they must be above 0", c.Size, c.Age, c.MissAge, c.ShardAge)
	}
	return c, nil
}

// A Directory is who owns which network and device, as answers have told. A network
// belongs to an organization. A device belongs to a network, whose organization
// pays; only a device that is in no network is kept with an organization of its
// own, so that a network that moves takes its devices along.
type Directory struct {
	config  Config
	Shards  Shards
	lookUps lookUpCounts

	mu       sync.Mutex
	networks *simplelru.LRU[string, ownership] // by network id
	devices  *simplelru.LRU[string, ownership] // by serial
	// changing are ids that an operation has lately named which changes owners, and
	// until when.
	changing *simplelru.LRU[string, time.Time]
	// misses are ids of which a credential could learn no owner.
	misses *simplelru.LRU[missKey, time.Time]
	// waits are those who wait for an owner to be learned, whoever learns it.
	waits map[string][]chan struct{}
	// unpaid counts attempts that a network's organization owes once it is known:
	// a look-up of a device names its network only.
	unpaid map[string]int
}

// mostUnpaid bounds the networks of which an attempt is owed.
const mostUnpaid = 10_000

// A Debt is what an organization owes for look-ups.
type Debt struct {
	Organization string
	Attempts     int
}

// An ownership is one fact and when it was learned.
type ownership struct {
	organization, network string
	at                    time.Time
	// brief: it was learned while its id was changing hands, and is believed only
	// as long as a miss.
	brief bool
}

type missKey struct{ credential, id string }

// New makes an empty Directory.
func New(c Config) (*Directory, error) {
	c, err := c.complete()
	if err != nil {
		return nil, err
	}
	o := &Directory{config: c, Shards: Shards{age: c.ShardAge}, waits: make(map[string][]chan struct{})}
	o.networks, o.devices = latest[string, ownership](c.Size), latest[string, ownership](c.Size)
	o.changing = latest[string, time.Time](min(c.Size, 10_000))
	o.misses = latest[missKey, time.Time](min(c.Size, 10_000))
	o.Shards.m, o.lookUps.m = latest[string, shard](10_000), latest[lookUpKey, *lookUpCount](1000)
	return o, nil
}

// latest makes a map that keeps the entries used last.
func latest[K comparable, V any](size int) *simplelru.LRU[K, V] {
	m, err := simplelru.NewLRU[K, V](size, nil)
	if err != nil {
		panic(err) // a size below 1, which Config does not let through
	}
	return m
}

// network gives the organization of a network; empty when it is not known.
func (o *Directory) network(now time.Time, id string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.networkLocked(now, id)
}

func (o *Directory) networkLocked(now time.Time, id string) string {
	e, ok := o.networks.Get(id)
	if !ok {
		return ""
	}
	if o.over(now, e) {
		o.networks.Remove(id)
		return ""
	}
	return e.organization
}

// device gives the organization of a device, and its network where that is
// known but not whose it is.
func (o *Directory) device(now time.Time, serial string) (organization, network string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	e, ok := o.devices.Get(serial)
	if !ok {
		return "", ""
	}
	if o.over(now, e) {
		o.devices.Remove(serial)
		return "", ""
	}
	if e.network != "" {
		return o.networkLocked(now, e.network), e.network
	}
	return e.organization, ""
}

// missed tells whether a credential has lately found no owner of id.
func (o *Directory) missed(now time.Time, credential, id string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	at, ok := o.misses.Get(missKey{credential, id})
	return ok && now.Sub(at) <= o.config.MissAge
}

// miss notes that a credential found no owner of id.
func (o *Directory) miss(now time.Time, credential, id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.misses.Add(missKey{credential, strings.Clone(id)}, now)
}

// A Fact is what one row of an answer says: a network and its organization, a
// device and its network, or a device in no network and its organization.
type Fact struct {
	Serial, Network, Organization string
}

// Owe notes attempts that the organization of a network owes.
func (o *Directory) Owe(network string, attempts int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.unpaid == nil {
		o.unpaid = make(map[string]int)
	}
	if len(o.unpaid) < mostUnpaid {
		o.unpaid[network] += attempts
	}
}

// know tells whether learning a fact would change nothing. It keeps no part of its
// arguments. A fact that was learned a while ago is learned again, so that its age
// is right to within half of the time for which a miss is kept.
func (o *Directory) know(now time.Time, serial, network []byte, organization string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.waits) > 0 || len(o.unpaid) > 0 {
		return false
	}
	same := func(m *simplelru.LRU[string, ownership], id []byte, organization, network string) bool {
		e, _ := m.Peek(string(id))
		return e.organization == organization && e.network == network && now.Sub(e.at) <= o.config.MissAge/2
	}
	if len(network) > 0 {
		return (organization == "" || same(o.networks, network, organization, "")) &&
			(len(serial) == 0 || same(o.devices, serial, "", string(network)))
	}
	return organization != "" && same(o.devices, serial, organization, "")
}

// Learn takes facts over, and gives what is now known to be owed.
func (o *Directory) Learn(now time.Time, facts []Fact) (due []Debt) {
	if len(facts) == 0 {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, f := range facts {
		if f.Network != "" && f.Organization != "" {
			o.networks.Add(f.Network, ownership{organization: f.Organization, at: now, brief: o.unsettled(now, f.Network)})
			o.wake(f.Network)
			if n := o.unpaid[f.Network]; n > 0 {
				delete(o.unpaid, f.Network)
				due = append(due, Debt{f.Organization, n})
			}
		}
		switch {
		case f.Serial == "":
		case f.Network != "":
			o.devices.Add(f.Serial, ownership{network: f.Network, at: now, brief: o.unsettled(now, f.Serial)})
			o.wake(f.Serial)
		case f.Organization != "":
			o.devices.Add(f.Serial, ownership{organization: f.Organization, at: now, brief: o.unsettled(now, f.Serial)})
			o.wake(f.Serial)
		}
	}
	return due
}

// changingTime is how long after an operation that changes owners its execution may
// still be to come: moves and batches are executed in the background.
const changingTime = 10 * time.Minute

func (o *Directory) unsettle(now time.Time, id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.changing.Add(strings.Clone(id), now.Add(changingTime))
}

// unsettled tells whether an id may be changing hands, with the lock held.
func (o *Directory) unsettled(now time.Time, id string) bool {
	until, ok := o.changing.Get(id)
	return ok && now.Before(until)
}

// over tells whether a fact is too old to be believed.
func (o *Directory) over(now time.Time, e ownership) bool {
	age := o.config.Age
	if e.brief {
		age = o.config.MissAge
	}
	return now.Sub(e.at) > age
}

// forget drops what is known of an id that an answer has put in doubt. What was
// learned within the time for which a miss is kept stays: many a 404 is about a
// part of a network or device that exists, and must not cost a look-up each.
func (o *Directory) forget(now time.Time, id string, always bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if e, ok := o.networks.Get(id); ok && (always || now.Sub(e.at) > o.config.MissAge) {
		o.networks.Remove(id)
	}
	if e, ok := o.devices.Get(id); ok && (always || now.Sub(e.at) > o.config.MissAge) {
		o.devices.Remove(id)
	}
}

// wait gives a channel that is closed when something is learned of id, or is
// known by now, and a function that ends the waiting.
func (o *Directory) wait(now time.Time, id string) (<-chan struct{}, func()) {
	c := make(chan struct{})
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, g := range [...]*simplelru.LRU[string, ownership]{o.networks, o.devices} {
		if e, ok := g.Get(id); ok && !o.over(now, e) {
			close(c)
			return c, func() {}
		}
	}
	o.waits[id] = append(o.waits[id], c)
	return c, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		for i, other := range o.waits[id] {
			if other == c {
				o.waits[id] = append(o.waits[id][:i:i], o.waits[id][i+1:]...)
				break
			}
		}
		if len(o.waits[id]) == 0 {
			delete(o.waits, id)
		}
	}
}

// wake wakes those who wait for id.
func (o *Directory) wake(id string) {
	if len(o.waits) == 0 {
		return
	}
	for _, c := range o.waits[id] {
		close(c)
	}
	delete(o.waits, id)
}
