package service_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/merakibroker/merakibroker/service/sandbox"
)

// each runs f for 0..n-1 on a bounded number of goroutines.
func each(n, workers int, f func(i int)) {
	var next atomic.Int64
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				f(i)
			}
		})
	}
	group.Wait()
}

// TestNoWriteIsExecutedTwice sends 10,000 writes that must not be repeated
// through a Dashboard of which every fifth answer goes wrong, in every way that
// the sandbox knows, resets after execution among them. What the caller is told
// has to agree with what was really done.
func TestNoWriteIsExecutedTwice(t *testing.T) {
	// Many organizations, because a 429 stops the lane of one for a second.
	const writes, storms = 10_000, 500
	h := build(t, plan{broker: fast, sandbox: sandbox.Options{
		LimitsOff: true, AddressRate: -1, Organizations: storms, NetworksPerOrganization: 1, DevicesPerNetwork: 1, Seed: 7,
		Faults: mix(0.2, sandbox.EveryFault()),
	}})
	codesOf := make([]codes.Code, writes)
	path := func(i int) string { return h.sandbox.NetworkID(i%storms, 0) }
	each(writes, 128, func(i int) {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		_, err := h.call(withOrganization(ctx, h.sandbox.OrganizationID(i%storms)), t, "createNetworkGroupPolicy",
			map[string]any{"network_id": path(i), "name": fmt.Sprint("policy ", i)})
		codesOf[i] = status.Code(err)
	})
	seen := make(map[codes.Code]int)
	twice, unknownDone := 0, 0
	for i, code := range codesOf {
		seen[code]++
		body, _ := json.Marshal(map[string]string{"name": fmt.Sprint("policy ", i)})
		done := h.sandbox.Executed("POST", "/networks/"+path(i)+"/groupPolicies", body)
		if done > 1 {
			twice++
		}
		switch {
		case code == codes.OK && done != 1:
			t.Errorf("write %d: OK, executed %d times", i, done)
		case code == codes.Unknown && done > 1:
			t.Errorf("write %d: UNKNOWN, executed %d times", i, done)
		case code == codes.Unknown:
			unknownDone += done
		case code != codes.OK && done != 0:
			t.Errorf("write %d: %v, executed %d times", i, code, done)
		}
	}
	t.Logf("%d writes: %v; executed twice: %d; unknown and executed: %d", writes, seen, twice, unknownDone)
	if seen[codes.OK] < writes*3/4 || seen[codes.Unknown] == 0 {
		t.Errorf("the storm was not one: %v", seen)
	}
}

// TestNoReadIsLost sends 10,000 reads through a Dashboard of which every fifth
// answer goes wrong for a moment.
func TestNoReadIsLost(t *testing.T) {
	const reads, storms = 10_000, 500
	h := build(t, plan{broker: fast, sandbox: sandbox.Options{
		LimitsOff: true, AddressRate: -1, Organizations: storms, NetworksPerOrganization: 1, DevicesPerNetwork: 1, Seed: 8,
		Faults: mix(0.2, sandbox.TransientFaults()),
	}})
	var ok atomic.Int64
	var mu sync.Mutex
	lost := make(map[string]int)
	each(reads, 128, func(i int) {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		_, err := h.call(ctx, t, "getOrganizationNetworks", map[string]any{
			"organization_id": h.sandbox.OrganizationID(i % storms), "per_page": int64(3 + i/storms),
		})
		if err == nil {
			ok.Add(1)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		lost[err.Error()]++
	})
	share := float64(ok.Load()) / reads
	t.Logf("%d reads, %.3f %% OK, %.2f attempts a call", reads, 100*share, float64(h.broker.Attempts())/reads)
	if share < 0.999 {
		t.Errorf("%.3f %% of the reads were answered, want 99.9 %%: lost %v", 100*share, lost)
	}
}

// mix makes the faults equally likely, but for 429s: each stops the lane of an
// organization for a second, and the test is about what is executed.
func mix(share float64, faults []sandbox.Fault) sandbox.Mix {
	m := sandbox.Mix{Share: share}
	for _, f := range faults {
		weight := 1.0
		if f.Status == http.StatusTooManyRequests {
			weight = 0.1
		}
		m.Kinds = append(m.Kinds, sandbox.Weighted{Fault: f, Weight: weight})
	}
	return m
}
