package ratelimit

import (
	"context"
	"testing"
	"time"
)

// FuzzBound reads a sequence of steps from bytes: whatever it is, no
// more is granted than burst + rate x t.
func FuzzBound(f *testing.F) {
	f.Add([]byte{0, 9, 10, 1, 9, 200, 2, 5, 30, 3, 3, 3, 4, 0, 1, 0, 9, 9})
	f.Add([]byte{5, 0, 0, 5, 0, 0, 0, 50, 1, 5, 0, 255, 3, 8, 0, 0, 50, 0})
	f.Fuzz(func(t *testing.T, steps []byte) {
		l := NewLocal()
		ctx := context.Background()
		now, level := start, organization.Burst
		for ; len(steps) >= 3; steps = steps[3:] {
			d := time.Duration(steps[2]) * 3 * time.Millisecond
			now = now.Add(d)
			level = min(organization.Burst, level+organization.Rate*d.Seconds())
			granted := 0
			switch n := int(steps[1]); steps[0] % 6 {
			case 0, 1:
				g, _ := l.Pull(ctx, now, Ask{
					Budget: organization, Most: n % 7,
					Waiting: []Waiting{
						{Class: Class{Priority(n % 3), "a"}, Count: n, Weight: float64(n) / 16},
						{Class: Class{Priority(n % 2), "b"}, Count: n / 2},
					},
				})
				granted = len(g.Classes)
				if n%4 == 0 {
					l.Refund(ctx, now, organization, granted, now)
					granted = 0
				}
				if g.Again < -1 || g.Again > 2*time.Second && !now.Before(g.State.StoppedUntil) {
					t.Errorf("again in %v", g.Again)
				}
			case 2:
				l.Stop(ctx, now, organization, time.Duration(n)*10*time.Millisecond)
			case 3:
				l.Succeed(ctx, now, organization)
			case 4:
				l.Hold(now, organization, now.Add(time.Duration(n)*time.Millisecond))
			case 5:
				if l.Take(now, organization) {
					granted = 1
				}
			}
			if level -= float64(granted); level < -1e-3 {
				t.Fatalf("%g slots above the bound", -level)
			}
			if s := l.Peek(now, organization); s.Rate > s.Ceiling || s.Rate < floor || s.Tokens > s.Burst {
				t.Fatalf("state %+v", s)
			}
		}
	})
}
