package service_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	organizationsv1 "github.com/merakibroker/merakibroker/gen/meraki/organizations/v1"
	"github.com/merakibroker/merakibroker/service"
	"github.com/merakibroker/merakibroker/service/hold"
)

// TestDescribe: what is on its way, what is watched, what failed and what was spent.
func TestDescribe(t *testing.T) {
	arrived, answer := make(chan struct{}), make(chan struct{})
	h := build(t, plan{broker: fast, upstream: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/admins") {
				close(arrived)
				<-answer
			}
			next.ServeHTTP(w, r)
		})
	}})
	start := time.Now()
	operator := &service.Operator{Server: h.server, Holds: hold.New(hold.Config{Log: discard()}), Log: discard(), Version: "1.2.3", Start: start,
		Store: func() *brokerv1.StoreState { return &brokerv1.StoreState{Replicas: 3} },
		Keys:  func() []*brokerv1.KeyState { return []*brokerv1.KeyState{{Name: "k"}} }}
	client := operatorClient(t, operator)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	organization := h.sandbox.OrganizationID(0)

	request, err := anypb.New(&organizationsv1.GetOrganizationNetworksRequest{OrganizationId: &organization})
	if err != nil {
		t.Fatal(err)
	}
	watching, err := brokerv1.NewWatchServiceClient(h.conn).Watch(ctx, &brokerv1.WatchRequest{Request: request, Age: durationpb.New(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watching.Recv(); err != nil {
		t.Fatal(err)
	}
	if _, err := h.own.Call(ctx, &brokerv1.CallRequest{Method: "GET", Path: "/organizations/1/devices"}); err == nil {
		t.Error("no such organization")
	}
	ended := make(chan error)
	go func() {
		_, err := h.own.Call(ctx, &brokerv1.CallRequest{Method: "GET", Path: "/organizations/" + organization + "/admins"})
		ended <- err
	}()
	<-arrived
	d, err := client.DescribeBroker(ctx, &brokerv1.DescribeBrokerRequest{})
	if err != nil {
		t.Fatal(err)
	}
	close(answer)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if d.GetVersion() != "1.2.3" || !d.GetStartTime().AsTime().Equal(start) || d.GetStore().GetReplicas() != 3 || d.GetKeys()[0].GetName() != "k" ||
		!d.GetReadOnly() || d.GetDraining() {
		t.Errorf("%v", d)
	}
	if n := d.GetUnderWay(); d.GetAttemptsUnderWay() != 1 || len(n) != 1 || n[0].GetOperation() != "getOrganizationAdmins" || n[0].GetOrganizationId() != organization || n[0].GetNumber() != 1 {
		t.Errorf("under way: %v", n)
	}
	if w := d.GetWatches(); len(w) != 1 || w[0].GetOperation() != "getOrganizationNetworks" || w[0].GetOrganizationId() != organization ||
		w[0].GetWatches() != 1 || w[0].GetAge().AsDuration() != time.Minute || w[0].GetReadTime() == nil {
		t.Errorf("watches: %v", w)
	}
	if f := operator.Failures(10); len(f) != 1 || f[0].GetHttpStatus() != 404 || f[0].GetRequestId() == "" {
		t.Errorf("failures: %v", f)
	}
	spent := int64(0)
	for _, b := range operator.Budgets() {
		if b.GetOrganizationId() == organization {
			spent = b.GetAttempts()
		}
	}
	if spent != 2 {
		t.Errorf("%d requests of the organization", spent)
	}
	if len(operator.Recent(organization)) == 0 || slices.Max(operator.Recent("")) > 3 {
		t.Errorf("%v", operator.Recent(""))
	}
	if got := operator.Health().GetOverall(); len(got) != 3 || got[0].GetAttempts() != 3 {
		t.Errorf("%v", got)
	}
	// What is over is gone.
	if d := operator.Describe(); d.GetAttemptsUnderWay() != 0 {
		t.Errorf("under way: %v", d.GetUnderWay())
	}
	h.server.Stop(ctx, 0)
	<-operator.Ending()
	if !operator.Describe().GetDraining() {
		t.Error("not about to stop")
	}
}
