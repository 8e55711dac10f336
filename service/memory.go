package service

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/peer"

	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/identity"
)

// A memory bounds what callers make the server hold, in bytes: the requests that it
// has received, or the answers that they have not taken.
//
// The account is the caller's, because behind a mesh all callers come through one
// connection; callers without a name have one for each connection.
type memory struct {
	bounds memoryBounds
	// refusal is the fault of what found no room in time.
	refusal *fault.Error
	// crowded is called when something has waited for room for stall: a caller's
	// account is full, or all memory is where account is nil.
	crowded func(account *memoryAccount)

	mu       sync.Mutex
	accounts map[any]*memoryAccount
	bytes    int64 // of all accounts
	// waiting are the accounts for which something waits; each gets its turn.
	waiting []*memoryAccount
}

// memoryBounds say how much may be held, in bytes, by one account and by all. Above
// the bound for all, an account is served as long as it has no more than its even
// share; all together hold twice the bound at the most.
type memoryBounds struct {
	account, all int64
	// least is what one thing takes at the least; 0 where what is small is not counted.
	least int64
	// alone lets an account hold one thing whose size is above its bound.
	alone bool
	// patience is how long something waits for room, and stall after how long it
	// says that it does; 0 for never.
	patience, stall time.Duration
}

// A memoryAccount is one caller's. It exists while it holds or wants something.
type memoryAccount struct {
	key     any
	bytes   int64
	waiting []*roomRequest // for room, oldest first
}

// A roomRequest waits for room.
type roomRequest struct {
	bytes int64
	room  chan struct{} // closed when there is
}

func newMemory(b memoryBounds, refusal *fault.Error) *memory {
	return &memory{bounds: b, refusal: refusal, accounts: make(map[any]*memoryAccount)}
}

// accountOf names the account of a call: its caller, or else its connection, by the
// address value that gRPC shows, which is the same pointer for all calls of one.
func accountOf(ctx context.Context) any {
	if id := identity.From(ctx).ID; id != "" && id != identity.Anonymous.ID {
		return id
	}
	if p, ok := peer.FromContext(ctx); ok && p.Addr != nil {
		return p.Addr
	}
	return nil
}

// open finds or opens an account, with the lock held.
func (m *memory) open(key any) *memoryAccount {
	a := m.accounts[key]
	if a == nil {
		a = &memoryAccount{key: key}
		m.accounts[key] = a
	}
	return a
}

// close closes an account that holds and wants nothing, with the lock held, and tells
// whether it does.
func (m *memory) close(a *memoryAccount) bool {
	if a.bytes != 0 || len(a.waiting) > 0 {
		return false
	}
	delete(m.accounts, a.key)
	return true
}

// countedBytes is from where on answers are counted: what is smaller is bounded by the
// number of calls, which requests count.
const countedBytes = 16 << 10

// counted is what something of so many bytes counts as.
func (b memoryBounds) counted(bytes int) int64 {
	if bytes < countedBytes && b.least == 0 {
		return 0
	}
	return max(int64(bytes), b.least)
}

// reserve waits until there is room for so many bytes, and takes it; nil for what is
// not counted.
func (m *memory) reserve(ctx context.Context, bytes int) (*reservation, error) {
	n := m.bounds.counted(bytes)
	if n == 0 {
		return nil, nil
	}
	m.mu.Lock()
	a := m.open(accountOf(ctx))
	out := &reservation{of: m, account: a, bytes: n}
	if len(a.waiting) == 0 && m.fits(a, n) {
		m.take(a, n)
		m.mu.Unlock()
		return out, nil
	}
	r := &roomRequest{bytes: n, room: make(chan struct{})}
	if len(a.waiting) == 0 {
		m.waiting = append(m.waiting, a)
	}
	a.waiting = append(a.waiting, r)
	m.mu.Unlock()

	err := m.wait(ctx, a, r)
	if err == nil {
		return out, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.grant() // the last chance: what waited fails only when there is no room
	i := slices.Index(a.waiting, r)
	if i < 0 {
		return out, nil
	}
	a.waiting = slices.Delete(a.waiting, i, i+1)
	m.grant()
	return nil, err
}

// wait waits for room, as long as ctx and the patience last.
func (m *memory) wait(ctx context.Context, a *memoryAccount, r *roomRequest) error {
	patience := time.NewTimer(m.bounds.patience)
	defer patience.Stop()
	var stalled <-chan time.Time
	if m.bounds.stall > 0 {
		ticker := time.NewTicker(m.bounds.stall)
		defer ticker.Stop()
		stalled = ticker.C
	}
	for {
		select {
		case <-r.room:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-patience.C:
			refusal := *m.refusal
			return &refusal
		case <-stalled:
			m.crowded(m.full(a, r.bytes))
		}
	}
}

// full gives the account that has to make room for n bytes more; nil when it is all.
func (m *memory) full(a *memoryAccount, n int64) *memoryAccount {
	m.mu.Lock()
	defer m.mu.Unlock()
	if a.bytes+n > m.bounds.account {
		return a
	}
	return nil
}

// fits tells whether an account may hold n bytes more.
func (m *memory) fits(a *memoryAccount, n int64) bool {
	switch {
	case m.bounds.alone && m.bytes == 0:
		return true
	case m.bytes+n > 2*m.bounds.all:
		return false
	case m.bounds.alone && a.bytes == 0:
		return true
	}
	share := m.bounds.all / int64(len(m.accounts))
	return a.bytes+n <= m.bounds.account && (m.bytes+n <= m.bounds.all || a.bytes+n <= share)
}

func (m *memory) take(a *memoryAccount, n int64) {
	a.bytes += n
	m.bytes += n
}

// grant gives room to those who wait for it, with the lock held: within an account in
// their order, and one of each account in turn. What one account has freed may be
// what another waits for, and an account that closes leaves the others larger shares.
func (m *memory) grant() {
	for progress := true; progress; {
		progress = false
		waiting := m.waiting
		m.waiting = m.waiting[:0]
		for _, a := range waiting {
			if len(a.waiting) > 0 && m.fits(a, a.waiting[0].bytes) {
				m.take(a, a.waiting[0].bytes)
				close(a.waiting[0].room)
				a.waiting = a.waiting[1:]
				progress = true
			}
			if len(a.waiting) > 0 {
				m.waiting = append(m.waiting, a)
			} else {
				progress = m.close(a) || progress
			}
		}
		clear(waiting[len(m.waiting):])
	}
}

// A reservation is the room that one request or answer takes.
type reservation struct {
	of      *memory
	account *memoryAccount
	bytes   int64
	done    atomic.Bool
}

// release gives the room back, once.
func (r *reservation) release() {
	if r == nil || r.done.Swap(true) {
		return
	}
	r.of.mu.Lock()
	defer r.of.mu.Unlock()
	r.change(-r.bytes)
}

// resize changes the room to what is really taken, which may be more than there is.
// It must not be called after release.
func (r *reservation) resize(bytes int) {
	if r == nil {
		return
	}
	r.of.mu.Lock()
	defer r.of.mu.Unlock()
	r.change(r.of.bounds.counted(bytes) - r.bytes)
}

// change takes or gives back some of the room, with the lock held. An account is closed
// as soon as it holds nothing: a reservation of nothing may outlive it, and must not
// close the next one of the same caller.
func (r *reservation) change(n int64) {
	r.account = r.of.open(r.account.key)
	r.bytes += n
	r.of.take(r.account, n)
	r.of.close(r.account)
	if n < 0 {
		r.of.grant()
	}
}
