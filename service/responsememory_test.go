package service

import (
	"context"
	"errors"
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
		h := newResponseMemory(memoryBounds{unread: 100 * kib, allUnread: 1000 * kib, patience: time.Minute})
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
	h := newResponseMemory(defaultMemoryBounds())
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
	if h.unread != 1<<20 {
		t.Fatalf("%d bytes are held while the answer is being sent", h.unread)
	}
	sent.Free()
	if h.unread != 0 {
		t.Errorf("%d bytes are held after the answer has been sent", h.unread)
	}
	_ = room().answer(make([]byte, 10)).buffer() // larger as JSON
	if h.unread != 0 {
		t.Errorf("%d bytes are held by a small answer", h.unread)
	}
	lose := func() mem.Buffer { return room().answer(make([]byte, 1<<20)).buffer() }
	_ = lose()
	for range 100 {
		runtime.GC()
		runtime.Gosched()
		h.mu.Lock()
		n := h.unread
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

// TestTooManyConnections: what is too much is closed, and others take its place.
func TestTooManyConnections(t *testing.T) {
	t.Parallel()
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := limited(raw, 2)
	defer l.Close()
	accepted := make(chan net.Conn, 10)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- c
		}
	}()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", raw.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	dial()
	dial()
	first := <-accepted
	<-accepted
	if _, err := dial().Read(make([]byte, 1)); err == nil {
		t.Error("a third connection is kept")
	}
	_ = first.Close()
	_ = first.Close()
	dial()
	if c := <-accepted; c == nil {
		t.Error("no connection after one has gone")
	}
}
