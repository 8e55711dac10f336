package ratelimit

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	dashboard := Limit{Rate: 10, Burst: 10}
	for _, c := range []struct {
		rate, burst float64
		jitter      time.Duration
		limit       Limit
		says        string // nothing for right
	}{
		{10, 8, 200 * time.Millisecond, dashboard, ""},
		{8, 8, 250 * time.Millisecond, dashboard, ""},
		{100, 80, 200 * time.Millisecond, Limit{100, 100}, ""},
		{10, 10, 0, dashboard, ""},
		{10, 9, 200 * time.Millisecond, dashboard, "burst 9 + rate 10/s x jitter 0.2s = 9 + 2 = 11, above the burst of 10 that is accepted: lower the burst to 8"},
		{10, 8, 300 * time.Millisecond, dashboard, "= 8 + 3 = 11"},
		{11, 1, 0, dashboard, "above the 10/s"},
		{0, 8, 0, dashboard, "must be above 0"},
		{math.NaN(), 8, 0, dashboard, "must be above 0"},
		{10, math.NaN(), 0, dashboard, "at least 1"},
		{10, 0.5, 0, dashboard, "at least 1"},
		{10, 8, -1, dashboard, "not below 0"},
		{10, 8, time.Hour, dashboard, "lower the burst to 0"},
	} {
		err := Check(c.rate, c.burst, c.jitter, c.limit)
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%g/s, %g, %v: %v", c.rate, c.burst, c.jitter, err)
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%g/s, %g, %v: %v, want it to say %q", c.rate, c.burst, c.jitter, err, c.says)
		}
	}
}

func TestPriority(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		want Priority
		ok   bool
	}{
		{"critical", Critical, true}, {"Normal", Normal, true}, {"BULK", Bulk, true},
		{"", Normal, true}, {"urgent", Normal, false}, {"critical ", Normal, false},
	} {
		if got, ok := ParsePriority(c.name); got != c.want || ok != c.ok {
			t.Errorf("ParsePriority(%q) = %v, %v", c.name, got, ok)
		}
	}
	if Critical >= Normal || Normal >= Bulk {
		t.Error("the order of the priorities is that of their numbers")
	}
	if got := Priority(9).String(); got != "priority 9" {
		t.Errorf("an unknown priority is %q", got)
	}
}

func TestShare(t *testing.T) {
	t.Parallel()
	for weight, want := range map[float64]float64{0: 1, -3: 1, 0.5: 0.5, 3: 3, math.Inf(1): heaviest} {
		if got := (Waiting{Weight: weight}).Share(); got != want {
			t.Errorf("a weight of %g counts as %g, want %g", weight, got, want)
		}
	}
	if got := (Waiting{Weight: math.NaN()}).Share(); got != 1 {
		t.Errorf("no number counts as %g", got)
	}
}
