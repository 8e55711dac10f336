package service_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service"
	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/credential/secretfile"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/hold"
	"github.com/merakibroker/merakibroker/service/identity"
)

// operatorClient serves an Operator on a port of its own.
func operatorClient(t *testing.T, o *service.Operator) brokerv1.OperatorServiceClient {
	t.Helper()
	g := grpc.NewServer()
	o.Register(g)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- g.Serve(l) }()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(); g.Stop(); <-served })
	return brokerv1.NewOperatorServiceClient(conn)
}

// reasonOf is the reason and the delay of a refusal.
func reasonOf(err error) (reason string, delay time.Duration) {
	for _, d := range status.Convert(err).Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			reason = d.GetReason()
		case *errdetails.RetryInfo:
			delay = d.GetRetryDelay().AsDuration()
		}
	}
	return reason, delay
}

// TestOperator: an operator's token holds and releases, each is logged with the
// operator's name and without the token, and callers are told why.
func TestOperator(t *testing.T) {
	token, line, err := identity.NewToken("alice")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "operators")
	if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	files := secretfile.New(secretfile.Config{Log: discard()})
	defer files.Close()
	operators, err := identity.NewOperators(file, files)
	if err != nil {
		t.Fatal(err)
	}
	var lines bytes.Buffer
	log := slog.New(slog.NewTextHandler(&lines, nil))
	holds := hold.New(hold.Config{Log: log})
	h := build(t, plan{broker: func(c *broker.Config) { fast(c); c.Holds = holds }})
	client := operatorClient(t, &service.Operator{Holds: holds, Operators: operators, Log: log})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	writes := &brokerv1.HoldRequest{Scope: brokerv1.HoldScope_HOLD_SCOPE_ALL_WRITES, Duration: durationpb.New(time.Hour), Reason: "the store is being moved"}

	for _, presented := range [][]string{nil, {"Bearer "}, {"Bearer " + strings.Repeat("0", 40)}, {"Basic " + token}, {"Bearer " + token, "Bearer " + token}} {
		md := metadata.MD{"authorization": presented}
		_, err := client.Hold(metadata.NewOutgoingContext(ctx, md), writes)
		if reason, _ := reasonOf(err); status.Code(err) != codes.Unauthenticated || reason != "OPERATOR_UNKNOWN" {
			t.Errorf("%q: %v", presented, err)
		}
	}
	for range 100 {
		_, _ = client.Hold(ctx, writes)
	}
	if n := strings.Count(lines.String(), "not an operator's token"); n != fault.LogLines {
		t.Errorf("%d lines of refusals; %d are written in %v", n, fault.LogLines, fault.LogWindow)
	}
	as := metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	if _, err := client.Hold(as, &brokerv1.HoldRequest{Scope: 77}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("%v", err)
	}
	if _, err := client.Release(as, &brokerv1.ReleaseRequest{Scope: writes.GetScope()}); status.Code(err) != codes.NotFound {
		t.Errorf("%v", err)
	}
	if _, err := client.Hold(as, writes); err != nil {
		t.Fatal(err)
	}
	all, err := client.ListHolds(ctx, &brokerv1.ListHoldsRequest{}) // without a token
	if err != nil || len(all.GetItems()) != 1 || all.GetItems()[0].GetOperator() != "alice" || all.GetItems()[0].GetReason() != writes.GetReason() {
		t.Errorf("%v, %v", all, err)
	}
	path := "/organizations/" + h.sandbox.OrganizationID(0)
	_, err = h.own.Call(ctx, &brokerv1.CallRequest{Method: "PUT", Path: path, Body: []byte(`{"name":"n"}`)})
	if reason, delay := reasonOf(err); status.Code(err) != codes.ResourceExhausted || reason != hold.Reason || delay != time.Minute ||
		!strings.Contains(err.Error(), writes.GetReason()) {
		t.Errorf("a held write: %v", err)
	}
	if _, err := h.own.Call(ctx, &brokerv1.CallRequest{Method: "GET", Path: path}); err != nil {
		t.Errorf("a read: %v", err)
	}
	if _, err := client.Release(as, &brokerv1.ReleaseRequest{Scope: writes.GetScope()}); err != nil {
		t.Error(err)
	}
	if _, err = h.own.Call(ctx, &brokerv1.CallRequest{Method: "PUT", Path: path, Body: []byte(`{"name":"n"}`)}); err != nil {
		t.Errorf("a released write: %v", err)
	}
	for _, want := range []string{"an operator holds calls", "an operator releases calls", "not an operator's token", "operator=alice", writes.GetReason()} {
		if !strings.Contains(lines.String(), want) {
			t.Errorf("the log lacks %q", want)
		}
	}
	if strings.Contains(lines.String(), token) {
		t.Error("the log has the token")
	}
}

// TestReadOnlyOperator: without a file of operators nobody acts.
func TestReadOnlyOperator(t *testing.T) {
	client := operatorClient(t, &service.Operator{Holds: hold.New(hold.Config{Log: discard()}), Log: discard()})
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer x")
	_, err := client.Hold(ctx, &brokerv1.HoldRequest{Scope: brokerv1.HoldScope_HOLD_SCOPE_ALL_WRITES, Duration: durationpb.New(time.Hour), Reason: "r"})
	if reason, _ := reasonOf(err); status.Code(err) != codes.PermissionDenied || reason != "READ_ONLY" {
		t.Errorf("%v", err)
	}
	if _, err := client.ListHolds(ctx, &brokerv1.ListHoldsRequest{}); err != nil {
		t.Error(err)
	}
}
