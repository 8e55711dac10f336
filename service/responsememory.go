package service

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/peer"

	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/identity"
)

// responseMemory is the answers that callers have not taken yet. gRPC does not bound
// them: one read of the Dashboard that ten thousand calls share is ten thousand
// answers in memory when nobody reads them.
//
// The account is the caller's, because behind a mesh all callers come through one
// connection; callers without a name have one for each connection.
type responseMemory struct {
	bounds memoryBounds

	mu       sync.Mutex
	accounts map[any]*memoryAccount
	unread   int64 // of all accounts, bytes
}

// bounds say how much may be held, in bytes, by one account and by all. Above the
// bound for all, an account is served as long as it has no more than its even share.
type memoryBounds struct {
	unread, allUnread int64
	// patience is how long an answer waits for room.
	patience time.Duration
}

// defaultMemoryBounds are far above what a client that reads comes near to.
func defaultMemoryBounds() memoryBounds {
	return memoryBounds{unread: 32 << 20, allUnread: 512 << 20, patience: time.Minute}
}

// A memoryAccount is one caller's. It exists while it holds something.
type memoryAccount struct {
	key     any
	unread  int64
	waiting []*roomRequest // for room, oldest first
}

// A roomRequest is an answer that waits for the client to read others.
type roomRequest struct {
	bytes int64
	room  chan struct{} // closed when there is
}

func newResponseMemory(b memoryBounds) *responseMemory {
	return &responseMemory{bounds: b, accounts: make(map[any]*memoryAccount)}
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

// open finds or opens one, with the lock held.
func (h *responseMemory) open(key any) *memoryAccount {
	a := h.accounts[key]
	if a == nil {
		a = &memoryAccount{key: key}
		h.accounts[key] = a
	}
	return a
}

// close closes an account that holds nothing, with the lock held.
func (h *responseMemory) close(a *memoryAccount) {
	if a.unread == 0 && len(a.waiting) == 0 {
		delete(h.accounts, a.key)
	}
}

// countedBytes is from where on answers are counted: what is smaller is bounded by
// the number of calls.
const countedBytes = 16 << 10

// reserve waits until there is room for an answer of so many bytes, and takes it.
func (h *responseMemory) reserve(ctx context.Context, bytes int) (*reservation, error) {
	if bytes < countedBytes {
		return nil, nil
	}
	n := int64(bytes)
	h.mu.Lock()
	a := h.open(accountOf(ctx))
	out := &reservation{of: h, account: a, bytes: n}
	if len(a.waiting) == 0 && h.fits(a, n) {
		h.take(a, n)
		h.mu.Unlock()
		return out, nil
	}
	r := &roomRequest{bytes: n, room: make(chan struct{})}
	a.waiting = append(a.waiting, r)
	h.mu.Unlock()

	timer := time.NewTimer(h.bounds.patience)
	defer timer.Stop()
	var err error
	select {
	case <-r.room:
		return out, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = &fault.Error{
			Kind: fault.BudgetExhausted, Reason: "ANSWERS_NOT_READ", NoRetry: true,
			Detail: "the answers before this one are not being read by the client; read them, or ask for less at a time",
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if i := slices.Index(a.waiting, r); i >= 0 {
		a.waiting = slices.Delete(a.waiting, i, i+1)
		h.grant(a)
		return nil, err
	}
	return out, nil // there has just been room
}

// fits tells whether an account may hold n bytes more. An answer alone always may.
func (h *responseMemory) fits(a *memoryAccount, n int64) bool {
	if a.unread == 0 {
		return true
	}
	share := h.bounds.allUnread / int64(len(h.accounts))
	return a.unread+n <= h.bounds.unread && (h.unread+n <= h.bounds.allUnread || a.unread+n <= share)
}

func (h *responseMemory) take(a *memoryAccount, n int64) {
	a.unread += n
	h.unread += n
}

// grant gives room to those who wait for it, in their order.
func (h *responseMemory) grant(a *memoryAccount) {
	for len(a.waiting) > 0 && h.fits(a, a.waiting[0].bytes) {
		h.take(a, a.waiting[0].bytes)
		close(a.waiting[0].room)
		a.waiting = a.waiting[1:]
	}
	h.close(a)
}

// A reservation is the room that one answer takes.
type reservation struct {
	of      *responseMemory
	account *memoryAccount
	bytes   int64
	lost    runtime.Cleanup
	done    atomic.Bool
}

// release gives the room back, once.
func (h *reservation) release() {
	if h == nil || h.done.Swap(true) {
		return
	}
	all, a := h.of, h.account
	all.mu.Lock()
	defer all.mu.Unlock()
	a.unread -= h.bytes
	all.unread -= h.bytes
	all.grant(a)
}

// answer makes a frame of an answer that holds room. gRPC loses sight of one whose
// call is reset, or whose connection is closed, at the wrong moment; then the
// collector of garbage tells when it is gone.
func (h *reservation) answer(wire []byte) *frame {
	f := &frame{out: wire, room: h}
	if h != nil {
		h.lost = runtime.AddCleanup(f, (*reservation).release, h)
	}
	return f
}

// buffer is the answer as gRPC takes it. Where gRPC will not say that it has been
// passed on, it counts as that.
func (f *frame) buffer() mem.Buffer {
	if f.room == nil && f.passed == nil || mem.IsBelowBufferPoolingThreshold(cap(f.out)) {
		f.gone()
		return mem.SliceBuffer(f.out)
	}
	return mem.NewBuffer(&f.out, f)
}

// Get is there for mem.BufferPool; nobody takes a buffer from a frame.
func (*frame) Get(length int) *[]byte { b := make([]byte, length); return &b }

// Put is gRPC's word that all of the answer has been passed on.
func (f *frame) Put(*[]byte) {
	if f.room != nil {
		f.room.lost.Stop()
	}
	f.gone()
}
