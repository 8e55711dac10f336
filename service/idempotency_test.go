package service_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
)

// TestANamedWriteIsMadeOnce: the same idempotency key again gets the outcome of the
// first request, and another write under it is refused.
func TestANamedWriteIsMadeOnce(t *testing.T) {
	t.Parallel()
	var posts atomic.Int64
	h := build(t, plan{upstream: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				posts.Add(1)
			}
			if r.Header.Get("Idempotency-Key") != "" {
				t.Error("the key of a write is sent on")
			}
			next.ServeHTTP(w, r)
		})
	}})
	named := metadata.AppendToOutgoingContext(context.Background(), "meraki-idempotency-key", "one")
	create := func(ctx context.Context, name string, header *metadata.MD) error {
		_, err := h.own.Call(ctx, &brokerv1.CallRequest{
			Method: http.MethodPost, Path: "/organizations/" + h.sandbox.OrganizationID(0) + "/networks",
			Body: []byte(`{"name":"` + name + `","productTypes":["appliance"]}`),
		}, grpc.Header(header))
		return err
	}
	for i, want := range []string{"miss", "outcome"} {
		var header metadata.MD
		if err := create(named, "n", &header); err != nil || len(header["meraki-cache"]) != 1 || header["meraki-cache"][0] != want {
			t.Errorf("request %d: %v, %v", i, err, header)
		}
	}
	err := create(named, "another", new(metadata.MD))
	wantCode(t, "another write under the name", err, codes.InvalidArgument, "IDEMPOTENCY_KEY_REUSED")
	err = create(metadata.AppendToOutgoingContext(context.Background(), "meraki-idempotency-key", "a b"), "n", new(metadata.MD))
	wantCode(t, "a name that is none", err, codes.InvalidArgument, "BAD_REQUEST")
	if n := posts.Load(); n != 1 {
		t.Errorf("%d POSTs", n)
	}
	for range 2 { // without a name two are two
		if err := create(context.Background(), "n", new(metadata.MD)); err != nil {
			t.Error(err)
		}
	}
	if n := posts.Load(); n != 3 {
		t.Errorf("%d POSTs", n)
	}
}
