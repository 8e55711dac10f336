package service

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
)

// TestFailuresAreSampled: a storm of what is the caller's to mend is a few lines that
// say how many they stand for, and none of them is a warning; a failure of another
// kind in the middle of it is not lost.
func TestFailuresAreSampled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		s := &Server{log: slog.New(slog.NewTextHandler(&out, nil))}
		fail := func(kind fault.Kind, n int) {
			for range n {
				f := &fault.Error{Kind: kind}
				st, _ := failureOf(f, about{}).leave()
				s.logFailure(t.Context(), &rpcCall{rpc: "/test/Call", caller: "shop"}, &reported{Status: st, fault: f}, time.Millisecond)
			}
		}
		for _, kind := range []fault.Kind{fault.BudgetExhausted, fault.NotFound, fault.BadRequest, fault.CallerNotAllowed, fault.DeadlineExceeded} {
			fail(kind, 1000)
		}
		fail(fault.Unreachable, 1)
		fail(fault.Internal, 1)
		count := func(text string) int { return strings.Count(out.String(), text) }
		if all, warn, err := count("call failed"), count("level=WARN"), count("level=ERROR"); all != 5*fault.LogLines+2 || warn != 1 || err != 1 {
			t.Errorf("%d lines, %d of them warnings and %d errors", all, warn, err)
		}
		time.Sleep(fault.LogWindow)
		fail(fault.NotFound, 1)
		if want := fmt.Sprint("skipped_before=", 1000-fault.LogLines); count(want) != 1 {
			t.Errorf("no line says %s", want)
		}
	})
}

// TestGRPCsOwnRefusalsAreSampled too: a client that calls what does not exist.
func TestGRPCsOwnRefusalsAreSampled(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := &Server{log: slog.New(slog.NewTextHandler(&out, nil))}
	for range 100 {
		s.logFailure(t.Context(), new(rpcCall), errors.New("unknown"), time.Millisecond)
	}
	if got := strings.Count(out.String(), "call failed"); got != fault.LogLines {
		t.Errorf("%d lines", got)
	}
}
