package main

import (
	"bufio"
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/figure"
	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/lane"
)

// admission runs the Go benchmarks of one admission when nobody waits: of the
// scheduler alone, and of a lane, where the organization and the address both pay.
func admission(ctx context.Context, r *run) error {
	for _, b := range []struct{ what, name, room string }{
		{"one budget (ratelimit.Local.Take)", "BenchmarkAdmit", "ratelimit"},
		{"organization and address (a lane)", "BenchmarkAdmission", "service/lane"},
	} {
		r.progress.says("go test -bench %s ./%s", b.name, b.room)
		took, allocs, err := goBenchmark(ctx, b.name, b.room, r.number(10, 2))
		if err != nil {
			return err
		}
		aim := figure.AtMost(125)
		r.figure(b.what+", fastest of the runs", took.Percentile(0), figure.Nanos, aim)
		r.figure(b.what+", half of the runs", took.Percentile(50), figure.Nanos, figure.Aim{})
		r.figure(b.what+", allocations", allocs.Max(), figure.Count, figure.AtMost(0))
	}
	r.progress.says("idle organizations")
	organizations := r.number(100_000, 10_000)
	each, err := idleOrganizations(ctx, organizations)
	if err != nil {
		return err
	}
	r.figure(fmt.Sprintf("memory of each of %d idle organizations", organizations), each, figure.Bytes, figure.AtMost(1024))
	r.measured()
	r.note("The aim is held against the fastest run: whatever else the machine does can only make a run slower.")
	r.note("An idle organization has made one call and has its lane, its budget and what else the broker keeps; answers kept for reuse and the record of attempts have bounds of their own and are left out.")
	return nil
}

// goBenchmark runs a Go benchmark some times, for nanoseconds and allocations.
func goBenchmark(ctx context.Context, name, room string, times int) (took, allocs figure.Sample, err error) {
	test := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^"+name+"$", "-benchmem", "-benchtime", "300ms",
		"-count", strconv.Itoa(times), "github.com/merakibroker/merakibroker/"+room)
	out, err := test.CombinedOutput()
	if err != nil {
		return nil, nil, fmt.Errorf("go test -bench %s (run this from within the module): %w: %s", name, err, lastLines(string(out), 3))
	}
	took, allocs = benchmarkLines(string(out), name)
	if len(took) == 0 {
		return nil, nil, fmt.Errorf("go test -bench %s: there is no such benchmark in %s", name, room)
	}
	return took, allocs, nil
}

// benchmarkLines reads what go test -bench -benchmem prints:
//
//	BenchmarkAdmit-2   12934892   92.3 ns/op   0 B/op   0 allocs/op
func benchmarkLines(out, name string) (took, allocs figure.Sample) {
	lines := bufio.NewScanner(strings.NewReader(out))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 {
			continue
		}
		if first, _, _ := strings.Cut(fields[0], "-"); first != name {
			continue
		}
		for i := 3; i < len(fields); i += 2 {
			v, err := strconv.ParseFloat(fields[i-1], 64)
			if err != nil {
				continue
			}
			switch fields[i] {
			case "ns/op":
				took = append(took, v)
			case "allocs/op":
				allocs = append(allocs, v)
			}
		}
	}
	return took, allocs
}

// An instant is a Dashboard that answers at once.
type instant struct{}

func (instant) Attempt(context.Context, *dashboard.Request) *dashboard.Result {
	return &dashboard.Result{Outcome: fault.OK, Status: 200, Body: []byte("{}"), Start: time.Now()}
}

// idleOrganizations makes a call for each of many organizations, and gives what
// each of them has left behind, in bytes.
func idleOrganizations(ctx context.Context, n int) (float64, error) {
	served, err := contract.Load()
	if err != nil {
		return 0, err
	}
	m := served.Operation(question)
	if m == nil {
		return 0, fmt.Errorf("the contract has no operation %s", question)
	}
	b, err := broker.New(broker.Config{
		Dashboard: instant{}, CacheBytes: -1,
		Budgets: lane.Config{
			Scheduler: ratelimit.NewLocal(), Lanes: n,
			AddressRate: 1e6, AddressBurst: 1e6, // the address is not what this is about
		},
	})
	if err != nil {
		return 0, err
	}
	defer b.Close()
	key := dashboard.NewKey("any")
	before := heap()
	for i := range n {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		id := strconv.Itoa(100_000 + i)
		if _, err := b.Do(ctx, &broker.Call{
			Operation: m.Operation, Caller: "one", Priority: ratelimit.Normal, ID: id, Key: key,
			Path: "/organizations/" + id + "/inventory/devices/Q2XX",
		}); err != nil {
			return 0, err
		}
	}
	each := (heap() - before) / float64(n)
	runtime.KeepAlive(b)
	return each, nil
}

func heap() float64 {
	runtime.GC()
	runtime.GC() // the first one only finds what finalizers let go
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
