package main

import (
	"context"
	"fmt"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/sandbox"
	"github.com/merakibroker/merakibroker/service/store/storetest"
	"github.com/merakibroker/merakibroker/service/usage"
)

// TestUsageOfThreeReplicas: what the sandbox has counted is what is on record is the usage
// by any grouping, whichever replica is asked; a replica that is killed takes along no more
// than it has counted since it last wrote; without the store there is still this replica's
// own part, and the answer says so.
func TestUsageOfThreeReplicas(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	contracts, err := contract.Load()
	if err != nil {
		t.Fatal(err)
	}
	dashboard, err := sandbox.New(contracts, sandbox.Options{LimitsOff: true, Organizations: 3})
	if err != nil {
		t.Fatal(err)
	}
	upstream := httptest.NewServer(dashboard.Handler())
	t.Cleanup(upstream.Close)
	redis := storetest.Serve(t, "--maxmemory-policy", "noeviction")
	var processes [3]*process
	var replicas [3]brokerv1.BrokerServiceClient
	for i := range replicas {
		p := launch(t, fmt.Sprintf(`upstream: %s/api/v1
simulated: true
budget: {rate: 1000, address_rate: 1000, burst: 1000, cautious_rate: 1000}
store: {addresses: ['%s'], replicas: 3}
identity: {linkerd_client_id: {trusted: [127.0.0.1]}}
policy: [{name: all, callers: ['*'], organizations: ['*'], operations: [{section: '*', verbs: [read]}, {rpc: '*'}, {rpc: Call, verbs: [read]}]}]
drain: {settle: 0s}
`, upstream.URL, redis.Address()))
		conn, err := grpc.NewClient(p.listen, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		processes[i], replicas[i] = p, brokerv1.NewBrokerServiceClient(conn)
	}
	as := func(caller int) context.Context {
		return metadata.AppendToOutgoingContext(ctx, "l5d-client-id", fmt.Sprintf("c%d.shop.serviceaccount.identity.linkerd.cluster.local", caller))
	}
	call := func(replica, i int) {
		path := "/organizations/" + dashboard.OrganizationID(i%3)
		switch i % 4 {
		case 1:
			path += "/networks"
		case 2:
			path = "/networks/" + dashboard.NetworkID(i%3, 0)
		case 3:
			path = "/devices/" + dashboard.Serial(i%3, 0, i%2)
		}
		if _, err := replicas[replica].Call(as(i%5), &brokerv1.CallRequest{Method: "GET", Path: path}); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	ask := func(replica int, by ...brokerv1.UsageGroup) *brokerv1.GetUsageResponse {
		t.Helper()
		u, err := replicas[replica].GetUsage(as(0), &brokerv1.GetUsageRequest{GroupBy: by})
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	onRecord := func(replica int) (n int64) {
		list, err := replicas[replica].ListAttempts(as(0), &brokerv1.ListAttemptsRequest{PageSize: 1000})
		if err != nil {
			t.Fatal(err)
		}
		return int64(len(list.GetItems()))
	}
	// agree waits until a replica has heard of all, and holds every grouping against that.
	agree := func(replica int, least, most int64) *brokerv1.GetUsageResponse {
		t.Helper()
		u := ask(replica)
		for u.GetTotal().GetAttempts() < least {
			select {
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
				t.Fatalf("replica %d has heard of %v, want %d", replica, u, least)
			}
			u = ask(replica)
		}
		total := u.GetTotal().GetAttempts()
		for g := range 8 {
			var by []brokerv1.UsageGroup
			for bit := range 3 {
				if g&(1<<bit) != 0 {
					by = append(by, brokerv1.UsageGroup(bit+1))
				}
			}
			u := ask(replica, by...)
			sum := u.GetOther().GetAttempts()
			for _, r := range u.GetRows() {
				sum += r.GetFigures().GetAttempts()
			}
			if sum != total || total > most || len(u.GetReplicas()) != 3 || u.GetIncomplete() != "" {
				t.Errorf("replica %d by %v: %d, total %d of %d to %d: %v", replica, by, sum, total, least, most, u)
			}
		}
		return u
	}

	var all sync.WaitGroup
	for replica := range replicas {
		all.Go(func() {
			for i := range 60 {
				call(replica, i)
			}
		})
	}
	all.Wait()
	arrived := int64(dashboard.Stats().Total.Arrived)
	if n := onRecord(0) + onRecord(1) + onRecord(2); n != arrived || arrived < 180 {
		t.Fatalf("%d on record, %d arrived", n, arrived)
	}
	for replica := range replicas {
		agree(replica, arrived, arrived)
	}

	// What the third counts from here on it may not have written when it is killed.
	for i := range 20 {
		call(2, i)
	}
	after := int64(dashboard.Stats().Total.Arrived)
	_ = processes[2].command.Process.Kill()
	<-processes[2].ended
	u := agree(0, arrived, after)
	t.Logf("%d arrived; the replica that was killed took along %d of the %d of its last moment; it writes every %v", after, after-u.GetTotal().GetAttempts(), after-arrived, usage.Every)
	for i := range 20 {
		call(1, i)
	}
	more := int64(dashboard.Stats().Total.Arrived) - after
	agree(0, u.GetTotal().GetAttempts()+more, u.GetTotal().GetAttempts()+more)

	redis.Kill()
	own := ask(0)
	if own.GetIncomplete() == "" || own.GetTotal().GetAttempts() != onRecord(0) || len(own.GetReplicas()) != 1 {
		t.Errorf("without the store: %v; %d on record", own, onRecord(0))
	}
}
