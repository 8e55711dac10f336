package main

import (
	"context"
	"encoding/json"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	organizationsv1 "github.com/merakibroker/merakibroker/gen/meraki/organizations/v1"
)

// serve lets a replica take calls, and gives a connection to it.
func serve(t *testing.T, d *daemon) *grpc.ClientConn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- d.server.Serve(l) }()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		d.server.Stop(ctx, 0)
		<-served
	})
	return conn
}

// TestOnePollAtThreeReplicas: what one replica has read for a watch reaches the watchers
// at the others through the store, where it cannot be read.
func TestOnePollAtThreeReplicas(t *testing.T) {
	t.Setenv("MERAKID_TEST_OUTCOMES", "0123456789abcdef0123456789abcdef01234567")
	x := newTrio(t, "", slowStore)
	request, err := anypb.New(&organizationsv1.GetOrganizationNetworksRequest{OrganizationId: &x.organization})
	if err != nil {
		t.Fatal(err)
	}
	var first json.RawMessage
	for i, d := range x.replicas {
		stream, err := brokerv1.NewWatchServiceClient(serve(t, d)).Watch(t.Context(), &brokerv1.WatchRequest{Request: request, Age: durationpb.New(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		got, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = got.GetChanged().GetValue()
		}
		if !got.GetWhole() || !slices.Equal(got.GetChanged().GetValue(), first) || len(first) < 100 {
			t.Errorf("replica %d: %v", i, got)
		}
	}
	if n := x.read("/networks"); n != 1 {
		t.Errorf("the Dashboard was asked %d times", n)
	}
	client := x.store.Client()
	keys := client.Keys(t.Context(), "merakibroker:watch:*").Val()
	if len(keys) != 3 {
		t.Errorf("a claim, a head and pages are 3 keys, not %q", keys)
	}
	for _, key := range keys {
		if value := client.Get(t.Context(), key).Val(); strings.Contains(value, "asked") || strings.Contains(value, "network") || strings.Contains(value, "\x1f\x8b\x08") {
			t.Errorf("%s can be read", key)
		}
		if ttl := client.PTTL(t.Context(), key).Val(); ttl <= 0 {
			t.Errorf("%s has no expiry: %v", key, ttl)
		}
	}
}
