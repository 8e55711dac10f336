package broker

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
)

// BenchmarkAdmission is the decision for a call that finds its lane empty: the
// organization's slot and the address's.
func BenchmarkAdmission(b *testing.B) {
	broker := testBroker(b, &fakeDashboard{}, func(c *Config) {
		c.Rate, c.Burst, c.AddressRate, c.AddressBurst = 1e6, 1e6, 1e6, 1e6
	})
	defer broker.Close()
	l := broker.lanes.organization("1")
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Microsecond)
		if !l.take(now) {
			b.Fatal("refused")
		}
	}
}

// BenchmarkDo is a whole call without the Dashboard.
func BenchmarkDo(b *testing.B) {
	broker := testBroker(b, &fakeDashboard{}, func(c *Config) {
		c.Rate, c.Burst, c.AddressRate, c.AddressBurst = 1e6, 1e6, 1e6, 1e6
	})
	defer broker.Close()
	c := read("1", 1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := broker.Do(b.Context(), c); err != nil {
			b.Fatal(err)
		}
	}
}

func TestAdmissionAllocatesNothing(t *testing.T) {
	broker := testBroker(t, &fakeDashboard{}, func(c *Config) {
		c.Rate, c.Burst, c.AddressRate, c.AddressBurst = 1e6, 1e6, 1e6, 1e6
	})
	defer broker.Close()
	l := broker.lanes.organization("1")
	if n := testing.AllocsPerRun(1000, func() { l.take(time.Now()) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestIdleOrganizationsAreSmall(t *testing.T) {
	const many = 20_000
	broker := testBroker(t, &fakeDashboard{}, func(c *Config) { c.Lanes = many })
	defer broker.Close()
	memory := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := memory()
	for i := range many {
		broker.lanes.organization(fmt.Sprint(i)).take(time.Now())
	}
	each := (memory() - before) / many
	t.Logf("%d bytes an organization", each)
	if each > 1024 {
		t.Errorf("an idle organization takes %d bytes", each)
	}
	runtime.KeepAlive(broker)
}

func TestManyBusyLanes(t *testing.T) {
	const lanes = 2000 // 10,000 do as well, but take their time under the race detector
	d := &fakeDashboard{}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		var wg sync.WaitGroup
		for i := range lanes {
			for n := range 2 { // the second one waits
				wg.Go(func() {
					c := read(fmt.Sprint(i), n)
					c.Priority = ratelimit.Bulk
					if _, err := b.Do(t.Context(), c); err != nil {
						t.Error(err)
					}
				})
			}
		}
		wg.Wait()
		synctest.Wait()
		for _, l := range b.lanes.all() {
			l.mu.Lock()
			if l.driving || l.queue.length > 0 {
				t.Errorf("lane %s is still driven", l.budget.Key)
			}
			l.mu.Unlock()
		}
	}, func(c *Config) { c.Burst, c.AddressRate, c.AddressBurst = 1, 1e6, 1e6 })
}
