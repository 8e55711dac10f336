package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/figure"
	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

// Ten services want ten lists, none older than five seconds.
const (
	pollingServices = 10
	pollEvery       = 5 * time.Second
)

var polledLists = [...]string{
	"getOrganizationDevices", "getOrganizationNetworks", "getOrganizationAdmins", "getOrganizationConfigTemplates", "getOrganizationPolicyObjects",
	"getOrganizationInventoryDevices", "getOrganizationDevicesStatuses", "getOrganizationActionBatches", "getOrganizationBrandingPolicies", "getOrganizationDevicesAvailabilities",
}

// A pollWay is how the services get what they want.
type pollWay struct {
	name     string
	replicas int // 0: straight at the Dashboard
	aim      figure.Aim
	// get gets a list once; a watch goes on until ctx ends.
	get func(ctx context.Context, s *site, to *replica, list string) error
}

// pollers lets the services have their lists in one way after another.
func pollers(ctx context.Context, r *run) error {
	length := r.length(time.Minute, 2*pollEvery)
	one := float64(len(polledLists)) * length.Seconds() / pollEvery.Seconds()
	for _, w := range []pollWay{
		{name: "as they are", get: straight},
		{name: "reads with max-age at one replica", replicas: 1, aim: figure.AtMost(1), get: agedRead},
		{name: "reads with max-age at three replicas", replicas: 3, get: agedRead},
		{name: "watches at three replicas", replicas: 3, aim: figure.AtMost(1), get: watchList},
	} {
		requests, limited, failed, err := w.run(ctx, r, length)
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		r.figure(w.name+", requests to those of one service", float64(requests)/one, figure.Ratio, w.aim)
		r.figure(w.name+", requests a second", float64(requests)/length.Seconds(), figure.Rate, figure.Aim{})
		r.figure(w.name+", 429s", float64(limited), figure.Count, w.aimAt0())
		r.figure(w.name+", reads that failed", float64(failed), figure.Count, w.aimAt0())
		r.close() // the next way has a Dashboard of its own
	}
	r.note("%d services want the same %d lists, none older than %v, for %v; one service makes %.0f requests so. They begin at different moments; counted is from when all have begun. As they are they have no retries: a 429 is a poll that failed. "+
		"A read with max-age is answered from what its replica has kept; a watch is one poll for all replicas.", pollingServices, len(polledLists), pollEvery, length, one)
	return nil
}

// aimAt0: through the broker nothing fails.
func (w pollWay) aimAt0() figure.Aim {
	if w.replicas == 0 {
		return figure.Aim{}
	}
	return figure.AtMost(0)
}

// run lets all services go on for a while, and counts what comes once all have begun.
func (w pollWay) run(ctx context.Context, r *run, length time.Duration) (requests, limited, failed int, err error) {
	s, err := r.smallSite(sandbox.Options{Organizations: 1, Jitter: jitter}, 5, 20)
	if err != nil {
		return 0, 0, 0, err
	}
	f := fleet{count: w.replicas}
	if w.replicas > 1 {
		if f.store, err = r.store(ctx); err != nil {
			return 0, 0, 0, err
		}
	}
	replicas := []*replica{nil}
	if w.replicas > 0 {
		if replicas, err = r.replicas(ctx, s, f); err != nil {
			return 0, 0, 0, err
		}
	}
	r.progress.says("%s, for %v", w.name, length)
	until, cancel := context.WithCancel(ctx)
	defer cancel()
	begun := time.Now().Add(pollEvery)
	defer time.AfterFunc(time.Until(begun.Add(length)), cancel).Stop()
	var all sync.WaitGroup
	var mu sync.Mutex
	for i := range pollingServices {
		who := metadata.AppendToOutgoingContext(until, "x-forwarded-client-cert", "URI="+caller{name: fmt.Sprint("service-", i)}.identity())
		for n, list := range polledLists {
			all.Go(func() {
				if pause(until, time.Duration(i)*pollEvery/pollingServices+time.Duration(n)*pollEvery/100) != nil {
					return
				}
				tick := time.NewTicker(pollEvery)
				defer tick.Stop()
				for until.Err() == nil {
					if err := w.get(who, s, replicas[i%len(replicas)], list); err != nil && until.Err() == nil && time.Now().After(begun) {
						mu.Lock()
						failed++
						mu.Unlock()
					}
					select {
					case <-tick.C:
					case <-until.Done():
					}
				}
			})
		}
	}
	all.Wait()
	r.measured()
	s.settled(ctx)
	return figure.Within(arrivals(s.all()), begun, begun.Add(length)), figure.Within(arrivals(s.all(), http.StatusTooManyRequests), begun, begun.Add(length)), failed, ctx.Err()
}

// listRequest is the request message of a list of the site's organization.
func (s *site) listRequest(list string) (*dynamicpb.Message, error) {
	m := s.contract.Operation(list)
	if m == nil {
		return nil, fmt.Errorf("the contract has no operation %s", list)
	}
	d := m.Descriptor.Input()
	in := dynamicpb.NewMessage(d)
	in.Set(d.Fields().ByName("organization_id"), protoreflect.ValueOfString(s.organization))
	return in, nil
}

// straight asks the Dashboard as the services do today.
func straight(ctx context.Context, s *site, _ *replica, list string) error {
	path := strings.Replace(s.contract.Operation(list).Operation.GetPath(), "{organizationId}", s.organization, 1)
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, nil)
	if err != nil {
		return err
	}
	ask.Header.Set("Authorization", "Bearer the-sandbox-takes-any")
	answer, err := http.DefaultClient.Do(ask)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status)
	}
	return err
}

// agedRead takes an answer that is no older than the services want.
func agedRead(ctx context.Context, s *site, to *replica, list string) error {
	in, err := s.listRequest(list)
	if err != nil {
		return err
	}
	m := s.contract.Operation(list)
	ctx = metadata.AppendToOutgoingContext(ctx, "meraki-max-age", fmt.Sprint(pollEvery.Seconds()))
	return to.conn.Invoke(ctx, m.Name, in, dynamicpb.NewMessage(m.Descriptor.Output()))
}

// watchRequest asks to watch a list.
func (s *site) watchRequest(list string, age time.Duration) (*brokerv1.WatchRequest, error) {
	in, err := s.listRequest(list)
	if err != nil {
		return nil, err
	}
	request, err := anypb.New(in)
	return &brokerv1.WatchRequest{Request: request, Age: durationpb.New(age)}, err
}

// watchList watches a list until ctx ends.
func watchList(ctx context.Context, s *site, to *replica, list string) error {
	request, err := s.watchRequest(list, pollEvery)
	if err != nil {
		return err
	}
	stream, err := brokerv1.NewWatchServiceClient(to.conn).Watch(ctx, request)
	for err == nil {
		_, err = stream.Recv()
	}
	return err
}
