package rest

import (
	"fmt"
	"testing"
)

// TestLoadIsBounded: for one caller, and for all; one alone is never too much for its
// caller, and what has ended makes room.
func TestLoadIsBounded(t *testing.T) {
	l := load{caller: bound{requests: 3, bytes: 100}, all: bound{requests: 5, bytes: 300}, refusal: answersNotRead}
	var leave []func()
	enter := func(caller string, bytes int64, want bool) {
		t.Helper()
		out, f := l.enter(caller, bytes)
		if (f == nil) != want {
			t.Errorf("%s with %d: %v", caller, bytes, f)
		}
		if f == nil {
			leave = append(leave, out)
		}
	}
	enter("a", 150, true)
	enter("a", 1, false)
	enter("b", 160, false)
	enter("b", 150, true)
	enter("c", 1, false)
	for _, f := range leave {
		f()
	}
	if len(l.callers) > 0 || l.total != (bound{}) {
		t.Errorf("left over: %v %v", l.callers, l.total)
	}
	for i := range 3 {
		enter("a", 0, true)
		enter(fmt.Sprint("b", i), 0, i < 2)
	}
	enter("a", 0, false)
}
