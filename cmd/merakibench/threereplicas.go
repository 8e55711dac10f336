package main

import (
	"context"
	"time"

	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/figure"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

// A group is three replicas that share a budget through a store, in front of a
// site with jitter: what the scenarios about sharing begin with.
type group struct {
	site     *site
	store    *store
	replicas []*replica
	traffic  *traffic
}

func (r *run) group(ctx context.Context, o sandbox.Options) (*group, error) {
	return r.groupOf(ctx, o, "")
}

// groupOf is a group with more in its configuration than the bench writes itself.
func (r *run) groupOf(ctx context.Context, o sandbox.Options, more string) (*group, error) {
	g := new(group)
	var err error
	if g.site, err = r.site(o); err != nil {
		return nil, err
	}
	if g.store, err = r.store(ctx); err != nil {
		return nil, err
	}
	if g.replicas, err = r.replicas(ctx, g.site, fleet{count: 3, store: g.store, more: more}); err != nil {
		return nil, err
	}
	g.traffic, err = g.site.traffic()
	return g, err
}

// skewed sends 80, 10 and 10 of a hundred calls to the three replicas.
func (g *group) skewed(n int) *replica {
	switch n % 10 {
	case 4:
		return g.replicas[1]
	case 9:
		return g.replicas[2]
	}
	return g.replicas[0]
}

// mostTrips is how many journeys to the store a call may cost.
const mostTrips = 2

func threeReplicas(ctx context.Context, r *run) error {
	g, err := r.group(ctx, sandbox.Options{Jitter: jitter})
	if err != nil {
		return err
	}
	before, err := g.store.trips(ctx)
	if err != nil {
		return err
	}
	length := r.length(120*time.Second, 10*time.Second)
	start := time.Now()
	g.traffic.offer(ctx, r, start, length, stream{
		caller: caller{name: "demand", patience: patient}, rate: 2 * budgetRate, to: g.skewed,
	})
	after, err := g.store.trips(ctx)
	if err != nil {
		return err
	}
	r.budget(g.traffic, start, length)
	visits := len(g.site.all())
	r.figure("store round trips for each call that left", figure.Per(after-before, visits), figure.Count, figure.AtMost(mostTrips))
	r.figure("store round trips for each call offered", figure.Per(after-before, len(g.traffic.of(nil))), figure.Count, figure.Aim{})
	r.note("The round trips hold the heartbeats of the three replicas (one in 3 s each).")
	r.outages(g)
	return nil
}

// outages says how often a replica has gone on without the store: with each it has
// only its part of the rate for a while. On a machine that is busy with other
// things a step may take longer than the 50 ms that it is given.
func (r *run) outages(g *group) {
	n := 0
	for _, p := range g.replicas {
		n += p.child.times("out of reach")
	}
	r.figure("times that a replica went on without the store", float64(n), figure.Count, figure.Aim{})
}
