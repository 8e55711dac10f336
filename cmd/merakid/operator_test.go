package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service/identity"
)

// TestHoldsAtThreeReplicas: what is held at one replica is held at the others, through a
// real store, and what is released at another is released everywhere.
func TestHoldsAtThreeReplicas(t *testing.T) {
	t.Setenv("MERAKID_TEST_OUTCOMES", "0123456789012345678901234567890123456789")
	token, line, err := identity.NewToken("alice")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "operators")
	if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	x := newTrio(t, "}\noperators_file: "+file+"\ndrain: {timeout: 1s", 0)
	held := func(replica, want int) {
		t.Helper()
		look, late := time.NewTicker(10*time.Millisecond), time.After(time.Minute)
		defer look.Stop()
		for len(x.replicas[replica].operator.List().GetItems()) != want {
			select {
			case <-look.C:
			case <-late:
				t.Fatalf("replica %d has %v", replica, x.replicas[replica].operator.List())
			}
		}
	}
	// A store that is slow for a moment keeps no operator from acting.
	if err := x.store.Client().Do(t.Context(), "CLIENT", "PAUSE", "300").Err(); err != nil {
		t.Fatal(err)
	}
	in := &brokerv1.HoldRequest{Scope: brokerv1.HoldScope_HOLD_SCOPE_CALLER_BULK, Name: "reports", Reason: "r", Duration: durationpb.New(time.Hour)}
	if _, err := x.replicas[0].operator.Hold(t.Context(), token, in); err != nil {
		t.Fatal(err)
	}
	held(1, 1)
	in.Name = "exports"
	if _, err := x.replicas[2].operator.Hold(t.Context(), token, in); err != nil {
		t.Fatal(err)
	}
	held(0, 2)
	held(1, 2)
	if _, err := x.replicas[1].operator.Release(t.Context(), token, &brokerv1.ReleaseRequest{Scope: in.GetScope(), Name: "reports"}); err != nil {
		t.Fatal(err)
	}
	held(0, 1)
	held(2, 1)
}
