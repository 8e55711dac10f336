package service

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

type derived struct{}

// TestOldestIdleCallEnds when there are too many, and nobody who sends something.
func TestOldestIdleCallEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newIdleCalls(3, 0)
		ended := make(chan int, 10)
		begin := func(i int) (context.Context, context.CancelFunc) {
			parent, leave := context.WithCancel(t.Context())
			ctx := context.WithValue(newArrival(parent, nil), derived{}, i) // as interceptors do
			go func() {
				err := s.receive(ctx, nil, func(any) error { <-ctx.Done(); return ctx.Err() })
				if errors.Is(err, errIdle) {
					ended <- i
				} else if !errors.Is(err, context.Canceled) {
					t.Errorf("call %d: %v", i, err)
				}
			}()
			synctest.Wait()
			return ctx, leave
		}
		var leave [6]context.CancelFunc
		for i := range leave {
			_, leave[i] = begin(i)
			defer leave[i]()
			// One that sends its request at once is never in the way.
			ctx := newArrival(t.Context(), nil)
			if i < 3 {
				continue
			}
			if err := s.receive(ctx, nil, func(any) error { return nil }); err != nil {
				t.Errorf("a call with a request: %v", err)
			}
		}
		synctest.Wait()
		// Each of the four that came when three were there has ended the oldest; one
		// with a request makes room by itself, after it has taken some.
		if n := len(ended); n != 4 || s.count != 2 {
			t.Errorf("%d calls were ended, %d are idle", n, s.count)
		}
		for want := range len(ended) {
			if got := <-ended; got != want {
				t.Errorf("call %d was ended before call %d", got, want)
			}
		}
		leave[5]()
		leave[4]()
		synctest.Wait()
		if s.count != 0 || len(s.accounts) != 0 {
			t.Errorf("%d calls are left", s.count)
		}
	})
}

// TestAnswerTimeIsKeptBack of a deadline, where there is enough to keep.
func TestAnswerTimeIsKeptBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for given, want := range map[time.Duration]time.Duration{
			time.Second: time.Second - answerTime, 5 * answerTime: 4 * answerTime, 4 * answerTime: 4 * answerTime,
		} {
			start := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), given)
			err := new(Server).deadline(func(ctx context.Context, _ *rpcCall) error {
				<-ctx.Done()
				return ctx.Err()
			})(ctx, nil)
			if took := time.Since(start); took != want || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a deadline in %v ended the call after %v: %v", given, took, err)
			}
			cancel()
		}
		_ = new(Server).deadline(func(ctx context.Context, _ *rpcCall) error {
			if at, ok := ctx.Deadline(); ok {
				t.Errorf("a call without a deadline has one: %v", at)
			}
			return nil
		})(t.Context(), nil)
	})
}
