package broker

import (
	"strings"
	"sync"
	"time"
)

// owners is who owns which network and device, as answers have told. A network
// belongs to an organization. A device belongs to a network, whose organization
// pays; only a device that is in no network is kept with an organization of its
// own, so that a network that moves takes its devices along.
type owners struct {
	age, missAge time.Duration

	mu       sync.Mutex
	networks generations[string, ownership] // by network id
	devices  generations[string, ownership] // by serial
	// misses are ids of which a credential could learn no owner.
	misses generations[missKey, time.Time]
	// waits are those who wait for an owner to be learned, whoever learns it.
	waits map[string][]chan struct{}
	// unpaid counts attempts that a network's organization owes once it is known:
	// a look-up of a device names its network only.
	unpaid map[string]int
}

// mostUnpaid bounds the networks of which an attempt is owed.
const mostUnpaid = 10_000

// A bill is what an organization owes for look-ups.
type bill struct {
	organization string
	attempts     int
}

// An ownership is one fact and when it was learned.
type ownership struct {
	organization, network string
	at                    time.Time
}

type missKey struct{ credential, id string }

func newOwners(limit int, age, missAge time.Duration) *owners {
	o := &owners{age: age, missAge: missAge, waits: make(map[string][]chan struct{})}
	o.networks.limit, o.devices.limit, o.misses.limit = limit, limit, min(limit, 10_000)
	return o
}

// network gives the organization of a network; empty when it is not known.
func (o *owners) network(now time.Time, id string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.networkLocked(now, id)
}

func (o *owners) networkLocked(now time.Time, id string) string {
	e, ok := o.networks.get(id)
	if !ok {
		return ""
	}
	if now.Sub(e.at) > o.age {
		o.networks.drop(id)
		return ""
	}
	return e.organization
}

// device gives the organization of a device, and its network where that is
// known but not whose it is.
func (o *owners) device(now time.Time, serial string) (organization, network string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	e, ok := o.devices.get(serial)
	if !ok {
		return "", ""
	}
	if now.Sub(e.at) > o.age {
		o.devices.drop(serial)
		return "", ""
	}
	if e.network != "" {
		return o.networkLocked(now, e.network), e.network
	}
	return e.organization, ""
}

// missed tells whether a credential has lately found no owner of id.
func (o *owners) missed(now time.Time, credential, id string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	at, ok := o.misses.get(missKey{credential, id})
	return ok && now.Sub(at) <= o.missAge
}

// miss notes that a credential found no owner of id.
func (o *owners) miss(now time.Time, credential, id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.misses.put(missKey{credential, strings.Clone(id)}, now)
}

// A fact is what one row of an answer says: a network and its organization, a
// device and its network, or a device in no network and its organization.
type fact struct {
	serial, network, organization string
}

// owe notes attempts that the organization of a network owes.
func (o *owners) owe(network string, attempts int) {
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
func (o *owners) know(now time.Time, serial, network []byte, organization string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.waits) > 0 || len(o.unpaid) > 0 {
		return false
	}
	same := func(e ownership, organization, network string) bool {
		return e.organization == organization && e.network == network && now.Sub(e.at) <= o.missAge/2
	}
	if len(network) > 0 {
		return (organization == "" || same(o.networks.young[string(network)], organization, "")) &&
			(len(serial) == 0 || same(o.devices.young[string(serial)], "", string(network)))
	}
	return organization != "" && same(o.devices.young[string(serial)], organization, "")
}

// learn takes facts over, and gives what is now known to be owed.
func (o *owners) learn(now time.Time, facts []fact) (due []bill) {
	if len(facts) == 0 {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, f := range facts {
		if f.network != "" && f.organization != "" {
			o.networks.put(f.network, ownership{organization: f.organization, at: now})
			o.told(f.network)
			if n := o.unpaid[f.network]; n > 0 {
				delete(o.unpaid, f.network)
				due = append(due, bill{f.organization, n})
			}
		}
		switch {
		case f.serial == "":
		case f.network != "":
			o.devices.put(f.serial, ownership{network: f.network, at: now})
			o.told(f.serial)
		case f.organization != "":
			o.devices.put(f.serial, ownership{organization: f.organization, at: now})
			o.told(f.serial)
		}
	}
	return due
}

// forget drops what is known of an id that an answer has put in doubt. What was
// learned within the time for which a miss is kept stays: many a 404 is about a
// part of a network or device that exists, and must not cost a look-up each.
func (o *owners) forget(now time.Time, id string, always bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if e, ok := o.networks.get(id); ok && (always || now.Sub(e.at) > o.missAge) {
		o.networks.drop(id)
	}
	if e, ok := o.devices.get(id); ok && (always || now.Sub(e.at) > o.missAge) {
		o.devices.drop(id)
	}
}

// wait gives a channel that is closed when something is learned of id, or is
// known by now, and a function that ends the waiting.
func (o *owners) wait(now time.Time, id string) (<-chan struct{}, func()) {
	c := make(chan struct{})
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, g := range [...]*generations[string, ownership]{&o.networks, &o.devices} {
		if e, ok := g.get(id); ok && now.Sub(e.at) <= o.age {
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

// told wakes those who wait for id.
func (o *owners) told(id string) {
	if len(o.waits) == 0 {
		return
	}
	for _, c := range o.waits[id] {
		close(c)
	}
	delete(o.waits, id)
}
