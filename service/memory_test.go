package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/peer"

	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/identity"
)

func from(caller string) context.Context {
	return identity.With(context.Background(), identity.Caller{ID: caller})
}

func reasonOf(err error) string {
	if f := fault.As(err); f != nil {
		return f.Reason
	}
	return ""
}

// TestAnswersWaitToBeRead: what a caller does not read keeps its next answers from
// being made, in their order, and nobody else's.
func TestAnswersWaitToBeRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const kib = 1 << 10
		h := newMemory(memoryBounds{account: 100 * kib, all: 1000 * kib, alone: true, patience: time.Minute}, errAnswersNotRead)
		first, err := h.reserve(from("slow"), 200*kib)
		if err != nil {
			t.Fatal("one answer alone always fits: ", err)
		}
		got := make(chan int, 3)
		end := make(chan struct{})
		defer close(end)
		for i, size := range []int{60, 60, 20} {
			go func() {
				room, err := h.reserve(from("slow"), size*kib)
				if err == nil {
					got <- i
					defer room.release() // at the end of the test
				}
				<-end
			}()
			synctest.Wait()
		}
		if small, err := h.reserve(from("slow"), kib); small != nil || err != nil {
			t.Errorf("a small answer: %v, %v", small, err)
		}
		other, err := h.reserve(from("quick"), 90*kib)
		if err != nil || len(got) != 0 {
			t.Fatalf("another caller's: %v; %d were given room", err, len(got))
		}
		other.release()
		first.release()
		first.release() // twice is once
		synctest.Wait()
		// The second does not fit beside the first, and the third does not overtake it.
		if n, i := len(got), <-got; n != 1 || i != 0 {
			t.Errorf("%d were given room, the first is %d", n, i)
		}
		<-time.After(2 * time.Minute)
		if _, err := h.reserve(from("slow"), 60*kib); reasonOf(err) != "ANSWERS_NOT_READ" {
			t.Errorf("after a minute: %v", err)
		}
		ctx, cancel := context.WithTimeout(from("slow"), time.Second)
		defer cancel()
		if _, err := h.reserve(ctx, 60*kib); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("past the deadline: %v", err)
		}
	})
}

// TestRoomIsGivenBack when gRPC says so, and also when it never does.
func TestRoomIsGivenBack(t *testing.T) {
	h := newMemory(responseBounds(), errAnswersNotRead)
	room := func() *reservation {
		r, err := h.reserve(from("caller"), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	sent := room().answer(make([]byte, 1<<20)).buffer()
	sent.Ref()
	sent.Free()
	if h.bytes != 1<<20 {
		t.Fatalf("%d bytes are held while the answer is being sent", h.bytes)
	}
	sent.Free()
	if h.bytes != 0 {
		t.Errorf("%d bytes are held after the answer has been sent", h.bytes)
	}
	_ = room().answer(make([]byte, 10)).buffer() // larger as JSON
	if h.bytes != 0 {
		t.Errorf("%d bytes are held by a small answer", h.bytes)
	}
	lose := func() mem.Buffer { return room().answer(make([]byte, 1<<20)).buffer() }
	_ = lose()
	for range 100 {
		runtime.GC()
		runtime.Gosched()
		h.mu.Lock()
		n := h.bytes
		h.mu.Unlock()
		if n == 0 {
			return
		}
	}
	t.Error("an answer that gRPC has lost holds its room for ever")
}

// TestAccountIsTheCallersOrTheConnections.
func TestAccountIsTheCallersOrTheConnections(t *testing.T) {
	t.Parallel()
	a, b := &net.TCPAddr{Port: 1}, &net.TCPAddr{Port: 1}
	over := func(ctx context.Context, addr net.Addr) context.Context {
		return peer.NewContext(ctx, &peer.Peer{Addr: addr})
	}
	if accountOf(over(from("x"), a)) != accountOf(over(from("x"), b)) {
		t.Error("a caller has an account for each connection")
	}
	if accountOf(over(context.Background(), a)) == accountOf(over(context.Background(), b)) {
		t.Error("two connections without a caller share an account")
	}
}

// TestSharesOfThoseWhoLeave: one who gives up waiting makes the shares of the others
// larger, and who fits into the larger one need not wait any more.
func TestSharesOfThoseWhoLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const kib = 1 << 10
		m := newMemory(memoryBounds{account: 220 * kib, all: 250 * kib, patience: time.Minute}, errAnswersNotRead)
		take := func(ctx context.Context, size int) *reservation {
			room, err := m.reserve(ctx, size)
			if err != nil && ctx.Err() == nil {
				t.Error(err)
			}
			return room
		}
		large, small := take(from("large"), 200*kib), take(from("small"), 20*kib)
		start := time.Now()
		var waited time.Duration
		go func() {
			take(from("waits"), 120*kib).release()
			waited = time.Since(start)
		}()
		synctest.Wait()
		hasty, leave := context.WithCancel(from("hasty"))
		go take(hasty, 200*kib)
		synctest.Wait()
		small.release()
		time.Sleep(time.Second)
		leave()
		time.Sleep(time.Second)
		synctest.Wait()
		large.release()
		synctest.Wait()
		if waited != time.Second {
			t.Errorf("waited %v; there was room after 1s", waited)
		}
	})
}

// TestFreedRoomIsPassedOn: what one account has freed goes to another that waits for
// it, at once, and not to whoever asks next.
func TestFreedRoomIsPassedOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const kib = 1 << 10
		m := newMemory(memoryBounds{account: 200 * kib, all: 250 * kib, patience: time.Minute}, errAnswersNotRead)
		take := func(caller string, size int) *reservation {
			room, err := m.reserve(from(caller), size)
			if err != nil {
				t.Errorf("%s: %v", caller, err)
			}
			return room
		}
		large := take("large", 200*kib)
		small := take("small", 50*kib)
		start := time.Now()
		var waited [2]time.Duration
		for i := range waited {
			go func() {
				room := take("small", 100*kib)
				waited[i] = time.Since(start)
				<-time.After(10 * time.Second)
				room.release()
			}()
			synctest.Wait()
		}
		time.Sleep(time.Second)
		large.release()
		time.Sleep(time.Second)
		small.release()
		<-time.After(30 * time.Second)
		synctest.Wait()
		if waited != [2]time.Duration{time.Second, 2 * time.Second} {
			t.Errorf("they waited %v; there was room for one after 1s, and for the other after 2s", waited)
		}
		if m.bytes != 0 || len(m.accounts) != 0 || len(m.waiting) != 0 {
			t.Errorf("at the end %d bytes, %d accounts, %d of them waiting", m.bytes, len(m.accounts), len(m.waiting))
		}
	})
}

// TestAReservationOfNothingLeavesTheAccountAlone: what has turned out small holds nothing any more,
// and its end is not the end of what the same caller holds and waits for.
func TestAReservationOfNothingLeavesTheAccountAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const kib = 1 << 10
		m := newMemory(memoryBounds{account: 100 * kib, all: 200 * kib, patience: time.Minute}, errAnswersNotRead)
		take := func(size int) *reservation {
			room, err := m.reserve(from("caller"), size)
			if err != nil {
				t.Error(err)
			}
			return room
		}
		small := take(100 * kib)
		small.resize(10)
		large := take(100 * kib)
		small.release()
		start := time.Now()
		done := make(chan time.Duration)
		go func() {
			room := take(100 * kib)
			done <- time.Since(start)
			room.release()
		}()
		synctest.Wait()
		if len(m.accounts) != 1 || m.bytes != 100*kib {
			t.Errorf("%d accounts, %d bytes; the caller holds %d and may hold no more", len(m.accounts), m.bytes, 100*kib)
		}
		<-time.After(time.Second)
		large.release()
		if waited := <-done; waited != time.Second {
			t.Errorf("it waited %v; there was room after 1s", waited)
		}
		synctest.Wait()
		if m.bytes != 0 || len(m.accounts) != 0 || len(m.waiting) != 0 {
			t.Errorf("at the end %d bytes, %d accounts, %d of them waiting", m.bytes, len(m.accounts), len(m.waiting))
		}
	})
}

// TestWaitEndsInRoomWhereThereIsSome: at the end of its patience what waits looks once
// more, and fails only when there is no room.
func TestWaitEndsInRoomWhereThereIsSome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const kib = 1 << 10
		m := newMemory(memoryBounds{account: 100 * kib, all: 100 * kib, patience: time.Minute}, errAnswersNotRead)
		first, _ := m.reserve(from("caller"), 100*kib)
		got := make(chan error, 1)
		go func() {
			room, err := m.reserve(from("caller"), 100*kib)
			got <- err
			room.release()
		}()
		synctest.Wait()
		m.mu.Lock() // the room is there, and nobody was told
		m.take(first.account, -100*kib)
		m.mu.Unlock()
		if err := <-got; err != nil {
			t.Errorf("there is room, and it says %v", err)
		}
	})
}

// TestManyAccountsHoldTwiceTheBoundAtMost: beyond the bound for all each account has
// its even share.
func TestManyAccountsHoldTwiceTheBoundAtMost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const kib, all = 1 << 10, 1000 << 10
		m := newMemory(memoryBounds{account: 500 * kib, all: all, patience: time.Minute}, errRequestsHeld)
		var most int64
		for caller := range 50 {
			for range 10 {
				ctx, cancel := context.WithTimeout(from(fmt.Sprint(caller)), time.Millisecond)
				_, _ = m.reserve(ctx, 100*kib)
				cancel()
				most = max(most, m.bytes)
			}
		}
		if most < all || most > 2*all {
			t.Errorf("%d KiB are held, the bound is %d KiB", most/kib, int64(all)/kib)
		}
	})
}

// TestCallsAreCounted: a call takes room while it waits, however small its request is, so
// that one caller cannot make the server hold any number of them.
func TestCallsAreCounted(t *testing.T) {
	t.Parallel()
	if b := requestBounds(defaultRequestBytes); b.account/b.least > 4000 || b.all/b.least > 16000 {
		t.Errorf("%d calls of a caller, %d of all", b.account/b.least, b.all/b.least)
	}
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(memoryBounds{account: 10 * callBytes, all: 100 * callBytes, least: callBytes, patience: time.Minute}, errRequestsHeld)
		rooms := make(chan *reservation, 20)
		for range 12 {
			go func() {
				if room, err := m.reserve(from("a"), 1); err == nil {
					room.resize(0)
					rooms <- room
				}
			}()
		}
		for _, want := range []int{10, 10, 10} {
			if synctest.Wait(); len(rooms) != want {
				t.Fatalf("%d calls have room; want %d", len(rooms), want)
			}
			room := <-rooms
			room.release()
		}
		for range 9 {
			room := <-rooms
			room.release()
		}
		if m.bytes != 0 || len(m.accounts) != 0 {
			t.Errorf("%d bytes of %d accounts are left", m.bytes, len(m.accounts))
		}
	})
}
