package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/figure"
	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/load"
)

// A traffic is the calls of all callers of a scenario, and what became of them.
type traffic struct {
	site  *site
	asker *asker

	mu    sync.Mutex
	calls []call
}

// A stream is one caller's calls.
type stream struct {
	caller caller
	rate   float64 // a second
	// to chooses the replica for call n.
	to func(n int) *replica
	// back tells whether call n, when refused, comes back once as it was told.
	back func(n int) bool
	// of is the index of the organization that is asked about.
	of int
}

func (s *site) traffic() (*traffic, error) {
	a, err := s.asker(s.organization)
	if err != nil {
		return nil, err
	}
	return &traffic{site: s, asker: a}, nil
}

// offer makes all calls of all streams, in an open loop, and returns when the
// last is answered. Calls still on their way when ctx ends end with it.
func (t *traffic) offer(ctx context.Context, r *run, start time.Time, length time.Duration, streams ...stream) {
	r.progress.shows(func() string { return t.line(start, length) })
	middle := time.AfterFunc(time.Until(start.Add(length/2)), r.measured)
	defer middle.Stop()
	var all sync.WaitGroup
	for _, s := range streams {
		arrivals := load.Poisson(s.rate, length, r.nextSeed())
		asker := *t.asker
		asker.organization = t.site.sandbox.OrganizationID(s.of)
		all.Go(func() {
			load.Offer(ctx, start, arrivals, func(n int, due time.Time) {
				serial := t.site.serialOf(s.of)
				c := asker.ask(ctx, s.to(n), s.caller, serial, due)
				t.note(c)
				if c.code != codes.ResourceExhausted || c.later <= 0 || s.back == nil || !s.back(n) {
					return
				}
				if pause(ctx, c.later) != nil {
					return
				}
				c = asker.ask(ctx, s.to(n), s.caller, serial, time.Now())
				c.again = true
				t.note(c)
			})
		})
	}
	all.Wait()
	_ = pause(ctx, time.Until(start.Add(length))) // the last call came before the end
	t.site.settled(ctx)
}

func (t *traffic) note(c call) {
	t.mu.Lock()
	t.calls = append(t.calls, c)
	t.mu.Unlock()
}

// line says how far it has come.
func (t *traffic) line(start time.Time, length time.Duration) string {
	t.mu.Lock()
	served, refused, other := 0, 0, 0
	for i := range t.calls {
		switch t.calls[i].code {
		case codes.OK:
			served++
		case codes.ResourceExhausted:
			refused++
		default:
			other++
		}
	}
	t.mu.Unlock()
	seen := t.site.sandbox.Organization(t.site.organization)
	return fmt.Sprintf("of %v: %d served, %d refused, %d other; arrived %d, 429s %d", length, served, refused, other, seen.Arrived, seen.Answered[429])
}

// of gives the calls that match, all when match is nil.
func (t *traffic) of(match func(*call) bool) []call {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []call
	for i := range t.calls {
		if match == nil || match(&t.calls[i]) {
			out = append(out, t.calls[i])
		}
	}
	return out
}

// by matches the calls of one caller.
func by(name string) func(*call) bool {
	return func(c *call) bool { return c.caller.name == name }
}

// waits gives how long the served among the calls waited, in seconds: from when
// they were due until they came to the site's door.
func (t *traffic) waits(calls []call) figure.Sample {
	first := make(map[string][]time.Time)
	for _, v := range t.site.all() {
		first[v.path] = append(first[v.path], v.at)
	}
	var out figure.Sample
	for i := range calls {
		c := &calls[i]
		if !c.ok() {
			continue
		}
		for _, at := range first[c.path] {
			if !at.Before(c.due) {
				out = append(out, at.Sub(c.due).Seconds())
				break
			}
		}
	}
	return out
}

// arrived gives when the requests of some calls came to the door that got an answer.
func (t *traffic) arrived(calls []call) []time.Time {
	wanted := make(map[string]bool, len(calls))
	for i := range calls {
		wanted[calls[i].path] = true
	}
	return answered(slices.DeleteFunc(t.site.all(), func(v visit) bool { return !wanted[v.path] }))
}

// count counts the calls that match.
func count(calls []call, match func(*call) bool) int {
	n := 0
	for i := range calls {
		if match(&calls[i]) {
			n++
		}
	}
	return n
}

func served(c *call) bool { return c.ok() }

func refused(c *call) bool { return c.code == codes.ResourceExhausted }
