package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

// A result is the answer that a call got.
type result struct {
	network, name string
	begun         time.Time
	code          codes.Code
	reason        string
}

// TestSIGTERMUnderLoad: every call gets one answer that agrees with what was done
// at the Dashboard; what comes while meshes notice is served; after that nothing is
// sent that was not on its way; and the end comes in time.
func TestSIGTERMUnderLoad(t *testing.T) {
	const (
		organizations, workers = 30, 60
		latency                = 150 * time.Millisecond
		settle                 = time.Second
		// slack is what a busy machine may take for what was given its slot before: less
		// than those that wait would take if they were sent.
		slack = 500 * time.Millisecond
	)
	c, err := contract.Load()
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var arrivals []time.Time
	box, err := sandbox.New(c, sandbox.Options{
		LimitsOff: true, Organizations: organizations, NetworksPerOrganization: 1, DevicesPerNetwork: 1, Latency: latency,
		Observe: func(a sandbox.Arrival) {
			mu.Lock()
			defer mu.Unlock()
			arrivals = append(arrivals, a.Time)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	upstream := httptest.NewServer(box.Handler())
	t.Cleanup(upstream.Close)
	p := launch(t, fmt.Sprintf("upstream: %s/api/v1\nsimulated: true\nbudget: {rate: 20, burst: 4, address_rate: 10000}\ndrain: {settle: %s, timeout: 20s}\n", upstream.URL, settle))

	conn, err := grpc.NewClient(p.listen, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	m := c.Operation("createNetworkGroupPolicy")
	call := func(organization int, name string) result {
		r := result{network: box.NetworkID(organization, 0), name: name, begun: time.Now()}
		in := dynamicpb.NewMessage(m.Descriptor.Input())
		in.Set(in.Descriptor().Fields().ByName("network_id"), protoreflect.ValueOfString(r.network))
		in.Set(in.Descriptor().Fields().ByName("name"), protoreflect.ValueOfString(name))
		ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), "meraki-organization-id", box.OrganizationID(organization)), 15*time.Second)
		defer cancel()
		var trailer metadata.MD
		err := conn.Invoke(ctx, m.Name, in, dynamicpb.NewMessage(m.Descriptor.Output()), grpc.Trailer(&trailer))
		r.code = status.Code(err)
		if v := trailer.Get("meraki-reason"); len(v) > 0 {
			r.reason = v[0]
		}
		return r
	}
	// A third of the workers ask for more of one organization than it may have, so
	// that some always wait; the others spread over the rest. Each goes on until it
	// is sent away.
	var results []result
	var served atomic.Int64
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := 0; ; i++ {
				organization := 0
				if w%3 > 0 {
					organization = 1 + (w+i*7)%(organizations-1)
				}
				r := call(organization, fmt.Sprint("policy ", w, " ", i))
				mu.Lock()
				results = append(results, r)
				mu.Unlock()
				if r.code != codes.OK {
					return
				}
				served.Add(1)
			}
		})
	}
	for served.Load() < 200 && t.Context().Err() == nil {
		_ = call(organizations-1, fmt.Sprint("waiting ", served.Load())) // as good a way to wait as any
	}
	terminated := time.Now()
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for p.get(t.Context(), "/readyz") == http.StatusOK {
		if time.Since(terminated) > settle {
			t.Error("a replica that is about to stop says that it is ready")
			break
		}
	}
	if err := <-p.ended; err != nil {
		t.Errorf("merakid ended with %v", err)
	}
	took := time.Since(terminated)
	group.Wait()
	drained := p.moment("draining: what waits is refused")

	late := 0
	for _, at := range arrivals {
		// What was given its slot before is on its way: to the processor, and to here.
		if at.After(drained.Add(slack)) {
			late++
		}
	}
	told := make(map[string]int)
	whileNoticing := 0
	for _, r := range results {
		body, _ := json.Marshal(map[string]string{"name": r.name})
		done := box.Executed(http.MethodPost, "/networks/"+r.network+"/groupPolicies", body)
		told[r.code.String()+" "+r.reason]++
		switch {
		case r.code == codes.OK && done == 1:
			if r.begun.After(terminated) && r.begun.Before(drained) {
				whileNoticing++
			}
		case r.code == codes.Unavailable && done == 0 && slices.Contains([]string{"DRAINING", ""}, r.reason):
		default:
			t.Errorf("%s: %v %s, executed %d times", r.name, r.code, r.reason, done)
		}
	}
	t.Logf("%d calls: %v; %d of them served while meshes noticed; %d requests arrived late; stopped after %v", len(results), told, whileNoticing, late, took.Round(time.Millisecond))
	if late > 0 || whileNoticing == 0 || told["Unavailable DRAINING"] == 0 {
		t.Error("this was not the drain that was meant")
	}
	if took > settle+15*time.Second {
		t.Errorf("it took %v to stop", took)
	}
}

// TestSIGHUPDrains as SIGTERM does: it is what a closed terminal and some supervisors send.
func TestSIGHUPDrains(t *testing.T) {
	t.Parallel()
	p := launch(t, "sandbox: true\nlog: {format: json}\n")
	if err := p.command.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if err := <-p.ended; err != nil {
		t.Errorf("merakid ended with %v", err)
	}
	p.moment("draining")
	p.moment("stopped")
}
