package ratelimit

import (
	"context"
	"runtime"
	"strconv"
	"testing"
	"time"
)

// BenchmarkAdmit is one decision when nobody waits. To compare with: 125 ns.
func BenchmarkAdmit(b *testing.B) {
	l := NewLocal()
	budget := Budget{Key: "organization:1", Rate: 1e9, Burst: 1e6}
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Microsecond)
		if !l.Take(now, budget) {
			b.Fatal("no slot")
		}
	}
}

// BenchmarkAdmitParallel is the same from several goroutines.
func BenchmarkAdmitParallel(b *testing.B) {
	l := NewLocal()
	budget := Budget{Key: "organization:1", Rate: 1e9, Burst: 1e6}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			l.Take(start, budget)
		}
	})
}

// BenchmarkPull is a pull of four classes that wait.
func BenchmarkPull(b *testing.B) {
	l := NewLocal()
	ask := Ask{Budget: Budget{Key: "organization:1", Rate: 10, Burst: 8}}
	for i := range 4 {
		ask.Waiting = append(ask.Waiting, Waiting{Class: Class{Normal, strconv.Itoa(i)}, Count: 10})
	}
	now := start
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(100 * time.Millisecond)
		if _, err := l.Pull(context.Background(), now, ask); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkClasses is a pull of one slot for which many classes wait.
func BenchmarkClasses(b *testing.B) {
	for _, classes := range []int{1, 8, 64, 200, 1000} {
		b.Run(strconv.Itoa(classes), func(b *testing.B) {
			l := NewLocal()
			ask := Ask{Budget: Budget{Key: "organization:1", Rate: 10, Burst: 8}}
			for i := range classes {
				ask.Waiting = append(ask.Waiting, Waiting{Class: Class{Normal, strconv.Itoa(i)}, Count: 10})
			}
			now := start
			for b.Loop() {
				now = now.Add(100 * time.Millisecond)
				if _, err := l.Pull(context.Background(), now, ask); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkIdleBudgets is the memory of an organization that has been used.
func BenchmarkIdleBudgets(b *testing.B) {
	const budgets = 100_000
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		l := NewLocal()
		for i := range budgets {
			ask := Ask{
				Budget:  Budget{Key: "organization:" + strconv.Itoa(i), Rate: 10, Burst: 8},
				Waiting: []Waiting{{Class: Class{Normal, "inventory"}, Count: 1}},
			}
			if _, err := l.Pull(context.Background(), start, ask); err != nil {
				b.Fatal(err)
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if l.Budgets() != budgets {
			b.Fatal(l.Budgets())
		}
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/budgets, "B/budget")
		runtime.KeepAlive(l)
	}
}
