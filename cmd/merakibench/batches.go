package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/figure"
	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

const (
	// mostBatches is how many the Dashboard runs at a time for an organization.
	mostBatches = 5
	// refusedVLAN is what the sandbox is told to refuse.
	refusedVLAN   = 4095
	portsOfDevice = 48
)

// everyBatch gives lists all five places, and knows the owners of all devices.
const everyBatch = `
budget: {action_batches: 5}
preload: ["*"]
`

// A listCase is one list of writes: how long the Dashboard takes for a batch, whether one
// in a hundred is wrong, and whether errors name the action.
type listCase struct {
	name    string
	takes   time.Duration
	wrong   bool
	unnamed bool
	// sooner, share are the aims: how much sooner than the writes by themselves, with
	// how many of their requests; 0 for none.
	sooner, share float64

	site    *site
	replica *replica
	took    time.Duration
	err     error
}

// batches applies the lists, each through a broker of its own at a Dashboard of its own,
// at the same time: they wait most of it.
func batches(ctx context.Context, r *run) error {
	n := r.number(5000, 300)
	cases := []*listCase{
		{name: "batches of 1 s", takes: time.Second, share: 0.04},
		{name: "batches of 2 s", takes: 2 * time.Second, sooner: 18, share: 0.04},
		{name: "batches of 10 s", takes: 10 * time.Second, share: 0.04},
		{name: "batches of 30 s", takes: 30 * time.Second, share: 0.04},
		{name: "batches of 2 s, 1 % wrong and named", takes: 2 * time.Second, wrong: true, share: 0.10},
		{name: "batches of 2 s, 1 % wrong and not named", takes: 2 * time.Second, wrong: true, unnamed: true, share: 0.30},
	}
	if r.quick {
		cases = cases[:1]
		cases[0].share = 0
	}
	alone, err := r.single(ctx, n)
	if err != nil {
		return err
	}
	for _, c := range cases {
		if err := c.start(ctx, r, n); err != nil {
			return err
		}
	}
	r.progress.says("lists of %d writes", n)
	var all sync.WaitGroup
	for _, c := range cases {
		all.Go(func() { c.took, c.err = c.apply(ctx, n) })
	}
	all.Wait()
	r.measured()
	for _, c := range cases {
		if c.err != nil {
			return fmt.Errorf("%s: %w", c.name, c.err)
		}
		seen := c.site.sandbox.Organization(c.site.organization)
		sooner, share := alone.Seconds()/c.took.Seconds(), float64(seen.Arrived)/float64(n)
		r.figure(c.name+", time", c.took.Seconds(), figure.Seconds, figure.Aim{})
		r.figure(c.name+", sooner than alone", sooner, figure.Ratio, atLeast(c.sooner))
		r.figure(c.name+", requests", share, figure.Share, atMost(c.share))
		r.figure(c.name+", 429s", float64(seen.Answered[429]), figure.Count, figure.AtMost(0))
		r.figure(c.name+", most at once", float64(seen.MostBatches), figure.Count, figure.AtMost(mostBatches))
	}
	r.figure("each by itself at the full budget, time", alone.Seconds(), figure.Seconds, figure.Aim{})
	r.note("%d updates of switch ports of one organization, in one list, with all five places (budget.action_batches: 5; the default is 3). Requests are those that came to the Dashboard, in parts of one for each write. "+
		"Every right write is done and every wrong one is named, or the scenario fails.", n)
	r.note("The lists go at the same time, each through a broker and to a sandbox of its own. A batch takes the same time whatever it carries. The writes by themselves are made for a minute, and the time for all is reckoned from that.")
	return nil
}

func atLeast(bound float64) figure.Aim {
	if bound == 0 {
		return figure.Aim{}
	}
	return figure.AtLeast(bound)
}

func atMost(bound float64) figure.Aim {
	if bound == 0 {
		return figure.Aim{}
	}
	return figure.AtMost(bound)
}

// start brings up the Dashboard and the broker of a case.
func (c *listCase) start(ctx context.Context, r *run, n int) (err error) {
	if c.site, c.replica, err = r.portSite(ctx, n, c.takes); err != nil {
		return err
	}
	return c.site.sandbox.AddRejection(sandbox.Rejection{Contains: fmt.Sprintf(`"vlan":%d`, refusedVLAN), Messages: []string{"Vlan is invalid"}, Unnamed: c.unnamed})
}

// portSite is a Dashboard with so many ports and a broker that knows whose they are.
func (r *run) portSite(ctx context.Context, n int, takes time.Duration) (*site, *replica, error) {
	s, err := r.smallSite(sandbox.Options{Organizations: 1, Jitter: jitter / 4, BatchTime: takes}, 1, (n+portsOfDevice-1)/portsOfDevice)
	if err != nil {
		return nil, nil, err
	}
	replicas, err := r.replicas(ctx, s, fleet{count: 1, more: everyBatch})
	if err != nil {
		return nil, nil, err
	}
	if err := pause(ctx, 3*time.Second); err != nil { // what it learns at its start is no part of this
		return nil, nil, err
	}
	s.settled(ctx)
	s.sandbox.Reset()
	times := s.sandbox.Times()
	times.SynchronousBatch = times.Batch
	s.sandbox.SetTimes(times)
	return s, replicas[0], nil
}

// port is the update of a port by its number.
func (s *site) port(n int, vlan int64) *dynamicpb.Message {
	d := s.contract.Operation("updateDeviceSwitchPort").Descriptor.Input()
	m := dynamicpb.NewMessage(d)
	set := func(name string, v any) { m.Set(d.Fields().ByName(protoreflect.Name(name)), protoreflect.ValueOf(v)) }
	set("serial", s.sandbox.Serial(0, 0, n/portsOfDevice))
	set("port_id", fmt.Sprint(1+n%portsOfDevice))
	set("vlan", vlan)
	return m
}

// isWrong spreads one wrong write over each hundred.
func isWrong(i int) bool { return i%100 == i/100*37%100 }

// apply sends the list, and says how long it took until everything was known.
func (c *listCase) apply(ctx context.Context, n int) (time.Duration, error) {
	in := &brokerv1.ApplyWritesRequest{Writes: make([]*brokerv1.Write, n)}
	for i := range in.Writes {
		vlan := int64(1 + i%4000)
		if c.wrong && isWrong(i) {
			vlan = refusedVLAN
		}
		m := c.site.port(i, vlan)
		wire, err := proto.Marshal(m)
		if err != nil {
			return 0, err
		}
		in.Writes[i] = &brokerv1.Write{Id: fmt.Sprint(i), Request: &anypb.Any{TypeUrl: "type.googleapis.com/" + string(m.Descriptor().FullName()), Value: wire}}
	}
	ctx = asWriter(ctx)
	start := time.Now()
	stream, err := brokerv1.NewBatchServiceClient(c.replica.conn).ApplyWrites(ctx, in)
	if err != nil {
		return 0, err
	}
	for known := 0; ; known++ {
		out, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			if known != n {
				return 0, fmt.Errorf("%d results for %d writes", known, n)
			}
			return time.Since(start), nil
		}
		if err != nil {
			return 0, err
		}
		var i int
		if _, err := fmt.Sscan(out.GetId(), &i); err != nil {
			return 0, err
		}
		if wrong := c.wrong && isWrong(i); wrong != (out.GetFailed() != nil) || !wrong && out.GetDone() == nil {
			return 0, fmt.Errorf("write %d, wrong %v, has %v", i, wrong, out)
		}
	}
}

// asWriter says who sends the writes.
func asWriter(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "x-forwarded-client-cert", "URI="+caller{name: "writer"}.identity())
}

// single makes writes by themselves for a while, as many as the budget gives, and says how
// long n of them take so.
func (r *run) single(ctx context.Context, n int) (time.Duration, error) {
	s, to, err := r.portSite(ctx, n, time.Second)
	if err != nil {
		return 0, err
	}
	length := r.length(time.Minute, 5*time.Second)
	r.progress.says("writes by themselves for %v", length)
	name := s.contract.Operation("updateDeviceSwitchPort")
	until, cancel := context.WithTimeout(asWriter(ctx), length)
	defer cancel()
	var next, made atomic.Int64
	var callers sync.WaitGroup
	start := time.Now()
	for range 2 * budgetRate {
		callers.Go(func() {
			for until.Err() == nil {
				out := dynamicpb.NewMessage(name.Descriptor.Output())
				if to.conn.Invoke(until, name.Name, s.port(int(next.Add(1))%n, 7), out) == nil {
					made.Add(1)
				}
			}
		})
	}
	callers.Wait()
	if made.Load() == 0 {
		return 0, errors.Join(errors.New("no write was made"), ctx.Err())
	}
	return time.Duration(float64(time.Since(start)) * float64(n) / float64(made.Load())), ctx.Err()
}
