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

// Holdings are the answers that callers have not taken yet. gRPC does not bound
// them: one read of the Dashboard that ten thousand calls share is ten thousand
// answers in memory when nobody reads them.
//
// The account is the caller's, because behind a mesh all callers come through one
// connection; callers without a name have one for each connection.
type holdings struct {
	bounds bounds

	mu       sync.Mutex
	accounts map[any]*account
	unread   int64 // of all accounts, bytes
}

// bounds say how much may be held, in bytes, by one account and by all. Above the
// bound for all, an account is served as long as it has no more than its even share.
type bounds struct {
	unread, allUnread int64
	// patience is how long an answer waits for room.
	patience time.Duration
}

// usualBounds are far above what a client that reads comes near to.
func usualBounds() bounds {
	return bounds{unread: 32 << 20, allUnread: 512 << 20, patience: time.Minute}
}

// An account is one caller's. It exists while it holds something.
type account struct {
	key     any
	unread  int64
	waiting []*reading // for room, oldest first
}

// A reading is an answer that waits for the client to read others.
type reading struct {
	bytes int64
	room  chan struct{} // closed when there is
}

func newHoldings(b bounds) *holdings {
	return &holdings{bounds: b, accounts: make(map[any]*account)}
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

// account finds or opens one, with the lock held.
func (h *holdings) account(key any) *account {
	a := h.accounts[key]
	if a == nil {
		a = &account{key: key}
		h.accounts[key] = a
	}
	return a
}

// settle closes an account that holds nothing, with the lock held.
func (h *holdings) settle(a *account) {
	if a.unread == 0 && len(a.waiting) == 0 {
		delete(h.accounts, a.key)
	}
}

// countedBytes is from where on answers are counted: what is smaller is bounded by
// the number of calls.
const countedBytes = 16 << 10

// hold waits until there is room for an answer of so many bytes, and takes it.
func (h *holdings) hold(ctx context.Context, bytes int) (*held, error) {
	if bytes < countedBytes {
		return nil, nil
	}
	n := int64(bytes)
	h.mu.Lock()
	a := h.account(accountOf(ctx))
	out := &held{of: h, account: a, bytes: n}
	if len(a.waiting) == 0 && h.fits(a, n) {
		h.take(a, n)
		h.mu.Unlock()
		return out, nil
	}
	r := &reading{bytes: n, room: make(chan struct{})}
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
		h.admit(a)
		return nil, err
	}
	return out, nil // there has just been room
}

// fits tells whether an account may hold n bytes more. An answer alone always may.
func (h *holdings) fits(a *account, n int64) bool {
	if a.unread == 0 {
		return true
	}
	share := h.bounds.allUnread / int64(len(h.accounts))
	return a.unread+n <= h.bounds.unread && (h.unread+n <= h.bounds.allUnread || a.unread+n <= share)
}

func (h *holdings) take(a *account, n int64) {
	a.unread += n
	h.unread += n
}

// admit gives room to those who wait for it, in their order.
func (h *holdings) admit(a *account) {
	for len(a.waiting) > 0 && h.fits(a, a.waiting[0].bytes) {
		h.take(a, a.waiting[0].bytes)
		close(a.waiting[0].room)
		a.waiting = a.waiting[1:]
	}
	h.settle(a)
}

// held is the room that one answer takes.
type held struct {
	of      *holdings
	account *account
	bytes   int64
	lost    runtime.Cleanup
	done    atomic.Bool
}

// release gives the room back, once.
func (h *held) release() {
	if h == nil || h.done.Swap(true) {
		return
	}
	all, a := h.of, h.account
	all.mu.Lock()
	defer all.mu.Unlock()
	a.unread -= h.bytes
	all.unread -= h.bytes
	all.admit(a)
}

// answer makes a frame of an answer that holds room. gRPC loses sight of one whose
// call is reset, or whose connection is closed, at the wrong moment; then the
// collector of garbage tells when it is gone.
func (h *held) answer(wire []byte) *frame {
	f := &frame{out: wire, held: h}
	if h != nil {
		h.lost = runtime.AddCleanup(f, (*held).release, h)
	}
	return f
}

// buffer is the answer as gRPC takes it. Where gRPC will not say that it has been
// passed on, it counts as that.
func (f *frame) buffer() mem.Buffer {
	if f.held == nil && f.passed == nil || mem.IsBelowBufferPoolingThreshold(cap(f.out)) {
		f.gone()
		return mem.SliceBuffer(f.out)
	}
	return mem.NewBuffer(&f.out, f)
}

// Get is there for mem.BufferPool; nobody takes a buffer from a frame.
func (*frame) Get(length int) *[]byte { b := make([]byte, length); return &b }

// Put is gRPC's word that all of the answer has been passed on.
func (f *frame) Put(*[]byte) {
	if f.held != nil {
		f.held.lost.Stop()
	}
	f.gone()
}
