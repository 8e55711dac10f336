package broker

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
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

// A bareDashboard answers at once and remembers nothing.
type bareDashboard struct{ body []byte }

func (d bareDashboard) Attempt(context.Context, *dashboard.Request) *dashboard.Answer {
	return &dashboard.Answer{Outcome: fault.OK, Status: 200, Body: d.body, Start: time.Now(), MaybeExecuted: true}
}

// BenchmarkDo is a whole call without the Dashboard: one that teaches nothing, and
// one whose answer lists devices.
func BenchmarkDo(b *testing.B) {
	devices := []string{}
	for i := range 20 {
		devices = append(devices, fmt.Sprintf(`{"name":"My AP %d","serial":"Q234-ABCD-%04d","mac":"00:11:22:33:44:55","networkId":"N_24329156","productType":"wireless","model":"MR34","address":"1600 Pennsylvania Ave","lat":37.4180951010362,"lng":-122.098531723022,"notes":"My AP's note","tags":["recently-added"],"lanIp":"1.2.3.4","configurationUpdatedAt":"2018-02-11T00:00:00.090210Z","firmware":"wireless-25-14"}`, i, i))
	}
	for _, c := range []struct{ name, operation, body string }{
		{"plain", "getOrganization", `{"id":"1"}`},
		{"devices", "getOrganizationDevices", "[" + strings.Join(devices, ",") + "]"},
	} {
		b.Run(c.name, func(b *testing.B) {
			broker := testBroker(b, nil, func(to *Config) {
				to.Dashboard = bareDashboard{[]byte(c.body)}
				to.Rate, to.Burst, to.AddressRate, to.AddressBurst = 1e6, 1e6, 1e6, 1e6
			})
			defer broker.Close()
			call := read("1", 1)
			call.Operation = operation(c.operation, apiv1.Verb_VERB_GET, apiv1.Scope_SCOPE_ORGANIZATION)
			ctx, cancel := context.WithTimeout(b.Context(), time.Hour)
			defer cancel()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := broker.Do(ctx, call); err != nil {
					b.Fatal(err)
				}
			}
		})
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
