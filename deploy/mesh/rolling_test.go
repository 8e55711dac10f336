//go:build mesh

package mesh

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	organizationsv1 "github.com/merakibroker/merakibroker/gen/meraki/organizations/v1"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

// TestRollingRestartLosesNoCall restarts three replicas one after the other, as a
// Deployment does, while callers go on calling through their sidecar.
func TestRollingRestartLosesNoCall(t *testing.T) {
	t.Run("slots are there", func(t *testing.T) {
		n, _ := roll(t, 12, "normal")
		t.Logf("%d calls, none lost", n)
	})
	// So many that calls wait longer than a replica settles: those that still wait
	// when it closes its lanes are sent to another one.
	t.Run("calls wait for slots", func(t *testing.T) {
		n, retried := roll(t, 180, "bulk")
		if retried == 0 {
			t.Error("no call waited long enough to be sent to another replica")
		}
		t.Logf("%d calls, %d sent to another replica, none lost", n, retried)
	})
}

// roll gives the number of calls, and of those that the sidecar sent again.
func roll(t *testing.T, callers int, priority string) (int, int) {
	t.Setenv("MERAKI_DASHBOARD_API_KEY", "the-sandbox-takes-any")
	a := newAuthority(t)
	// Without a shared store each replica spends the whole budget, so the limits are off.
	_, upstream := dashboard(t, sandbox.Options{LimitsOff: true, Organizations: 1, Latency: 100 * time.Millisecond})
	self := a.workload(t, brokerID)
	var replicas []*replica
	var ports []int
	for range 3 {
		r := newReplica(t, upstream, self)
		replicas, ports = append(replicas, r), append(ports, r.inbound)
	}
	conn := outbound(t, a.workload(t, ordersID), ports, nil)
	organizations := organizationsv1.NewOrganizationsServiceClient(conn)
	all, err := organizations.GetOrganizations(within(t, 10*time.Second), &organizationsv1.GetOrganizationsRequest{})
	if err != nil {
		t.Fatal(err)
	}

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var running sync.WaitGroup
	var mu sync.Mutex
	done, lost := 0, []string(nil)
	for caller := range callers {
		running.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				// A call has its own end: the load's must not look like a loss.
				one, cancel := context.WithTimeout(context.Background(), 50*time.Second)
				one = metadata.AppendToOutgoingContext(one, "meraki-priority", priority)
				_, err := organizations.GetOrganizationDevices(one, &organizationsv1.GetOrganizationDevicesRequest{
					OrganizationId: all.GetItems()[0].Id, PerPage: proto.Int64(int64(3 + (caller*5+i)%1000)),
				})
				cancel()
				mu.Lock()
				done++
				if err != nil {
					lost = append(lost, fmt.Sprint(time.Now().Format("05.000 "), err))
				}
				mu.Unlock()
			}
		})
	}
	for i, r := range replicas {
		serving(t, ctx, &mu, &done)
		r.broker.stop(t)
		if r.broker.err != nil {
			t.Errorf("replica %d ended with %v", i, r.broker.err)
		}
		r.start(t)
	}
	serving(t, ctx, &mu, &done)
	stop()
	running.Wait()
	if len(lost) > 0 || done < 100 {
		t.Errorf("of %d calls %d were lost: %v; the sidecar sent %d again, and %d not because it had too many under way, %d not because they had been sent often enough",
			done, len(lost), lost[:min(5, len(lost))], conn.count(t, "cluster.broker.upstream_rq_retry"),
			conn.count(t, "cluster.broker.upstream_rq_retry_overflow"), conn.count(t, "cluster.broker.upstream_rq_retry_limit_exceeded"))
	}
	return done, conn.count(t, "cluster.broker.upstream_rq_retry")
}

// serving waits until calls have gone on for a while, so that the sidecars have
// seen the replica come back before the next one goes.
func serving(t *testing.T, ctx context.Context, mu *sync.Mutex, done *int) {
	t.Helper()
	mu.Lock()
	from := *done
	mu.Unlock()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	since := time.Now()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		mu.Lock()
		n := *done - from
		mu.Unlock()
		if n >= 20 && time.Since(since) > 3*time.Second {
			return
		}
	}
}
