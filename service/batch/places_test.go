package batch

import (
	"slices"
	"testing"

	"github.com/merakibroker/merakibroker/service/broker"
)

// TestUnderWay: organizations with batches or with lists that wait are told, and gone
// when nothing is left.
func TestUnderWay(t *testing.T) {
	b := build(t, new(broker.Broker), 2)
	one, two := b.of("1"), b.of("2")
	b.of("3")
	var leaves []func()
	for _, caller := range []string{"a", "b"} {
		leave, err := one.take(t.Context(), caller)
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, leave)
	}
	leave, err := two.take(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	got := b.UnderWay(10)
	if len(got) != 2 || got[0].Organization != "1" || got[0].Batches != 2 || got[0].Places != 2 || !slices.Equal(got[0].Callers, []string{"a", "b"}) || got[1].Batches != 1 {
		t.Errorf("%+v", got)
	}
	if got := b.UnderWay(1); len(got) != 1 {
		t.Errorf("%+v", got)
	}
	for _, leave := range append(leaves, leave) {
		leave()
	}
	if got := b.UnderWay(10); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}
