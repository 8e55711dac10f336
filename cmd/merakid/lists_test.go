package main

import (
	"context"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/sandbox"
	"github.com/merakibroker/merakibroker/service/store/storetest"
)

// listWrites is how many writes the list has that three replicas make: few in each run
// of the tests, 5,000 in make lists.
var listWrites = flag.Int("list-writes", 600, "writes of the list that replicas take over from each other")

// A sentWrite is one of the list, as the Dashboard gets it.
type sentWrite struct {
	method, path, body string
}

// TestAListIsTakenOver: one request in ten fails, in every way there is; the replica that
// makes a list is killed in the middle, and the list is sent again under its key at
// another one, as often as its caller is told to. No write is made twice, what is said of
// each is true, and all replicas say the same.
func TestAListIsTakenOver(t *testing.T) {
	t.Parallel()
	begun := time.Now()
	passed := func(what string) { t.Logf("%s after %v", what, time.Since(begun).Round(10*time.Millisecond)) }
	contracts, err := contract.Load()
	if err != nil {
		t.Fatal(err)
	}
	seed := rand.Int64()
	t.Logf("seed %d", seed)
	box, err := sandbox.New(contracts, sandbox.Options{LimitsOff: true, Seed: uint64(seed), BatchTime: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	// The first replica dies in a request that is drawn by lot.
	last, dies := rand.Int64N(int64(3+*listWrites/45)), make(chan struct{})
	var requests atomic.Int64
	next := box.Handler()
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/actionBatches") && requests.Add(1) == 1+last {
			close(dies)
		}
		next.ServeHTTP(w, r)
	}))
	t.Cleanup(upstream.Close)
	store := storetest.Serve(t, "--maxmemory-policy", "noeviction")
	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(keys, []byte(base64.StdEncoding.EncodeToString(make([]byte, 32))+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var replicas [3]*process
	var clients [3]brokerv1.BatchServiceClient
	for i := range replicas {
		replicas[i] = launch(t, fmt.Sprintf("upstream: %s/api/v1\nsimulated: true\nstore: {addresses: ['%s'], replicas: 3, keys_file: %s}\n"+
			"budget: {rate: 100000, burst: 100000, address_rate: 100000, action_batches: 2}\n", upstream.URL, store.Address(), keys))
		conn, err := grpc.NewClient(replicas[i].listen, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		clients[i] = brokerv1.NewBatchServiceClient(conn)
	}
	passed("started")
	in, sent := manyWrites(t, contracts, box, *listWrites)
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), "meraki-idempotency-key", "the list", "meraki-organization-id", box.OrganizationID(0)), time.Minute+time.Duration(*listWrites)*50*time.Millisecond)
	defer cancel()
	if err := box.SetFaults(sandbox.Mix{Share: 0.1, Kinds: sandbox.Alike(sandbox.EveryFault())}); err != nil {
		t.Fatal(err)
	}

	known := make(chan int, 1)
	go func() {
		out, _ := outcomesOf(clients[0].ApplyWrites(ctx, in)) // its replica dies
		known <- len(out)
	}()
	select {
	case <-dies:
	case n := <-known:
		known <- n
	}
	passed("killed")
	if err := replicas[0].command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-replicas[0].ended
	t.Logf("it died in request %d, and %d of %d outcomes were known", 1+last, <-known, len(sent))
	client := store.Client()
	words := client.Keys(ctx, "merakibroker:outcome:alive:*").Val() // they run out in 15 s; the test does not wait
	if err := client.Del(ctx, words...).Err(); err != nil {
		t.Fatal(err)
	}

	second := settled(t, ctx, clients[1], in)
	passed("taken over")
	box.ClearFaults()
	third := settled(t, ctx, clients[2], in)
	passed("told again")
	counts := make(map[string]int)
	for i, w := range sent {
		id := in.GetWrites()[i].GetId()
		out := second[id]
		made := box.Executed(w.method, w.path, []byte(w.body))
		kind := strings.TrimPrefix(fmt.Sprintf("%T", out.GetOutcome()), "*brokerv1.ApplyWritesResponse_")
		right := made == 1 || made > 1 && w.method == http.MethodPut && out.GetDone().GetActionBatchId() == "" // a PUT by itself may be made again
		switch {
		case out.GetFailed().GetCode() == int32(codes.Unknown):
			kind, right = "unknown", right || made == 0
		case out.GetFailed() != nil:
			right = made == 0
		case out.GetDone() == nil:
			right = false
		}
		if counts[kind]++; !right {
			t.Errorf("%s was made %d times, and is said to be %v", id, made, out)
		}
		if other := third[id]; !proto.Equal(out.GetDone(), other.GetDone()) || out.GetFailed().GetCode() != other.GetFailed().GetCode() ||
			out.GetFailed().GetMessage() != other.GetFailed().GetMessage() {
			t.Errorf("%s: %v, and another replica says %v", id, out, third[id])
		}
	}
	t.Logf("%v", counts)
	if counts["Done"] < len(sent)*8/10 {
		t.Errorf("%v", counts)
	}
	in.Writes = in.GetWrites()[1:]
	for _, c := range clients[1:] {
		if _, err := outcomesOf(c.ApplyWrites(ctx, in)); status.Code(err) != codes.InvalidArgument {
			t.Errorf("another list under the key: %v", err)
		}
	}
	for _, key := range client.Keys(t.Context(), "merakibroker:outcome:list:*").Val() {
		if value := client.Get(t.Context(), key).Val(); strings.Contains(value, "results") || client.PTTL(t.Context(), key).Val() <= 0 {
			t.Errorf("%s is not encrypted, or does not expire", key)
		}
	}
}

// manyWrites are updates of switch ports and, one in three, new group policies of one
// organization.
func manyWrites(t *testing.T, contracts *contract.Contract, box *sandbox.Sandbox, n int) (*brokerv1.ApplyWritesRequest, []sentWrite) {
	t.Helper()
	in, sent := new(brokerv1.ApplyWritesRequest), make([]sentWrite, 0, n)
	add := func(operation string, fields map[protoreflect.Name]any, w sentWrite) {
		d := contracts.Operation(operation).Descriptor.Input()
		m := dynamicpb.NewMessage(d)
		for name, v := range fields {
			m.Set(d.Fields().ByName(name), protoreflect.ValueOf(v))
		}
		request, err := anypb.New(m)
		if err != nil {
			t.Fatal(err)
		}
		in.Writes = append(in.Writes, &brokerv1.Write{Id: fmt.Sprint(len(sent)), Request: request})
		sent = append(sent, w)
	}
	for i := range n {
		if i%3 == 0 {
			network, name := box.NetworkID(0, i%2), fmt.Sprint("policy ", i)
			add("createNetworkGroupPolicy", map[protoreflect.Name]any{"network_id": network, "name": name},
				sentWrite{http.MethodPost, "/networks/" + network + "/groupPolicies", fmt.Sprintf(`{"name":%q}`, name)})
			continue
		}
		serial, port := box.Serial(0, i%2, i/2%3), fmt.Sprint(1+i/6)
		add("updateDeviceSwitchPort", map[protoreflect.Name]any{"serial": serial, "port_id": port, "vlan": int64(1 + i%4000)},
			sentWrite{http.MethodPut, "/devices/" + serial + "/switch/ports/" + port, fmt.Sprintf(`{"vlan":%d}`, 1+i%4000)})
	}
	return in, sent
}

// settled sends a list until what became of each write is known.
func settled(t *testing.T, ctx context.Context, client brokerv1.BatchServiceClient, in *brokerv1.ApplyWritesRequest) map[string]*brokerv1.ApplyWritesResponse {
	t.Helper()
	for {
		out, err := outcomesOf(client.ApplyWrites(ctx, in))
		open := 0
		for _, m := range out {
			if m.GetPending() != nil || m.GetNotTried() != nil {
				open++
			}
		}
		switch code := status.Code(err); {
		case err == nil && open == 0 && len(out) == len(in.GetWrites()):
			return out
		case err != nil && code != codes.Unavailable:
			t.Fatal(err)
		}
		t.Logf("sent again: %d are open: %v", open, err)
	}
}

// outcomesOf gives what became of each write, by id.
func outcomesOf(stream grpc.ServerStreamingClient[brokerv1.ApplyWritesResponse], err error) (map[string]*brokerv1.ApplyWritesResponse, error) {
	out := make(map[string]*brokerv1.ApplyWritesResponse)
	for err == nil {
		var m *brokerv1.ApplyWritesResponse
		if m, err = stream.Recv(); err == nil {
			out[m.GetId()] = m
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return out, err
}
